/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages whose sender is held (held.h) wait here, by sender, out of the way of everybody else's. They are found when
 * their turn comes, because only then is a message in memory and its sender known; until then, and after its release,
 * a message is an ordinary one: its time goes on, and one that is too old when it is released expires.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "metrics/metrics.h"
#include "queue/held.h"
#include "queue/queue_private.h"

struct parked {
    char *sender; /* as the first of the messages names him */
    struct heap messages;
};

static struct parked *parked_of(struct queue *queue, const char *sender)
{
    char *key = span_dup_lower(span_of(sender));
    struct parked *parked = map_find(&queue->parked, span_of(key));

    if (!parked) {
        parked = mem_zalloc(sizeof *parked);
        parked->sender = mem_strdup(sender);
        heap_init(&parked->messages);
        map_put(&queue->parked, span_of(key), parked);
    }
    free(key);
    return parked;
}

static void parked_free(struct parked *parked)
{
    heap_done(&parked->messages);
    free(parked->sender);
    free(parked);
}

bool queue_park(struct queue *queue, struct message *message)
{
    const char *sender = held_sender(message);

    if (!sender)
        return false;
    heap_insert(&parked_of(queue, sender)->messages, message_heap_link(message), (uint64_t)message_created_ms(message));
    metrics_add(METRIC_SCHEDULED_MESSAGES, 1);
    queue_shrink(queue, message);
    return true;
}

static struct message *unpark(struct queue *queue, struct parked *parked)
{
    struct heap_node *node = heap_first(&parked->messages);
    struct message *message;

    if (!node)
        return NULL;
    message = message_of_heap_link(node);
    heap_remove(&parked->messages, node);
    queue_spare(queue, message);
    metrics_add(METRIC_SCHEDULED_MESSAGES, -1);
    return message;
}

static size_t release_all(struct queue *queue, struct parked *parked)
{
    struct message *message;
    size_t released = 0;

    while ((message = unpark(queue, parked))) {
        queue_place(queue, message);
        released++;
    }
    parked_free(parked);
    return released;
}

size_t queue_release(struct queue *queue)
{
    struct map_cursor cursor = {0};
    struct span user;
    size_t released = 0;
    void *value;

    while (map_next(&queue->parked, &cursor, &user, &value)) {
        struct parked *parked = value;

        if (held_has(parked->sender))
            continue;
        map_remove(&queue->parked, user);
        released += release_all(queue, parked);
    }
    return released;
}

void queue_free_parked(struct queue *queue)
{
    struct map_cursor cursor = {0};
    struct span user;
    void *value;

    while (map_next(&queue->parked, &cursor, &user, &value)) {
        struct message *message;

        while ((message = unpark(queue, value)))
            message_free(message);
        parked_free(value);
    }
    map_done(&queue->parked, NULL);
}

static json_t *describe(const struct parked *parked)
{
    return json_pack("{s:s, s:I}", "name", parked->sender, "length", (json_int_t)parked->messages.count);
}

json_t *queue_describe_parked(const struct queue *queue, size_t most)
{
    struct map_cursor cursor = {0};
    json_t *held = json_array();
    struct span user;
    void *value;

    while (json_array_size(held) < most && map_next(&queue->parked, &cursor, &user, &value))
        json_array_append_new(held, describe(value));
    return held;
}
