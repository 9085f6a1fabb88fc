/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads of the road, and the notes they pass each other. Shared by relay.c (the
 * sentence), safekeeping.c (spool), turns.c (the queue's thread), worker.c (the threads with
 * sockets) and connections.c (outbound connections between those two).
 */
#ifndef GATEPOST_RELAY_PRIVATE_H
#define GATEPOST_RELAY_PRIVATE_H

#include <semaphore.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "deliver/deliver.h"
#include "dns/dns.h"
#include "loop/loop.h"
#include "loop/thread.h"
#include "message/message.h"
#include "queue/queue.h"
#include "receive/receive.h"
#include "relay.h"
#include "spool/spool.h"

/* A thread with sockets: inbound sessions and outbound connections. */
struct worker {
    /* fixed after start */
    struct relay *relay;
    size_t index;
    struct thread thread;

    /* owned by its thread */
    struct policy_vm *vm;
    struct dns *dns;
    struct receive_listener **listeners;
    size_t listener_count;
    struct error listen_error; /* why it has fewer than it should */
    struct map connections;    /* id -> struct connection */
    struct list fresh;         /* messages that are safe and on their way to the queue */
    struct deferred pass_fresh;
};

/* The thread that gives turns. */
struct turns {
    /* fixed after start */
    struct relay *relay;
    struct thread thread;

    /* owned by its thread */
    struct policy_vm *vm;
    struct dns *dns;
    struct queue *queue; /* NULL once it has ended */
};

struct relay {
    /* fixed after start */
    struct policy *policy;
    const struct setup *setup;
    struct spool *spool;
    struct worker *workers;
    size_t worker_count;
    struct turns turns;

    /* shared */
    atomic_bool stopping;
    atomic_bool ended;       /* the rooms are being closed: a note that comes now comes too late */
    atomic_size_t in_flight; /* notes not read, transactions not on disk, connections not ended */
    sem_t listening;         /* once for each worker that has looked after its listeners */
};

/* ---- notes: from one thread of the road to another ---- */

struct note {
    struct mail mail;
    struct relay *relay;
    void (*act)(struct note *note); /* runs on the receiver and frees what embeds the note */
};

/* Counts as in flight until `act` has run. */
void relay_pass_note(struct relay *relay, struct loop *to, struct note *note, void (*act)(struct note *note));

/* The first message of the list, or NULL when it is empty. */
struct message *relay_take_message(struct list *messages);

/* A resolver for `loop`, set up as the policy asked. */
struct dns *relay_dns_new(struct relay *relay, struct loop *loop, struct error *error);

/* ---- safekeeping.c: messages into the spool, and out of it ---- */

struct safekeeping;

/* The messages are durable and have their refs, or `error` says why not. They are the callee's
 * either way. On the thread that asked. */
typedef void safekeeping_fn(void *ctx, struct worker *worker, struct list *messages, const struct error *error);
void safekeeping_keep(struct worker *worker, struct list *messages, safekeeping_fn *on_done, void *ctx);

/* It has left, and that is on record: the spool forgets it. Frees the message. */
void safekeeping_forget(struct relay *relay, struct message *message);

/* For the queue, on its thread: fetch a shrunk message back; write down what changed. */
void safekeeping_fetch(struct turns *turns, struct message *message);
void safekeeping_save(struct turns *turns, struct message *message);

/* Shows the queue every message that is in the spool at start. On the queue's thread. */
void safekeeping_bring_back(struct turns *turns);

/* ---- turns.c: the queue's thread ---- */

int turns_start(struct turns *turns, struct relay *relay, struct error *error) __attribute__((warn_unused_result));
void turns_insert(struct worker *worker, struct list *messages); /* on the worker's thread, soon */
void turns_drain(struct turns *turns);
void turns_stop(struct turns *turns); /* ends the thread */
/* Asks from another thread, which waits a few seconds at most; -1 when there was no answer. */
typedef int turns_answer_fn(struct queue *queue, size_t most, struct buf *out);
int turns_ask(struct relay *relay, turns_answer_fn *answer, size_t most, struct buf *out)
    __attribute__((warn_unused_result));

/* ---- worker.c ---- */

int worker_start(struct worker *worker, struct relay *relay, size_t index, struct error *error)
    __attribute__((warn_unused_result));
/* From any thread: every worker begins to accept, and when this returns all of them do. */
int worker_listen_all(struct relay *relay, struct error *error) __attribute__((warn_unused_result));
void worker_drain(struct worker *worker); /* from any thread: accept no more, end sessions soon */
void worker_cut(struct worker *worker);   /* from any thread: end sessions and connections now */
void worker_stop(struct worker *worker);  /* ends the thread */

/* ---- connections.c: an outbound connection, between the queue and a worker ---- */

/* On the queue's thread. A connection lives on the worker its id names. */
void connections_open(struct turns *turns, uint64_t id, struct route_plan *plan);
void connections_give(struct turns *turns, uint64_t id, struct list *messages);
void connections_finish(struct turns *turns, uint64_t id);

/* Cuts every connection of the worker; on its thread. */
void connections_abort(struct worker *worker);

/* What became of a message on a connection: relay.c decides. True when it has left (delivered
 * or refused for good) and is gone; false when it must go back to the queue. */
bool relay_settle(struct relay *relay, struct message *message, const struct route_plan *plan,
                  const struct deliver_outcome *outcome);

/* ---- relay.c: the hand-overs as the rooms call them ---- */

const struct receive_ops *relay_receive_ops(void); /* ctx: struct worker */
const struct queue_ops *relay_queue_ops(void);     /* ctx: struct turns */

#endif
