/* SPDX-License-Identifier: Apache-2.0
 *
 * One outbound connection: looks up the plan's hosts, connects, speaks SMTP, and takes
 * messages in batches until there are none or the connection is spent. It runs on a
 * worker's loop, knows nothing of queues, and tells what became of each message.
 *
 * The awkward truth: between the peer's 250 and our record of it a crash makes the
 * message go twice. It never makes it go missing.
 */
#ifndef GATEPOST_DELIVER_DELIVER_H
#define GATEPOST_DELIVER_DELIVER_H

#include <sys/socket.h>

#include "base/cidr.h"
#include "base/error.h"
#include "base/list.h"
#include "dns/dns.h"
#include "loop/loop.h"
#include "message/message.h"
#include "route/route.h"
#include "smtp/reply.h"

enum deliver_verdict {
    DELIVER_OK,        /* the peer has it: 250 after end of data (for all its recipients) */
    DELIVER_TRANSIENT, /* this message, later */
    DELIVER_PERMANENT, /* this message, never */
    DELIVER_UNTRIED,   /* the connection ended before it was its turn, for all recipients: no attempt counted */
};

/* What became of one recipient of a message. */
struct deliver_recipient {
    enum deliver_verdict verdict;
    const struct smtp_reply *reply;
    const char *command; /* as below */
};

/* What became of one message; borrowed for the call. */
struct deliver_outcome {
    enum deliver_verdict verdict; /* of all recipients, or of the first when they differ */
    struct smtp_reply reply;      /* likewise: the peer's, or ours where the peer had none to give */
    const char *command;          /* what it answered: "RCPT TO"; "" when the peer was not asked */
    /* One for each recipient, in the message's order; NULL when all share the above. */
    const struct deliver_recipient *recipients;
    size_t recipient_count;
    const char *peer_name; /* "" before a connection stood */
    char peer_address[SOCKADDR_TEXT_BYTES];
    char source_address[SOCKADDR_TEXT_BYTES];
    const char *tls_cipher; /* "" in clear */
    const char *tls_protocol;
    const char *tls_peer_subject;
};

/* What those of its recipients are told who wait for another attempt. */
const struct smtp_reply *deliver_reply_to_waiting(const struct deliver_outcome *outcome);

/* A refusal (whose `command` is as above) that says: there is no such mailbox, or no such domain. */
bool deliver_refutes_recipient(const struct smtp_reply *reply, const char *command);

enum deliver_end {
    DELIVER_END_QUIET, /* nothing more to do, or asked to stop */
    DELIVER_END_SPENT, /* max_deliveries_per_connection reached, or the connection ended after a message */
    /* No host could be used, or the one that could left before it took a message: `reply`
     * says why, for all that wait. */
    DELIVER_END_NEVER_STOOD,
};

struct deliver_session;

/* All on the session's loop, never from within deliver_session_new, give or finish. */
struct deliver_handler {
    /* Ready for up to `most` messages: answer with deliver_session_give, now or later. Called
     * once, until messages were given. */
    void (*on_hungry)(void *ctx, struct deliver_session *session, size_t most);
    /* `message` is the callee's again. */
    void (*on_outcome)(void *ctx, struct deliver_session *session, struct message *message,
                       const struct deliver_outcome *outcome);
    /* Last call; the session frees itself after. Messages it still had were given back as
     * DELIVER_UNTRIED or DELIVER_TRANSIENT before. `reply` says why a site could not be used
     * (permanent: every host refuses, all are prohibited, or the site is ourselves); NULL when
     * there is nothing to say. */
    void (*on_end)(void *ctx, struct deliver_session *session, enum deliver_end end, const struct smtp_reply *reply);
};

/* `dns` is the loop's own. The plan is referenced. */
struct deliver_session *deliver_session_new(struct loop *loop, struct dns *dns, struct route_plan *plan,
                                            const struct deliver_handler *handler, void *ctx);

/* Hands over messages (linked through message_link), all loaded; the list is empty after. An
 * empty list means: none now, wait; it may be given more at any time while it is hungry. */
void deliver_session_give(struct deliver_session *session, struct list *messages);

/* No more messages: finish what it has, QUIT, end. */
void deliver_session_finish(struct deliver_session *session);
/* At once: the outcomes and on_end are told before it returns (from within one of the
 * session's own callbacks: right after that). A message whose end was already sent comes back
 * as DELIVER_TRANSIENT, the others as DELIVER_UNTRIED. */
void deliver_session_abort(struct deliver_session *session);

/* ---- what all sessions of the process share; from any thread ---- */

struct deliver_settings {
    const char *hostname; /* for EHLO where neither source nor path names one; NULL: the system's */
    const char *ca_pem;   /* for verified TLS; NULL: the system's store */
    /* Where we listen: connecting there would be a loop. A wildcard address stands for every
     * address of this machine. */
    const struct sockaddr_storage *own_addresses;
    size_t own_address_count;
};

/* Copies. Sessions look at it when they connect, so it may change at any time. */
void deliver_set_settings(const struct deliver_settings *settings);
/* Gives the memory back, when no session is left. */
void deliver_clear_settings(void);

#endif
