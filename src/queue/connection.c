/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections as the queue sees them: a number, a ready queue, and whether it waits for
 * messages. How many a ready queue should have grows with the root of what waits in it: one
 * for the first message, ten for a hundred, the default limit of 32 for a full queue. While
 * one waits idle no other is opened.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "metrics/metrics.h"
#include "queue/queue_private.h"

static struct span id_key(const uint64_t *id) { return span_make((const char *)id, sizeof *id); }

static struct connection *find(const struct queue *queue, uint64_t id)
{
    return map_find(&queue->connections, id_key(&id));
}

/* The least n with n * n >= count. */
static size_t root_of(size_t count)
{
    size_t n = 0;

    while (n * n < count && n < 100000)
        n++;
    return n;
}

static size_t wanted_connections(const struct queue_ready *ready)
{
    size_t wanted = root_of(ready->messages.count);
    size_t limit = ready->plan->path->connection_limit;

    return wanted < limit ? wanted : limit;
}

static bool connection_rate_allows(struct queue_ready *ready)
{
    const struct route_path *path = ready->plan->path;
    uint64_t wait_us = 0;

    if (!path->has_max_connection_rate ||
        rate_take(&ready->connection_rate, &path->max_connection_rate, 1, clock_mono_us(), &wait_us))
        return true;
    if (wait_us / 1000 > path->idle_timeout_ms && list_is_empty(&ready->connections))
        ready_send_back(ready, NULL, wait_us / 1000 + 1);
    else if (!timer_is_running(&ready->timer))
        timer_start(&ready->timer, wait_us / 1000 + 1);
    return false;
}

static void open_one(struct queue_ready *ready)
{
    struct queue *queue = ready->queue;
    struct connection *connection = mem_zalloc(sizeof *connection);

    connection->id = ++queue->last_connection;
    connection->ready = ready_ref(ready);
    list_node_init(&connection->wait);
    list_push_back(&ready->connections, &connection->link);
    map_put(&queue->connections, id_key(&connection->id), connection);
    queue->ops.connect(queue->ctx, ready, connection->id, ready->plan);
}

void queue_open_connections(struct queue_ready *ready)
{
    while (list_is_empty(&ready->waiting) && ready->connections.count < wanted_connections(ready) &&
           connection_rate_allows(ready))
        open_one(ready);
}

void connection_finish(struct connection *connection)
{
    struct queue *queue = connection->ready->queue;

    if (connection->finishing)
        return;
    connection->finishing = true;
    if (list_has(&connection->wait))
        list_remove(&connection->ready->waiting, &connection->wait);
    queue->ops.finish(queue->ctx, connection->id);
}

void connections_finish_idle(struct queue_ready *ready, uint64_t now_ms)
{
    struct list_node *node;

    while ((node = list_first(&ready->waiting))) {
        struct connection *connection = CONTAINER_OF(node, struct connection, wait);

        if (connection->waiting_since_ms + ready->plan->path->idle_timeout_ms > now_ms)
            break;
        connection_finish(connection);
    }
}

void queue_take(struct queue *queue, uint64_t id, size_t most, struct list *messages_out)
{
    struct connection *connection = find(queue, id);
    struct queue_ready *ready;

    if (!connection || connection->finishing || most == 0)
        return;
    ready = connection->ready;
    ready->failures = 0;
    if (list_has(&connection->wait))
        list_remove(&ready->waiting, &connection->wait);
    if (!queue->stopping)
        ready_draw(ready, most, messages_out);
    if (!list_is_empty(messages_out))
        return;
    connection->wanted = most;
    connection->waiting_since_ms = clock_mono_ms();
    list_push_back(&ready->waiting, &connection->wait);
}

void queue_report_done(struct queue *queue, uint64_t id, size_t delivered, size_t bounced)
{
    struct connection *connection = find(queue, id);

    if (!connection || delivered + bounced == 0)
        return;
    connection->tried = true;
    connection->ready->failures = 0;
}

void queue_report_back(struct queue *queue, uint64_t id, struct message *message, const struct smtp_reply *reply,
                       bool untried)
{
    struct connection *connection = find(queue, id);

    if (!untried) {
        if (connection)
            connection->tried = true;
        queue_retry(queue, message, reply, true);
        return;
    }
    if (!connection || !message_is_loaded(message)) {
        message_set_due_ms(message, 0);
        queue_place(queue, message);
        return;
    }
    ready_put_back(connection->ready, message);
}

/* No host of the plan could be used. The message at the front was what the connection was made
 * for, so it has had its attempt, unless the host left with another, which then had its own;
 * after many such failures, so have all the others. What can never work fails them all at once. */
static void on_never_stood(struct queue_ready *ready, const struct smtp_reply *reply, bool tried)
{
    struct smtp_reply answer;
    struct message *message;

    smtp_reply_setf(&answer, 451, "4.4.1 No answer from any hosts listed in MX");
    ready->failures++;
    if (reply && smtp_reply_is_permanent(reply)) {
        ready_send_back(ready, reply, 0);
        return;
    }
    if (ready->failures > ready->plan->path->consecutive_connection_failures_before_delay) {
        ready_send_back(ready, &answer, 0);
        return;
    }
    message = tried ? NULL : ready_take_first(ready);
    if (message)
        queue_retry(ready->queue, message, reply && reply->code ? reply : &answer, false);
}

void queue_connection_ended(struct queue *queue, uint64_t id, bool never_stood, const struct smtp_reply *reply)
{
    struct connection *connection = find(queue, id);
    struct queue_ready *ready;

    if (!connection)
        return;
    ready = connection->ready;
    map_remove(&queue->connections, id_key(&id));
    list_remove(&ready->connections, &connection->link);
    if (list_has(&connection->wait))
        list_remove(&ready->waiting, &connection->wait);
    if (never_stood && !queue->stopping)
        on_never_stood(ready, reply, connection->tried);
    ready_stir(ready);
    ready_unref(&connection->ready);
    free(connection);
}

size_t queue_connection_count(const struct queue *queue) { return queue->connections.count; }
