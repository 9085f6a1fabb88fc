/* SPDX-License-Identifier: Apache-2.0
 *
 * RCPT (RFC 5321, section 4.1.1.3). First whether mail may be relayed there at all, then
 * whether there is room for one more, then what policy thinks of the recipient.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "receive/identity.h"
#include "receive/budget.h"
#include "receive/receive_private.h"
#include "receive/transaction.h"

static void forget_pending(struct session *session)
{
    free(session->rcpt_asked);
    session->rcpt_asked = NULL;
}

static void on_budget(struct session *session, const struct smtp_reply *refusal)
{
    if (refusal)
        session_reply(session, refusal, SESSION_COMMAND);
    else if (transaction_add_recipient(session->transaction, span_of(session->rcpt_asked)))
        session_replyf(session, 452, "4.5.3 no room for more recipients");
    else
        session_replyf(session, 250, "2.1.5 OK");
    forget_pending(session);
}

static void on_recipient(struct session *session, const struct policy_result *result)
{
    if (result->outcome == POLICY_REJECTED || result->outcome == POLICY_DISCONNECT)
        budget_note_refusal(session, result->reply.code);
    if (session_refused(session, result))
        forget_pending(session);
    else
        budget_recipient(session, session->rcpt_asked, on_budget);
}

/* ---- smtp_server_rcpt_to(recipient, conn_meta) ---- */

static int push_recipient(lua_State *L, void *ctx)
{
    struct session *session = ctx;

    session_push_address(L, session->rcpt_asked);
    return 1 + session_push_connection(L, session);
}

static void refuse_relay(struct session *session)
{
    forget_pending(session);
    budget_note_refusal(session, 550);
    session_replyf(session, 550, "5.7.1 relaying not permitted for %s", session->peer_text);
}

static void on_relay(struct session *session, enum relay_verdict verdict, const struct smtp_reply *reply)
{
    if (verdict == RELAY_ANSWERED) {
        forget_pending(session);
        session_reply(session, reply, SESSION_COMMAND);
    } else if (verdict == RELAY_REFUSED) {
        refuse_relay(session);
    } else if (session->transaction->recipient_count >= session->connection->params->max_recipients_per_message) {
        forget_pending(session);
        session_replyf(session, 452, "4.5.3 too many recipients");
    } else {
        session_ask(session, POLICY_EVENT_SMTP_RCPT_TO, push_recipient, on_recipient);
    }
}

static void on_guessing(struct session *session, const struct smtp_reply *refusal)
{
    if (refusal) {
        forget_pending(session);
        session_reply(session, refusal, SESSION_COMMAND);
        return;
    }
    relay_check(session, transaction_sender_domain(session->transaction), address_domain(span_of(session->rcpt_asked)),
                on_relay);
}

void cmd_rcpt(struct session *session, const struct smtp_command *command)
{
    struct transaction *transaction = session->transaction;
    struct smtp_rcpt rcpt;
    struct smtp_reply refusal;

    if (transaction->uses_bdat) {
        session_junk(session, 503, "5.5.1 the message has begun");
        return;
    }
    if (smtp_rcpt_parse(command->args, transaction->smtputf8, &rcpt, &refusal)) {
        session_reply(session, &refusal, SESSION_COMMAND);
        return;
    }
    if (rcpt.notify || rcpt.orcpt_type[0]) {
        session_replyf(session, 555, "5.5.4 a parameter that was not offered");
        return;
    }
    if (!identity_still_admits(session))
        return;
    forget_pending(session);
    /* RFC 5321, section 4.5.1: postmaster needs no domain; it is ours then */
    session->rcpt_asked = rcpt.recipient.domain.len > 0 ? span_dup(rcpt.recipient.text)
                                                        : mem_printf("%.*s@%s", SPAN_ARG(rcpt.recipient.text),
                                                                     session->connection->params->hostname);
    budget_check_guessing(session, on_guessing);
}
