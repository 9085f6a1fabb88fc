/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory given back by messages that wait, as soon as the disk has them; once a second, connections that
 * idle told to go, queues nobody uses forgotten. All of it keeps memory bounded.
 */
#include <stdlib.h>

#include "base/must.h"
#include "message/message.h"
#include "queue/queue_private.h"

#define SWEEP_MS 1000
#define PRUNE_MS 60000

static size_t bytes_of(const struct message *message) { return message_body_bytes(message) + QUEUE_LOADED_BYTES; }

static bool is_kept(const struct message *message)
{
    return message_is_dirty(message) || message_is_only_here(message);
}

/* Policy changed it, and put it off without an attempt. A body that was set keeps a message dirty after that. */
static bool is_to_be_saved(const struct message *message)
{
    return message_is_dirty(message) && !(message_is_body_dirty(message) && message_is_being_saved(message));
}

void queue_shrink(struct queue *queue, struct message *message)
{
    if (!message_is_loaded(message) || message_spool_ref(message) == 0)
        return;
    if (is_to_be_saved(message))
        queue->ops.save(queue->ctx, message);
    if (message_is_being_saved(message)) { /* until then the spool gives the record before */
        list_push_back(&queue->to_shrink, message_link(message));
        queue->to_shrink_bytes += bytes_of(message);
    } else if (!is_kept(message)) {
        message_shrink(message);
    }
}

void queue_spare(struct queue *queue, struct message *message)
{
    if (!list_has(message_link(message)))
        return;
    list_remove(&queue->to_shrink, message_link(message));
    queue->to_shrink_bytes -= bytes_of(message);
}

void queue_saved(struct queue *queue)
{
    struct list_node *node;

    while ((node = list_first(&queue->to_shrink)) && !message_is_being_saved(message_of_link(node))) {
        queue_spare(queue, message_of_link(node));
        if (!is_kept(message_of_link(node)))
            message_shrink(message_of_link(node));
    }
    sched_wake_some(&queue->wait_hands, 2);
}

static bool is_rate_at_rest(const struct rate *rate) { return rate->full_at_us <= clock_mono_us(); }

static void reap_scheds(struct queue *queue, uint64_t now_ms)
{
    struct list_node *node;

    while ((node = list_first(&queue->idle))) {
        struct sched *sched = CONTAINER_OF(node, struct sched, link);

        if (now_ms < sched->idle_since_ms + sched_config(sched)->reap_interval_ms)
            break;
        if (!is_rate_at_rest(&sched->rate)) { /* its rate would be forgotten with it */
            sched->idle_since_ms = now_ms;
            list_remove(&queue->idle, node);
            list_push_back(&queue->idle, node);
            continue;
        }
        map_remove(&queue->scheds, span_of(sched->text));
        sched_free(sched);
    }
}

static bool is_reapable(const struct queue_ready *ready, uint64_t now_ms)
{
    return ready->refs == 0 && list_is_empty(&ready->messages) && now_ms >= ready->idle_since_ms + QUEUE_LINGER_MS &&
           is_rate_at_rest(&ready->message_rate) && is_rate_at_rest(&ready->connection_rate);
}

static void finish_outdated(struct queue_ready *ready)
{
    struct list_node *node;

    while ((node = list_first(&ready->waiting)))
        connection_finish(CONTAINER_OF(node, struct connection, wait));
}

static void sweep_readies(struct queue *queue, uint64_t now_ms)
{
    struct map_cursor cursor = {0};
    struct span key;
    void *value;

    while (map_next(&queue->readies, &cursor, &key, &value)) {
        struct queue_ready *ready = value;

        if (!list_is_empty(&ready->waiting)) {
            connections_finish_idle(ready, now_ms);
            if (ready->fresh.epoch != queue_epoch(queue))
                finish_outdated(ready); /* the policy has changed: so may have its path */
        }
        if (is_reapable(ready, now_ms)) {
            map_remove(&queue->readies, key);
            ready_free(ready);
        }
    }
}

/* Nothing may wait for ever on a wake-up that went to somebody who did not need it. */
static void wake_waiters(struct queue *queue)
{
    if (queue->resolving < QUEUE_RESOLVES_LIMIT)
        sched_wake_some(&queue->wait_resolve, QUEUE_RESOLVES_LIMIT - queue->resolving);
    if (queue_has_hands(queue))
        sched_wake_some(&queue->wait_hands, QUEUE_HANDS_LIMIT);
}

static bool has_work(const struct queue *queue)
{
    return queue->scheds.count + queue->readies.count + queue->pools.count + queue->sources.count + queue->sites.count >
           0;
}

void queue_sweep(void *ctx)
{
    struct queue *queue = ctx;
    uint64_t now_ms = clock_mono_ms();

    sweep_readies(queue, now_ms);
    reap_scheds(queue, now_ms);
    wake_waiters(queue);
    if (now_ms - queue->pruned_ms >= PRUNE_MS) {
        cache_prune(queue, now_ms);
        queue->pruned_ms = now_ms;
    }
    if (has_work(queue) && !timer_is_running(&queue->sweep))
        timer_start(&queue->sweep, SWEEP_MS);
}
