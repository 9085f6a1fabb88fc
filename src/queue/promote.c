/* SPDX-License-Identifier: Apache-2.0
 *
 * The way from scheduled to ready, one message at a time: is it still wanted, where does it
 * go, is there room, is it in memory, do the rates allow it, does policy. The order matters:
 * whatever holds up the whole queue is asked before anything is spent on the message.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "log/diag.h"
#include "message/schedule.h"
#include "queue/backoff.h"
#include "queue/held.h"
#include "queue/queue_private.h"

enum turn {
    TURN_NEXT,  /* the message has moved on, or something came up to date: look again */
    TURN_BREAK, /* the queue has to wait, and knows for what */
};

static bool is_expired(const struct sched *sched, const struct message *message, int64_t now_ms)
{
    return (sched->config && backoff_is_expired(sched->config, message_created_ms(message), now_ms) &&
            queue_has_let_wait(sched->queue, message)) ||
           message_schedule_is_over(message_schedule(message), now_ms);
}

static void expire(struct sched *sched, struct message *message)
{
    struct queue *queue = sched->queue;
    struct smtp_reply reply;

    sched_take(sched, message);
    smtp_reply_setf(&reply, 551, "5.4.7 not delivered in the time it was given");
    queue->ops.bounce(queue->ctx, message, &reply, true);
}

static bool is_troubled(struct sched *sched)
{
    if (sched->trouble && sched->trouble->until_ms <= clock_mono_ms()) {
        free(sched->trouble);
        sched->trouble = NULL;
    }
    return sched->trouble != NULL;
}

/* ---- a due time that cannot be trusted ---- */

static bool is_in_doubt(struct message *message, int64_t now_ms)
{
    return heap_has(message_heap_link(message)) && message_due_ms(message) > now_ms;
}

/* Policy that gives no settings just now leaves the default ones: it is asked when the message is due. */
static enum turn limit_due(struct sched *sched, struct message *message, uint64_t now_ms)
{
    if (!sched->config && !is_troubled(sched))
        return resolve_start(sched) ? TURN_NEXT : TURN_BREAK;
    sched_take(sched, message);
    queue_limit_due(sched_config(sched), message);
    sched_put(sched, message, now_ms);
    return TURN_NEXT;
}

/* ---- loading ---- */

/* Those that wait for the disk to take them are in memory: where it is slow, they must not become ever more. */
static bool may_load(const struct sched *sched)
{
    const struct queue *queue = sched->queue;

    return queue_has_hands(queue) && queue->to_shrink.count < QUEUE_HANDS_LIMIT &&
           queue->to_shrink_bytes < queue->ready_bytes_most && sched->loading < QUEUE_WARM_LIMIT;
}

static enum turn load(struct sched *sched, struct message *message)
{
    struct queue *queue = sched->queue;

    if (!may_load(sched) && !list_is_empty(&sched->fresh)) {
        sched->heaps_turn = false; /* those that are in memory need not wait for it */
        return TURN_NEXT;
    }
    if (!may_load(sched)) {
        sched_wait_in(sched, &queue->wait_hands);
        return TURN_BREAK;
    }
    sched_take(sched, message);
    list_push_back(&queue->loading, message_link(message));
    sched->loading++;
    queue->ops.load(queue->ctx, message);
    return TURN_NEXT;
}

void queue_loaded(struct queue *queue, struct message *message, const struct error *error)
{
    struct sched *sched = sched_find(queue, message);

    list_remove(&queue->loading, message_link(message));
    /* the name is the same whatever record the spool gave (message_restore), and a queue with a
     * message under way is not reaped */
    MUST(sched && sched->loading > 0);
    sched->loading--;
    if (error) {
        diag_error(NULL, error, "message %s cannot be read from the spool", message_id(message));
        message_set_due_ms(message, (int64_t)queue_wall_ms() +
                                        (error->kind == ERROR_PERM ? QUEUE_DAMAGED_AGAIN_MS : QUEUE_READ_AGAIN_MS));
        sched_put(sched, message, queue_wall_ms());
    } else {
        sched_put_warm(sched, message);
    }
    sched_wake_some(&queue->wait_hands, 2);
}

/* ---- trouble: nowhere to go just now ---- */

static enum turn fail(struct sched *sched, struct message *message)
{
    struct queue *queue = sched->queue;
    struct smtp_reply reply = sched->trouble->reply;

    if (!message_is_loaded(message))
        return load(sched, message);
    sched_take(sched, message);
    if (smtp_reply_is_permanent(&reply))
        queue->ops.bounce(queue->ctx, message, &reply, false);
    else
        queue_retry(queue, message, &reply, false);
    return TURN_NEXT;
}

/* ---- choosing a source whose ready queue has room ---- */

static bool slot_is_full(const struct slot *slot) { return slot->ready && !ready_has_room(slot->ready); }

static void pick(struct sched *sched)
{
    if (sched->picked >= 0 && !slot_is_full(&sched->slots[sched->picked]))
        return;
    for (size_t i = 0; i < sched->slot_count; i++)
        sched->slots[i].member.barred = slot_is_full(&sched->slots[i]);
    sched->picked = wrr_pick(sched->slots, sched->slot_count, sizeof *sched->slots);
}

static enum turn wait_for_room(struct sched *sched)
{
    for (size_t i = 0; i < sched->slot_count; i++)
        if (sched->slots[i].member.weight > 0) {
            sched->not_before_ms =
                queue_wall_ms() + QUEUE_ROOM_PATIENCE_MS / 2 + random_below(QUEUE_ROOM_PATIENCE_MS / 2);
            sched_wait_in(sched, &sched->slots[i].ready->blocked);
            break;
        }
    return TURN_BREAK;
}

static bool settings_hold(const struct sched *sched)
{
    return sched->config && (sched->pool || sched->config->protocol == ROUTE_NULL) &&
           freshness_holds(sched->queue, &sched->config_fresh);
}

static bool slot_holds(const struct sched *sched, const struct slot *slot)
{
    return slot->ready && (freshness_holds(sched->queue, &slot->fresh) || slot->ready->refreshing);
}

/* ---- rates ---- */

static bool rate_allows(struct rate *rate, const struct rate_spec *spec, uint64_t *wait_us)
{
    uint64_t after_us = 0;

    if (rate_take(rate, spec, 1, clock_mono_us(), &after_us))
        return true;
    if (after_us > *wait_us)
        *wait_us = after_us;
    return false;
}

static struct rate *overall_rate(struct queue *queue, const char *key)
{
    struct rate *rate = map_find(&queue->overall_rates, span_of(key));

    if (!rate) {
        rate = mem_zalloc(sizeof *rate);
        map_put(&queue->overall_rates, span_of(key), rate);
    }
    return rate;
}

/* False: the queue rests until the rate allows the next one. */
static bool rates_allow(struct sched *sched)
{
    const struct route_queue_config *config = sched_config(sched);
    struct rate before = sched->rate;
    uint64_t wait_us = 0;

    if (config->has_max_message_rate && !rate_allows(&sched->rate, &config->max_message_rate, &wait_us))
        ;
    else if (config->has_overall_max_message_rate &&
             !rate_allows(overall_rate(sched->queue, config->overall_key), &config->overall_max_message_rate, &wait_us))
        sched->rate = before; /* not used after all */
    if (wait_us == 0)
        return true;
    sched->not_before_ms = queue_wall_ms() + wait_us / 1000 + 1;
    return false;
}

/* ---- throttle_insert_ready_queue ---- */

static int push_message(lua_State *L, void *ctx)
{
    struct task *task = ctx;

    policy_push_object(L, "message", task->message);
    return 1;
}

static void on_throttled(struct task *task, const struct policy_result *result)
{
    struct queue *queue = task->queue;
    struct message *message = task->message;
    uint64_t now_ms = queue_wall_ms();

    task->sched->tasks--;
    if (result->outcome == POLICY_FAILED || result->outcome == POLICY_REJECTED || result->outcome == POLICY_DISCONNECT)
        message_set_due_ms(message,
                           (int64_t)(now_ms + QUEUE_ROOM_PATIENCE_MS / 2 + random_below(QUEUE_ROOM_PATIENCE_MS)));
    if (message_due_ms(message) > (int64_t)now_ms) {
        queue->ops.delayed(queue->ctx, message, NULL);
        queue_place(queue, message);
    } else {
        ready_insert(task->ready, message);
    }
    sched_arm(task->sched);
    sched_wake_some(&queue->wait_hands, 2);
}

static enum turn ask_policy(struct sched *sched, struct message *message, struct queue_ready *ready)
{
    struct task *task;

    if (!queue_has_hands(sched->queue)) {
        sched_wait_in(sched, &sched->queue->wait_hands);
        return TURN_BREAK;
    }
    sched_take(sched, message);
    message_set_due_ms(message, 0);
    task = task_new(sched->queue, message);
    task->sched = sched;
    task->ready = ready_ref(ready);
    sched->tasks++;
    task_run(task, POLICY_EVENT_THROTTLE_INSERT_READY_QUEUE, push_message, on_throttled);
    return TURN_NEXT;
}

/* ---- one message ---- */

#define VISIT 64 /* then other queues have their turn */

static enum turn enter(struct sched *sched, struct message *message, struct queue_ready *ready)
{
    struct queue *queue = sched->queue;

    if (!message_is_loaded(message))
        return load(sched, message);
    if (held_sender(message)) {
        sched_take(sched, message);
        if (!queue_park(queue, message)) /* released meanwhile */
            queue_place(queue, message);
        return TURN_NEXT;
    }
    if (!rates_allow(sched))
        return TURN_BREAK;
    sched->picked = -1;
    if (policy_handles(sched->queue->vm, POLICY_EVENT_THROTTLE_INSERT_READY_QUEUE))
        return ask_policy(sched, message, ready);
    sched_take(sched, message);
    ready_insert(ready, message);
    return TURN_NEXT;
}

static enum turn promote(struct sched *sched, struct message *message, uint64_t now_ms)
{
    struct queue *queue = sched->queue;

    if (is_in_doubt(message, (int64_t)now_ms))
        return limit_due(sched, message, now_ms);
    if (is_expired(sched, message, (int64_t)now_ms)) {
        expire(sched, message);
        return TURN_NEXT;
    }
    if (is_troubled(sched))
        return fail(sched, message);
    if (!settings_hold(sched))
        return resolve_start(sched) ? TURN_NEXT : TURN_BREAK;
    if (sched->config->protocol == ROUTE_NULL) {
        sched_take(sched, message);
        queue->ops.discard(queue->ctx, message);
        return TURN_NEXT;
    }
    pick(sched);
    if (sched->picked < 0)
        return wait_for_room(sched);
    if (!slot_holds(sched, &sched->slots[sched->picked]))
        return resolve_start(sched) ? TURN_NEXT : TURN_BREAK;
    return enter(sched, message, sched->slots[sched->picked].ready);
}

void sched_promote(struct sched *sched, uint64_t now_ms, size_t *budget)
{
    struct message *message;
    size_t steps = 0;

    sched_unlist(sched);
    sched->not_before_ms = 0;
    while (*budget > 0 && (message = sched_peek(sched, now_ms))) {
        --*budget;
        if (promote(sched, message, now_ms) == TURN_BREAK)
            break;
        if (++steps == VISIT) {
            sched->not_before_ms = now_ms; /* behind those that have been due longer */
            break;
        }
    }
    sched_arm(sched);
}
