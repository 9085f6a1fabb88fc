/* SPDX-License-Identifier: Apache-2.0
 *
 * Scheduled queues. Messages wait in a heap of their own queue, and the queues in a heap of
 * queues: so a due message is found without a timer per message, and a queue that may not
 * move (a rate, a full ready queue, an unanswered question) costs nothing however many
 * messages it holds.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "metrics/metrics.h"
#include "queue/queue_private.h"

static char *lower_copy(struct span text)
{
    char *copy = span_dup(text);

    for (char *c = copy; *c; c++)
        *c = ascii_lower(*c);
    return copy;
}

/* `name` points into another text with the same content. */
static struct span moved(struct span part, const char *from, const char *to)
{
    return part.len ? span_make(to + (part.data - from), part.len) : span_make(to, 0);
}

static struct sched *sched_new(struct queue *queue, const struct queue_name *name, struct span text)
{
    struct sched *sched = mem_zalloc(sizeof *sched);

    sched->queue = queue;
    sched->text = span_dup(text);
    sched->name.campaign = moved(name->campaign, text.data, sched->text);
    sched->name.tenant = moved(name->tenant, text.data, sched->text);
    sched->name.domain = moved(name->domain, text.data, sched->text);
    sched->name.routing_domain = moved(name->routing_domain, text.data, sched->text);
    sched->route = lower_copy(queue_name_route(&sched->name));
    sched->picked = -1;
    heap_init(&sched->heap);
    list_init(&sched->fresh);
    list_init(&sched->warm);
    list_node_init(&sched->link);
    return sched;
}

struct sched *sched_get(struct queue *queue, const struct queue_name *name, struct span text)
{
    struct sched *sched = map_find(&queue->scheds, text);

    if (!sched) {
        sched = sched_new(queue, name, text);
        map_put(&queue->scheds, text, sched);
    }
    return sched;
}

struct sched *sched_find(struct queue *queue, const struct message *message)
{
    struct sched *sched = NULL;
    struct buf text;

    buf_init(&text, QUEUE_NAME_LIMIT);
    if (message_queue_name(message, &text) == 0)
        sched = map_find(&queue->scheds, buf_span(&text));
    buf_done(&text);
    return sched;
}

static void free_messages(struct list *messages)
{
    struct list_node *node;

    while ((node = list_take_first(messages)))
        message_free(message_of_link(node));
}

void sched_drop_slots(struct sched *sched)
{
    for (size_t i = 0; i < sched->slot_count; i++)
        if (sched->slots[i].ready)
            ready_unref(&sched->slots[i].ready);
    free(sched->slots);
    sched->slots = NULL;
    sched->slot_count = 0;
    sched->picked = -1;
    if (sched->pool)
        route_pool_unref(&sched->pool);
}

void sched_free(struct sched *sched)
{
    struct heap_node *node;

    metrics_add(METRIC_SCHEDULED_MESSAGES, -(int64_t)(sched->fresh.count + sched->warm.count));
    resolve_free(sched->resolve);
    sched_unlist(sched);
    if (heap_has(&sched->due))
        heap_remove(&sched->queue->due, &sched->due);
    while ((node = heap_first(&sched->heap))) {
        struct message *message = message_of_heap_link(node);

        sched_take(sched, message);
        message_free(message);
    }
    free_messages(&sched->fresh);
    free_messages(&sched->warm);
    heap_done(&sched->heap);
    sched_drop_slots(sched);
    if (sched->config)
        route_queue_config_unref(&sched->config);
    free(sched->trouble);
    free(sched->route);
    free(sched->text);
    free(sched);
}

/* A due message stays in memory for its first try, unless too many do already. */
static bool may_stay_loaded(const struct sched *sched, const struct message *message)
{
    const struct queue *queue = sched->queue;

    return message_is_loaded(message) && sched->fresh.count < QUEUE_FRESH_LIMIT &&
           queue->fresh_bytes + message_body_bytes(message) < QUEUE_FRESH_BYTES;
}

void sched_put(struct sched *sched, struct message *message, uint64_t now_ms)
{
    uint64_t due = message_due_ms(message) > 0 ? (uint64_t)message_due_ms(message) : 0;

    metrics_add(METRIC_SCHEDULED_MESSAGES, 1);
    if (due <= now_ms && may_stay_loaded(sched, message)) {
        list_push_back(&sched->fresh, message_link(message));
        sched->queue->fresh_bytes += message_body_bytes(message);
        if (sched->listed == &sched->queue->wait_hands) /* for others, which are not in memory */
            sched_unlist(sched);
    } else {
        /* who is due keeps the order of age */
        if (due == 0)
            due = (uint64_t)message_created_ms(message);
        heap_insert(&sched->heap, message_heap_link(message), due);
        if (due > now_ms + QUEUE_SHRINK_AFTER_MS || due <= now_ms)
            queue_shrink(sched->queue, message);
    }
    sched_arm(sched);
}

void sched_put_warm(struct sched *sched, struct message *message)
{
    metrics_add(METRIC_SCHEDULED_MESSAGES, 1);
    list_push_back(&sched->warm, message_link(message));
    sched_arm(sched);
}

void sched_put_in_doubt(struct sched *sched, struct message *message, uint64_t now_ms)
{
    metrics_add(METRIC_SCHEDULED_MESSAGES, 1);
    heap_insert(&sched->heap, message_heap_link(message), now_ms);
    sched_arm(sched);
}

struct message *sched_peek(struct sched *sched, uint64_t now_ms)
{
    struct list_node *fresh = list_first(&sched->fresh);
    struct list_node *warm = list_first(&sched->warm);
    struct heap_node *first = heap_first(&sched->heap);
    bool is_due = first && first->key <= now_ms;

    if (fresh && !(sched->heaps_turn && (warm || is_due)))
        return message_of_link(fresh);
    if (warm)
        return message_of_link(warm);
    return is_due ? message_of_heap_link(first) : NULL;
}

void sched_take(struct sched *sched, struct message *message)
{
    struct queue *queue = sched->queue;
    struct list_node *link = message_link(message);

    metrics_add(METRIC_SCHEDULED_MESSAGES, -1);
    if (heap_has(message_heap_link(message))) {
        heap_remove(&sched->heap, message_heap_link(message));
        queue_spare(queue, message);
        sched->heaps_turn = false;
    } else if (link == list_first(&sched->warm)) {
        list_remove(&sched->warm, link);
        sched->heaps_turn = false;
    } else {
        MUST(link == list_first(&sched->fresh));
        list_remove(&sched->fresh, link);
        queue->fresh_bytes -= message_body_bytes(message);
        sched->heaps_turn = true;
    }
}

size_t sched_length(const struct sched *sched)
{
    return sched->heap.count + sched->fresh.count + sched->warm.count + sched->loading + sched->tasks;
}

bool sched_is_empty(const struct sched *sched) { return sched_length(sched) == 0 && !sched->resolve; }

void sched_unlist(struct sched *sched)
{
    if (sched->listed)
        list_remove(sched->listed, &sched->link);
    sched->listed = NULL;
}

/* The time at which it should be looked at; UINT64_MAX for never. */
static uint64_t next_look(const struct sched *sched)
{
    struct heap_node *first = heap_first(&sched->heap);
    uint64_t next = first ? first->key : UINT64_MAX;

    if (!list_is_empty(&sched->fresh) || !list_is_empty(&sched->warm))
        next = 0;
    return next < sched->not_before_ms ? sched->not_before_ms : next;
}

static bool is_held(const struct sched *sched)
{
    const struct queue *queue = sched->queue;

    return sched->resolve || sched->listed == &queue->wait_resolve || sched->listed == &queue->wait_hands;
}

static void rest(struct sched *sched)
{
    struct queue *queue = sched->queue;

    if (!sched_is_empty(sched) || sched->listed == &queue->idle)
        return;
    sched_unlist(sched);
    sched->idle_since_ms = clock_mono_ms();
    sched->listed = &queue->idle;
    list_push_back(&queue->idle, &sched->link);
}

void sched_arm(struct sched *sched)
{
    struct queue *queue = sched->queue;
    uint64_t next = next_look(sched);

    if (sched->listed == &queue->idle && !sched_is_empty(sched))
        sched_unlist(sched);
    if (is_held(sched))
        next = UINT64_MAX;
    if (heap_has(&sched->due)) {
        if (sched->due.key == next)
            return;
        heap_remove(&queue->due, &sched->due);
    }
    if (next != UINT64_MAX)
        heap_insert(&queue->due, &sched->due, next);
    else
        rest(sched);
    queue_stir(queue);
}

void sched_wait_in(struct sched *sched, struct list *list)
{
    sched_unlist(sched);
    sched->listed = list;
    list_push_back(list, &sched->link);
    sched_arm(sched);
}

void sched_wake_some(struct list *waiting, size_t most)
{
    struct list_node *node;

    while (most-- > 0 && (node = list_first(waiting))) {
        struct sched *sched = CONTAINER_OF(node, struct sched, link);

        sched_unlist(sched);
        sched->not_before_ms = 0;
        sched_arm(sched);
    }
}

const struct route_queue_config *sched_config(const struct sched *sched)
{
    return sched->config ? sched->config : sched->queue->default_config;
}

void sched_set_trouble(struct sched *sched, const struct smtp_reply *reply)
{
    if (!sched->trouble)
        sched->trouble = mem_alloc(sizeof *sched->trouble);
    sched->trouble->reply = *reply;
    sched->trouble->until_ms = clock_mono_ms() + QUEUE_TROUBLE_MS;
}

static void bounce_nowhere(struct queue *queue, struct message *message)
{
    struct smtp_reply reply;

    smtp_reply_setf(&reply, 550, "5.1.3 the recipient has no domain to deliver to");
    queue->ops.bounce(queue->ctx, message, &reply, false);
}

/* NULL: it belongs nowhere, and is gone. */
static struct sched *find_place(struct queue *queue, struct message *message)
{
    struct sched *sched = NULL;
    struct queue_name name;
    struct buf text;

    buf_init(&text, QUEUE_NAME_LIMIT);
    if (message_queue_name(message, &text) || queue_name_parse(buf_span(&text), &name))
        bounce_nowhere(queue, message);
    else if (span_eq(name.domain, SPAN_LIT("null")))
        queue->ops.discard(queue->ctx, message);
    else
        sched = sched_get(queue, &name, buf_span(&text));
    buf_done(&text);
    return sched;
}

void queue_place(struct queue *queue, struct message *message)
{
    struct sched *sched = find_place(queue, message);

    if (sched)
        sched_put(sched, message, queue_wall_ms());
}

void queue_place_in_doubt(struct queue *queue, struct message *message)
{
    struct sched *sched = find_place(queue, message);

    if (sched)
        sched_put_in_doubt(sched, message, queue_wall_ms());
}
