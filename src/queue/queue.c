/* SPDX-License-Identifier: Apache-2.0
 *
 * The door of the room, and its pump: once per turn of the loop, queues that are due promote
 * messages, and ready queues that were touched feed and open connections. One timer, for the
 * queue that is due first, stands for them all.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "message/schedule.h"
#include "queue/queue_private.h"

#define LONGEST_NAP_MS 30000 /* the wall clock may be set while we sleep */
#define SWEEP_MS 1000

uint64_t queue_epoch(const struct queue *queue) { return policy_epoch(policy_of(queue->vm)); }

bool freshness_holds(const struct queue *queue, const struct freshness *fresh)
{
    return fresh->epoch == queue_epoch(queue) && clock_mono_ms() < fresh->until_ms;
}

struct freshness freshness_for(const struct queue *queue, uint64_t ttl_ms, bool by_epoch)
{
    return (struct freshness){.until_ms = by_epoch ? UINT64_MAX : clock_mono_ms() + ttl_ms,
                              .epoch = queue_epoch(queue)};
}

void queue_stir(struct queue *queue) { loop_defer(queue->loop, &queue->pump); }

static void on_timer(void *ctx) { queue_stir(ctx); }

static void arm(struct queue *queue, uint64_t now_ms)
{
    struct heap_node *first = heap_first(&queue->due);
    uint64_t nap_ms;

    if (!first || queue->stopping)
        return;
    nap_ms = first->key > now_ms ? first->key - now_ms : 1;
    timer_start(&queue->timer, nap_ms < LONGEST_NAP_MS ? nap_ms : LONGEST_NAP_MS);
}

static void promote_due(struct queue *queue, uint64_t now_ms)
{
    size_t budget = QUEUE_PUMP_BUDGET;
    struct heap_node *first;

    while (!queue->stopping && budget > 0 && (first = heap_first(&queue->due)) && first->key <= now_ms)
        sched_promote(CONTAINER_OF(first, struct sched, due), now_ms, &budget);
    if (budget == 0)
        queue_stir(queue);
}

static void pump_ready(struct queue *queue)
{
    struct list batch;
    struct list_node *node;

    list_init(&batch);
    list_splice(&batch, &queue->stirred);
    while ((node = list_take_first(&batch)))
        ready_pump(CONTAINER_OF(node, struct queue_ready, link));
}

static void on_pump(struct deferred *deferred)
{
    struct queue *queue = CONTAINER_OF(deferred, struct queue, pump);
    uint64_t now_ms = queue_wall_ms();

    queue_mind_clock(queue);
    promote_due(queue, now_ms);
    pump_ready(queue);
    arm(queue, now_ms);
    if (!timer_is_running(&queue->sweep))
        timer_start(&queue->sweep, SWEEP_MS);
}

static void init_collections(struct queue *queue)
{
    struct map *maps[] = {&queue->scheds,  &queue->readies, &queue->connections,   &queue->pools,
                          &queue->sources, &queue->sites,   &queue->overall_rates, &queue->parked};
    struct list *lists[] = {&queue->stirred, &queue->wait_resolve, &queue->wait_hands, &queue->idle,
                            &queue->loading, &queue->tasks,        &queue->to_shrink};

    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
        map_init(maps[i]);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        list_init(lists[i]);
    heap_init(&queue->due);
}

static void init_defaults(struct queue *queue)
{
    json_t *nothing = json_object();

    queue->default_config = route_queue_config_new(nothing, NULL);
    queue->default_path = route_path_new(nothing, NULL);
    json_decref(nothing);
    MUST(queue->default_config && queue->default_path);
}

struct queue *queue_new(struct loop *loop, struct policy_vm *vm, struct dns *dns, const struct queue_ops *ops,
                        void *ctx)
{
    struct queue *queue = mem_zalloc(sizeof *queue);

    queue->loop = loop;
    queue->vm = vm;
    queue->dns = dns;
    queue->ops = *ops;
    queue->ctx = ctx;
    queue->ready_bytes_most = QUEUE_READY_BYTES;
    queue->wall_ahead_ms = clock_wall_ms() - (int64_t)clock_mono_ms();
    queue->steady_since_ms = clock_wall_ms();
    init_collections(queue);
    init_defaults(queue);
    list_node_init(&queue->pump.node);
    queue->pump.run = on_pump;
    timer_init(&queue->timer, loop, on_timer, queue);
    timer_init(&queue->sweep, loop, queue_sweep, queue);
    return queue;
}

static void free_connection(void *value)
{
    struct connection *connection = value;

    list_remove(&connection->ready->connections, &connection->link);
    if (list_has(&connection->wait))
        list_remove(&connection->ready->waiting, &connection->wait);
    ready_unref(&connection->ready);
    free(connection);
}

static void free_sched(void *value) { sched_free(value); }

static void free_ready(void *value) { ready_free(value); }

void queue_free(struct queue *queue)
{
    struct list_node *node;

    if (!queue)
        return;
    task_cancel_all(queue);
    while ((node = list_take_first(&queue->loading)))
        message_free(message_of_link(node));
    queue_free_parked(queue);
    map_done(&queue->connections, free_connection);
    map_done(&queue->scheds, free_sched);
    map_done(&queue->readies, free_ready);
    cache_done(queue);
    heap_done(&queue->due);
    timer_stop(&queue->timer);
    timer_stop(&queue->sweep);
    loop_undefer(queue->loop, &queue->pump);
    route_queue_config_unref(&queue->default_config);
    route_path_unref(&queue->default_path);
    free(queue);
}

static void note_delay(struct queue *queue, const struct message *message)
{
    if (message_due_ms(message) > (int64_t)queue_wall_ms() && message_attempts(message) == 0 &&
        message_is_loaded(message))
        queue->ops.delayed(queue->ctx, message, NULL);
}

void queue_insert(struct queue *queue, struct message *message)
{
    if (message_schedule(message) && message_attempts(message) == 0)
        message_set_due_ms(message, message_schedule_next_ms(message_schedule(message), (int64_t)queue_wall_ms()));
    else if (queue_was_made_later(message))
        message_set_due_ms(message, (int64_t)queue_wall_ms());
    note_delay(queue, message);
    if (queue_doubts_due(message))
        queue_place_in_doubt(queue, message);
    else
        queue_place(queue, message);
}

void queue_stop(struct queue *queue)
{
    struct map_cursor cursor = {0};
    struct span key;
    void *value;

    queue->stopping = true;
    timer_stop(&queue->timer);
    while (map_next(&queue->connections, &cursor, &key, &value))
        connection_finish(value);
}
