/* SPDX-License-Identifier: Apache-2.0
 *
 * The room where mail comes in: a listener per worker, a session per connection, and at the
 * end of each transaction messages, handed to the house in one list. What the house does with
 * them is its own affair; we only promise the client what the house has answered.
 */
#ifndef GATEPOST_RECEIVE_RECEIVE_H
#define GATEPOST_RECEIVE_RECEIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/list.h"
#include "loop/loop.h"
#include "message/message.h"
#include "policy/policy.h"
#include "receive/connection.h"
#include "receive/params.h"
#include "smtp/reply.h"

struct receive_listener;
struct receive_reception;

/* A refusal that the client was told (4xx and 5xx), for a Rejection record. Borrowed. */
struct receive_rejection {
    struct receive_connection *connection;
    const struct smtp_reply *reply;
    const char *command; /* as sent; of an AUTH only the verb and the mechanism; "DATA" at the end of data */
    const char *sender;  /* NULL outside of a transaction */
    const char *const *recipients;
    size_t recipient_count;
};

/* What a worker's sessions ask of the house, on the worker's thread. */
struct receive_ops {
    /* Make these durable, all or none; the messages are the callee's. Answered, later or at
     * once, with receive_stored. */
    void (*store)(void *ctx, struct receive_reception *reception, struct list *messages);
    /* May new mail come in? Asked at MAIL. False: `why_not_out` is the reply to give. */
    bool (*accepts)(void *ctx, struct smtp_reply *why_not_out);
    /* May be NULL. */
    void (*rejected)(void *ctx, const struct receive_rejection *rejection);
};

/* NULL: all of them are on stable storage, and the client is told 250. Otherwise none is
 * promised, and the client gets this reply. Once, on the worker's thread; `reception` is gone
 * after. The session may have ended meanwhile: then nobody is told. */
void receive_stored(struct receive_reception *reception, const struct smtp_reply *failure);

/* Who sent it: valid until receive_stored. */
struct receive_connection *receive_reception_connection(struct receive_reception *reception);

/* What all listeners of one start_esmtp_listener share: the count of connections. */
struct receive_share;
struct receive_share *receive_share_new(void) __attribute__((returns_nonnull));
void receive_share_unref(struct receive_share **share);

/* Accepts on `fd` (from listener_bind; the callee's from now on) on the worker's own loop.
 * `vm` is the worker's and outlives the listener, which takes its own reference to `params` and
 * `share`. */
struct receive_listener *receive_listener_new(struct loop *loop, int fd, struct policy_vm *vm,
                                              struct receive_params *params, struct receive_share *share,
                                              const struct receive_ops *ops, void *ctx, struct error *error);

/* No new connections. Sessions finish what they are in the middle of: at their next command
 * outside of a transaction they are told 421; `on_drained` when none is left. */
void receive_listener_stop(struct receive_listener *listener, void (*on_drained)(void *ctx), void *ctx);

/* Ends what is left at once, and frees. NULL is fine. */
void receive_listener_free(struct receive_listener *listener);

size_t receive_listener_sessions(const struct receive_listener *listener);

/* ---- who is logged in; from any thread ---- */

/* [{user, peer, listener, id, since}], since in seconds of the wall clock; acting_as where that is somebody else. NULL
 * for everybody. */
json_t *receive_sessions_list(const char *user, size_t most);
/* Those of a user (logged in as, or acting as), the one with an id, or both; NULL is any. They are told 421 at once, or
 * when what they wait for is there; a message that was not handed over to be stored is not. Returns how many. */
size_t receive_sessions_close(const char *user, const char *id);

/* How many bytes of messages may be in the middle of coming in, over the whole process;
 * beyond it mail is put off with 452. Default 1 GiB. */
void receive_set_memory_limit(uint64_t bytes);

#endif
