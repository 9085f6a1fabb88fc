/* SPDX-License-Identifier: Apache-2.0
 *
 * The states of an outbound session: one row each. The time limit is for the whole state: a
 * peer that trickles its reply gains nothing by it.
 */
#include "base/must.h"
#include "deliver/deliver_private.h"
#include "log/diag.h"

#define NO_TIMEOUT ((size_t)-1)
#define FROM_PATH(member) offsetof(struct route_path, member)

static const struct {
    const char *name;
    size_t timeout; /* where in the path's settings */
    const char *doing;
    const char *command; /* whose reply is awaited; NULL: none's */
} states[] = {
    [STATE_WALKING] = {"walking", NO_TIMEOUT, "choosing a host", NULL},
    [STATE_RESOLVING] = {"resolving", FROM_PATH(connect_timeout_ms), "looking up the host's addresses", NULL},
    [STATE_CONNECTING] = {"connecting", FROM_PATH(connect_timeout_ms), "connecting", NULL},
    [STATE_BANNER] = {"banner", FROM_PATH(banner_timeout_ms), "waiting for its greeting", ""},
    [STATE_EHLO] = {"ehlo", FROM_PATH(ehlo_timeout_ms), "sending EHLO", "EHLO"},
    [STATE_HELO] = {"helo", FROM_PATH(ehlo_timeout_ms), "sending HELO", "HELO"},
    [STATE_STARTTLS] = {"starttls", FROM_PATH(starttls_timeout_ms), "sending STARTTLS", "STARTTLS"},
    [STATE_HANDSHAKE] = {"handshake", FROM_PATH(starttls_timeout_ms), "doing the TLS handshake", NULL},
    [STATE_AUTH] = {"auth", FROM_PATH(auth_timeout_ms), "authenticating", "AUTH PLAIN"},
    [STATE_IDLE] = {"idle", FROM_PATH(idle_timeout_ms), "waiting for a message", NULL},
    [STATE_MAIL] = {"mail", FROM_PATH(mail_from_timeout_ms), "sending MAIL FROM", "MAIL FROM"},
    [STATE_RCPT] = {"rcpt", FROM_PATH(rcpt_to_timeout_ms), "sending RCPT TO", "RCPT TO"},
    [STATE_DATA] = {"data", FROM_PATH(data_timeout_ms), "sending DATA", "DATA"},
    /* a reply here is out of turn, and looked at all the same: some refuse in the middle */
    [STATE_BODY] = {"body", FROM_PATH(data_timeout_ms), "sending the message", "."},
    [STATE_DOT] = {"dot", FROM_PATH(data_dot_timeout_ms), "sending end of data; the message may arrive twice", "."},
    [STATE_RSET] = {"rset", FROM_PATH(rset_timeout_ms), "sending RSET", "RSET"},
    [STATE_ENDED] = {"ended", NO_TIMEOUT, "ending", NULL},
};

void deliver_session_enter(struct deliver_session *session, enum deliver_state state)
{
    const char *path = (const char *)session->plan->path;

    MUST(session->state != STATE_ENDED);
    if (diag_is_on(DIAG_TRACE))
        diag(DIAG_TRACE, NULL, "delivery to %s: %s -> %s", session->plan->ready_name, states[session->state].name,
             states[state].name);
    session->state = state;
    if (states[state].timeout == NO_TIMEOUT)
        timer_stop(&session->timer);
    else
        timer_start(&session->timer, *(const uint64_t *)(const void *)(path + states[state].timeout));
}

const char *session_doing(const struct deliver_session *session) { return states[session->state].doing; }

bool session_awaits_reply(const struct deliver_session *session) { return states[session->state].command != NULL; }

const char *deliver_session_command(const struct deliver_session *session)
{
    const char *command = states[session->state].command;

    return command ? command : "";
}
