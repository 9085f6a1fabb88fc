/* SPDX-License-Identifier: Apache-2.0
 *
 * The one thread that gives turns: it owns the queue, a policy VM for the queue's questions,
 * and a resolver. Everything reaches it as notes.
 */
#include <jansson.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/must.h"
#include "relay_private.h"

static int open_rooms(void *ctx, struct loop *loop, struct error *error)
{
    struct turns *turns = ctx;

    turns->vm = policy_vm_new(turns->relay->policy, loop, error);
    if (!turns->vm)
        return -1;
    turns->dns = relay_dns_new(turns->relay, loop, error);
    if (!turns->dns)
        return -1;
    turns->queue = queue_new(loop, turns->vm, turns->dns, relay_queue_ops(), turns, error);
    if (!turns->queue)
        return -1;
    safekeeping_bring_back(turns);
    return 0;
}

static void close_rooms(void *ctx)
{
    struct turns *turns = ctx;

    queue_free(turns->queue);
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

void turns_insert(struct relay *relay, struct list *messages)
{
    struct fresh *fresh = mem_zalloc(sizeof *fresh);

    list_init(&fresh->messages);
    list_splice(&fresh->messages, messages);
    relay_pass_note(relay, relay->turns.thread.loop, &fresh->note, insert_fresh);
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

/* ---- what waits, for the admin side ---- */

/* Shared by the asking thread and the queue's: whoever comes last frees it. */
struct asked {
    struct note note;
    atomic_int holders;
    size_t most;
    json_t *result;
    sem_t answered;
};

static void asked_release(struct asked *asked)
{
    if (atomic_fetch_sub(&asked->holders, 1) != 1)
        return;
    json_decref(asked->result);
    sem_destroy(&asked->answered);
    free(asked);
}

static void describe(struct note *note)
{
    struct asked *asked = CONTAINER_OF(note, struct asked, note);

    asked->result = queue_describe(note->relay->turns.queue, asked->most);
    sem_post(&asked->answered);
    asked_release(asked);
}

json_t *turns_describe(struct relay *relay, size_t most, unsigned wait_seconds)
{
    struct asked *asked = mem_zalloc(sizeof *asked);
    struct timespec until;
    json_t *result = NULL;

    atomic_init(&asked->holders, 2);
    asked->most = most;
    sem_init(&asked->answered, 0, 0);
    relay_pass_note(relay, relay->turns.thread.loop, &asked->note, describe);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += wait_seconds;
    if (!sem_timedwait(&asked->answered, &until))
        result = json_incref(asked->result);
    asked_release(asked);
    return result;
}
