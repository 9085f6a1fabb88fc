/* SPDX-License-Identifier: Apache-2.0
 *
 * The one thread that gives turns: it owns the queue, a policy VM for the queue's questions,
 * and a resolver. Everything reaches it as notes.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/must.h"
#include "relay_private.h"

#define ANSWER_SECONDS 15
#define ANSWER_LIMIT_BYTES (64 * 1024 * 1024)

static int open_rooms(void *ctx, struct loop *loop, struct error *error)
{
    struct turns *turns = ctx;

    turns->vm = policy_vm_new(turns->relay->policy, loop, error);
    if (!turns->vm)
        return -1;
    turns->dns = relay_dns_new(turns->relay, loop, error);
    if (!turns->dns)
        return -1;
    turns->queue = queue_new(loop, turns->vm, turns->dns, relay_queue_ops(), turns);
    safekeeping_bring_back(turns);
    return 0;
}

static void close_rooms(void *ctx)
{
    struct turns *turns = ctx;

    queue_free(turns->queue);
    turns->queue = NULL; /* the spool may still be showing what it has */
    dns_free(turns->dns);
    policy_vm_free(turns->vm);
}

int turns_start(struct turns *turns, struct relay *relay, struct error *error)
{
    turns->relay = relay;
    return thread_start(&turns->thread, "queue", open_rooms, close_rooms, turns, error);
}

void turns_stop(struct turns *turns) { thread_stop(&turns->thread); }

/* ---- notes to the queue's thread ---- */

struct fresh {
    struct note note;
    struct list messages;
};

static void insert_fresh(struct note *note)
{
    struct fresh *fresh = CONTAINER_OF(note, struct fresh, note);
    struct message *message;

    while ((message = relay_take_message(&fresh->messages)))
        queue_insert(note->relay->turns.queue, message);
    free(fresh);
}

/* What one turn of the worker made safe goes over in one note. */
static void pass_fresh(struct deferred *deferred)
{
    struct worker *worker = CONTAINER_OF(deferred, struct worker, pass_fresh);
    struct relay *relay = worker->relay;
    struct fresh *fresh = mem_zalloc(sizeof *fresh);

    list_init(&fresh->messages);
    list_splice(&fresh->messages, &worker->fresh);
    relay_pass_note(relay, relay->turns.thread.loop, &fresh->note, insert_fresh);
    atomic_fetch_sub(&relay->in_flight, 1);
}

void turns_insert(struct worker *worker, struct list *messages)
{
    if (list_is_empty(&worker->fresh)) {
        atomic_fetch_add(&worker->relay->in_flight, 1);
        worker->pass_fresh.run = pass_fresh;
        loop_defer(worker->thread.loop, &worker->pass_fresh);
    }
    list_splice(&worker->fresh, messages);
}

static void drain_queue(struct note *note)
{
    queue_stop(note->relay->turns.queue);
    free(note);
}

void turns_drain(struct turns *turns)
{
    relay_pass_note(turns->relay, turns->thread.loop, mem_zalloc(sizeof(struct note)), drain_queue);
}

/* ---- questions from other threads ---- */

/* Shared by the asking thread and the queue's: whoever comes last frees it. */
struct question {
    struct note note;
    atomic_int holders;
    turns_answer_fn *answer;
    size_t most;
    int status;
    struct buf out;
    sem_t answered;
};

static void question_release(struct question *question)
{
    if (atomic_fetch_sub(&question->holders, 1) != 1)
        return;
    buf_done(&question->out);
    sem_destroy(&question->answered);
    free(question);
}

static void answer_it(struct note *note)
{
    struct question *question = CONTAINER_OF(note, struct question, note);

    question->status = question->answer(note->relay->turns.queue, question->most, &question->out);
    sem_post(&question->answered);
    question_release(question);
}

static int wait_for_answer(struct question *question, struct buf *out)
{
    struct timespec until;
    int result;

    /* not sem_clockwait: TSan does not know it, and would see a race with who answers */
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ANSWER_SECONDS;
    while ((result = sem_timedwait(&question->answered, &until)) && errno == EINTR)
        continue;
    if (result || question->status)
        return -1;
    return buf_append_span(out, buf_span(&question->out));
}

int turns_ask(struct relay *relay, turns_answer_fn *answer, size_t most, struct buf *out)
{
    struct question *question = mem_zalloc(sizeof *question);
    int status;

    atomic_init(&question->holders, 2);
    question->answer = answer;
    question->most = most;
    buf_init(&question->out, ANSWER_LIMIT_BYTES);
    sem_init(&question->answered, 0, 0);
    relay_pass_note(relay, relay->turns.thread.loop, &question->note, answer_it);
    status = wait_for_answer(question, out);
    question_release(question);
    return status;
}
