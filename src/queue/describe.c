/* SPDX-License-Identifier: Apache-2.0
 *
 * What is in the queues, for people and for the metrics page. Runs on the queue's thread, on
 * request; both answers are cut off rather than growing with the number of queues.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "metrics/metrics.h"
#include "queue/queue_private.h"

static json_t *describe_sched(const struct sched *sched)
{
    struct heap_node *first = heap_first(&sched->heap);
    bool is_due = !list_is_empty(&sched->fresh) || !list_is_empty(&sched->warm);
    json_t *object = json_pack("{s:s,s:I}", "name", sched->text, "length", (json_int_t)sched_length(sched));

    if (object && !is_due && first)
        json_object_set_new(object, "next_due", json_integer((json_int_t)first->key));
    if (object && sched->trouble)
        json_object_set_new(object, "trouble", json_string(sched->trouble->reply.text));
    return object;
}

static json_t *describe_ready(const struct queue_ready *ready)
{
    return json_pack("{s:s,s:I,s:I,s:I}", "name", ready->plan->ready_name, "length", (json_int_t)ready->messages.count,
                     "connections", (json_int_t)ready->connections.count, "consecutive_failures",
                     (json_int_t)ready->failures);
}

json_t *queue_describe(const struct queue *queue, size_t most)
{
    struct map_cursor cursor = {0};
    json_t *scheduled = json_array();
    json_t *ready = json_array();
    struct span key;
    void *value;

    while (json_array_size(scheduled) < most && map_next(&queue->scheds, &cursor, &key, &value))
        if (sched_length(value) > 0)
            json_array_append_new(scheduled, describe_sched(value));
    cursor = (struct map_cursor){0};
    while (json_array_size(ready) < most && map_next(&queue->readies, &cursor, &key, &value))
        if (((struct queue_ready *)value)->plan)
            json_array_append_new(ready, describe_ready(value));
    return json_pack("{s:o,s:o,s:o}", "scheduled", scheduled, "ready", ready, "held",
                     queue_describe_parked(queue, most));
}

static int write_line(struct buf *out, const char *name, const char *label, struct span value, uint64_t count)
{
    return buf_appendf(out, "%s{%s=\"", name, label) || metrics_escape(value, out) ||
                   buf_appendf(out, "\"} %llu\n", (unsigned long long)count)
               ? -1
               : 0;
}

static int write_heading(struct buf *out, const char *name, const char *help)
{
    return buf_appendf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

/* Ready queues that differ only in their hosts have one label between them, and so one line. */
static void count_ready(struct map *counts, const struct queue_ready *ready)
{
    char service[600];
    uint64_t *count;

    snprintf(service, sizeof service, "smtp_client:%s->%s", ready->plan->source->name, ready->plan->site_name);
    count = map_find(counts, span_of(service));
    if (!count) {
        count = mem_zalloc(sizeof *count);
        map_put(counts, span_of(service), count);
    }
    *count += ready->messages.count;
}

static int write_ready_counts(const struct queue *queue, size_t most, struct buf *out)
{
    struct map_cursor cursor = {0};
    struct map counts;
    struct span key;
    void *value;
    int status = 0;

    map_init(&counts);
    while (counts.count < most && map_next(&queue->readies, &cursor, &key, &value))
        if (((struct queue_ready *)value)->plan)
            count_ready(&counts, value);
    cursor = (struct map_cursor){0};
    while (!status && map_next(&counts, &cursor, &key, &value))
        status = write_line(out, "ready_count", "service", key, *(uint64_t *)value);
    map_done(&counts, free);
    return status;
}

int queue_write_metrics(const struct queue *queue, size_t most, struct buf *out)
{
    struct map_cursor cursor = {0};
    size_t written = 0;
    struct span key;
    void *value;

    if (write_heading(out, "scheduled_count", "number of messages in the scheduled queue"))
        return -1;
    while (written < most && map_next(&queue->scheds, &cursor, &key, &value))
        if (sched_length(value) > 0 && ++written &&
            write_line(out, "scheduled_count", "queue", key, sched_length(value)))
            return -1;
    if (write_heading(out, "ready_count", "number of messages in the ready queue"))
        return -1;
    return write_ready_counts(queue, most, out);
}
