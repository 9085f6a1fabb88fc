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

bool queue_park(struct queue *queue, struct message *message)
{
    const char *user = held_sender(message);
    struct heap *parked;

    if (!user)
        return false;
    parked = map_find(&queue->parked, span_of(user));
    if (!parked) {
        parked = mem_zalloc(sizeof *parked);
        heap_init(parked);
        map_put(&queue->parked, span_of(user), parked);
    }
    heap_insert(parked, message_heap_link(message), (uint64_t)message_created_ms(message));
    metrics_add(METRIC_SCHEDULED_MESSAGES, 1);
    queue_shrink(queue, message);
    return true;
}

static struct message *unpark(struct queue *queue, struct heap *parked)
{
    struct heap_node *node = heap_first(parked);
    struct message *message;

    if (!node)
        return NULL;
    message = message_of_heap_link(node);
    heap_remove(parked, node);
    if (list_has(message_link(message)))
        list_remove(&queue->to_shrink, message_link(message));
    metrics_add(METRIC_SCHEDULED_MESSAGES, -1);
    return message;
}

static size_t release_all(struct queue *queue, struct heap *parked)
{
    struct message *message;
    size_t released = 0;

    while ((message = unpark(queue, parked))) {
        queue_place(queue, message);
        released++;
    }
    heap_done(parked);
    free(parked);
    return released;
}

size_t queue_release(struct queue *queue)
{
    struct map_cursor cursor = {0};
    struct span user;
    size_t released = 0;
    void *parked;

    while (map_next(&queue->parked, &cursor, &user, &parked)) {
        char *name = span_dup(user);

        if (!held_has(name)) {
            map_remove(&queue->parked, user);
            released += release_all(queue, parked);
        }
        free(name);
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
        heap_done(value);
        free(value);
    }
    map_done(&queue->parked, NULL);
}

json_t *queue_describe_parked(const struct queue *queue, size_t most)
{
    struct map_cursor cursor = {0};
    json_t *held = json_array();
    struct span user;
    void *value;

    while (json_array_size(held) < most && map_next(&queue->parked, &cursor, &user, &value))
        json_array_append_new(held, json_pack("{s:s%, s:I}", "name", user.data, user.len, "length",
                                              (json_int_t)((struct heap *)value)->count));
    return held;
}
