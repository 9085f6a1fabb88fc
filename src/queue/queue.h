/* SPDX-License-Identifier: Apache-2.0
 *
 * Every message that waits has its turn decided here, by one thread: scheduled queues (one
 * per campaign:tenant@domain!routing_domain), ready queues (one per source and site), rates
 * and connection limits. It moves pointers and reads clocks; it neither parses nor sends
 * bytes, and it reaches the other rooms only through struct queue_ops.
 */
#ifndef GATEPOST_QUEUE_QUEUE_H
#define GATEPOST_QUEUE_QUEUE_H

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/list.h"
#include "dns/dns.h"
#include "loop/loop.h"
#include "message/message.h"
#include "policy/policy.h"
#include "route/route.h"
#include "smtp/reply.h"

struct queue;
struct queue_ready; /* a ready queue, as a handle for connections; counted by the queue */

/* What the queue asks of the house, on the queue's thread. None of these may call back into the
 * queue before it returns. */
struct queue_ops {
    /* Open a connection for `plan`. It answers, on the queue's thread, with queue_take,
     * queue_report_done or _back, and at last queue_connection_ended. `connection` names it. */
    void (*connect)(void *ctx, struct queue_ready *ready, uint64_t connection, struct route_plan *plan);
    /* Give these (may be empty: no more now) to a connection that asked with queue_take and
     * found none. The messages are the callee's. */
    void (*give)(void *ctx, uint64_t connection, struct list *messages);
    /* Tell a connection to finish (idle too long, shutting down, plan out of date). */
    void (*finish)(void *ctx, uint64_t connection);
    /* A shrunk message is wanted: bring it back and answer queue_loaded. */
    void (*load)(void *ctx, struct message *message);
    /* Persist attempts, due time, metadata (message_save_begin). The message is loaded and stays the queue's; it may
     * go its way before that is durable, but is not shrunk before message_save_end, after which comes queue_saved. */
    void (*save)(void *ctx, struct message *message);
    /* It is over: `reply` says why (expired, domain does not exist, ...). Log, and remove it
     * from the spool; the message is the callee's. */
    void (*bounce)(void *ctx, struct message *message, const struct smtp_reply *reply, bool expired);
    /* Log that it waits: with a reply, after an attempt that failed before any peer was reached
     * (TransientFailure; not called for what came back by queue_report_back, which its reporter
     * has logged); without one, it is only not its time yet (Delayed). Stays the queue's. */
    void (*delayed)(void *ctx, const struct message *message, const struct smtp_reply *reply);
    /* The null queue took it: remove it from the spool; the message is the callee's. */
    void (*discard)(void *ctx, struct message *message);
};

/* Starts on `loop` (the queue thread's); `vm` and `dns` belong to that thread. */
struct queue *queue_new(struct loop *loop, struct policy_vm *vm, struct dns *dns, const struct queue_ops *ops,
                        void *ctx);
/* Messages in it are freed; they live on in the spool. No answer to ops->load may come after. */
void queue_free(struct queue *queue);

/* All on the queue's thread: */

/* A fresh or enumerated message. The queue owns it from now on. */
void queue_insert(struct queue *queue, struct message *message);
void queue_loaded(struct queue *queue, struct message *message, const struct error *error);
/* A save has ended, well or not: one that failed is not made again before the next attempt. */
void queue_saved(struct queue *queue);

/* A connection wants up to `most` messages: moved to `messages_out`. None: it is remembered as
 * waiting, and ops->give follows when there is one. */
void queue_take(struct queue *queue, uint64_t connection, size_t most, struct list *messages_out);

/* What became of a message that a connection had. Delivered and bounced ones do not come back:
 * only their count. */
void queue_report_done(struct queue *queue, uint64_t connection, size_t delivered, size_t bounced);
/* Transient (the caller has counted the attempt, message_set_attempts, and logged it; the message
 * waits longer than before), or untried (back to the front, `reply` may be NULL). A connection
 * that has ended may still give messages back. */
void queue_report_back(struct queue *queue, uint64_t connection, struct message *message,
                       const struct smtp_reply *reply, bool untried);
void queue_connection_ended(struct queue *queue, uint64_t connection, bool never_stood, const struct smtp_reply *reply);

/* No more connections are opened; those there are finish. */
void queue_stop(struct queue *queue);
size_t queue_connection_count(const struct queue *queue);

/* What waits because its sender was held (held.h) and is not any more has its turn again. Returns how many messages. */
size_t queue_release(struct queue *queue);

/* For the admin side: {"scheduled": [{"name", "length", "next_due", "trouble"}], "ready": [{"name",
 * "length", "connections", "consecutive_failures"}], "held": [{"name": of the sender, "length"}]}, at most `most` of
 * each. */
json_t *queue_describe(const struct queue *queue, size_t most);

/* The same as lines of the metrics page: scheduled_count{queue=} and ready_count{service=}, for
 * at most `most` queues of each kind. */
int queue_write_metrics(const struct queue *queue, size_t most, struct buf *out) __attribute__((warn_unused_result));

#endif
