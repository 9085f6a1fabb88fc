/* SPDX-License-Identifier: Apache-2.0
 *
 * An outbound connection between its two owners: the queue's thread, which decides what it
 * gets, and the worker, which has its socket. They know it by an id that also names the
 * worker. Each side may find that the other has let go already; a message then goes back to
 * the queue untried.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "metrics/metrics.h"
#include "relay_private.h"

/* The worker's side. */
struct connection {
    struct worker *worker;
    uint64_t id;
    struct route_plan *plan;
    struct deliver_session *session;
    size_t delivered; /* not yet reported */
    size_t bounced;
};

/* ---- worker -> queue ---- */

struct report {
    struct note note;
    uint64_t connection;
    size_t most;
    size_t delivered;
    size_t bounced;
    struct message *message;
    bool untried;
    bool never_stood;
    struct smtp_reply reply;
};

static struct report *report_new(uint64_t connection)
{
    struct report *report = mem_zalloc(sizeof *report);

    report->connection = connection;
    return report;
}

static void send_report(struct relay *relay, struct report *report, void (*act)(struct note *note))
{
    relay_pass_note(relay, relay->turns.thread.loop, &report->note, act);
}

static void read_hunger(struct note *note)
{
    struct report *report = CONTAINER_OF(note, struct report, note);
    struct turns *turns = &note->relay->turns;
    struct list messages;

    list_init(&messages);
    queue_take(turns->queue, report->connection, report->most, &messages);
    if (!list_is_empty(&messages))
        connections_give(turns, report->connection, &messages);
    free(report);
}

static void read_counts(struct note *note)
{
    struct report *report = CONTAINER_OF(note, struct report, note);

    queue_report_done(note->relay->turns.queue, report->connection, report->delivered, report->bounced);
    free(report);
}

static void read_returned(struct note *note)
{
    struct report *report = CONTAINER_OF(note, struct report, note);

    queue_report_back(note->relay->turns.queue, report->connection, report->message, &report->reply, report->untried);
    free(report);
}

static void read_end(struct note *note)
{
    struct report *report = CONTAINER_OF(note, struct report, note);

    queue_connection_ended(note->relay->turns.queue, report->connection, report->never_stood, &report->reply);
    free(report);
}

static void report_counts(struct connection *connection)
{
    struct report *report;

    if (connection->delivered + connection->bounced == 0)
        return;
    report = report_new(connection->id);
    report->delivered = connection->delivered;
    report->bounced = connection->bounced;
    connection->delivered = connection->bounced = 0;
    send_report(connection->worker->relay, report, read_counts);
}

static void report_returned(struct relay *relay, uint64_t connection, struct message *message,
                            const struct smtp_reply *reply, bool untried)
{
    struct report *report = report_new(connection);

    report->message = message;
    report->untried = untried;
    if (reply)
        report->reply = *reply;
    send_report(relay, report, read_returned);
}

/* ---- what the session tells ---- */

static void on_hungry(void *ctx, struct deliver_session *session, size_t most)
{
    struct connection *connection = ctx;
    struct report *report;

    (void)session;
    report_counts(connection);
    report = report_new(connection->id);
    report->most = most;
    send_report(connection->worker->relay, report, read_hunger);
}

static void on_outcome(void *ctx, struct deliver_session *session, struct message *message,
                       const struct deliver_outcome *outcome)
{
    struct connection *connection = ctx;
    struct relay *relay = connection->worker->relay;

    (void)session;
    if (!relay_settle(relay, message, connection->plan, outcome))
        report_returned(relay, connection->id, message, deliver_reply_to_waiting(outcome),
                        outcome->verdict == DELIVER_UNTRIED);
    else if (outcome->verdict == DELIVER_OK)
        connection->delivered++;
    else
        connection->bounced++;
}

static struct span key_of(const uint64_t *id) { return span_make((const char *)id, sizeof *id); }

static void on_end(void *ctx, struct deliver_session *session, enum deliver_end end, const struct smtp_reply *reply)
{
    struct connection *connection = ctx;
    struct worker *worker = connection->worker;
    struct report *report;

    (void)session;
    report_counts(connection);
    report = report_new(connection->id);
    report->never_stood = end == DELIVER_END_NEVER_STOOD;
    if (reply)
        report->reply = *reply;
    map_remove(&worker->connections, key_of(&connection->id));
    route_plan_unref(&connection->plan);
    free(connection);
    metrics_add(METRIC_SMTPC_CONNECTIONS, -1);
    send_report(worker->relay, report, read_end);
}

static const struct deliver_handler handler = {
    .on_hungry = on_hungry,
    .on_outcome = on_outcome,
    .on_end = on_end,
};

/* ---- queue -> worker ---- */

struct order {
    struct note note;
    struct worker *worker;
    uint64_t connection;
    struct route_plan *plan;
    struct list messages;
};

static struct connection *find(const struct order *order)
{
    return map_find(&order->worker->connections, key_of(&order->connection));
}

static struct order *order_new(struct turns *turns, uint64_t connection)
{
    struct order *order = mem_zalloc(sizeof *order);

    order->connection = connection;
    order->worker = &turns->relay->workers[connection % turns->relay->worker_count];
    list_init(&order->messages);
    return order;
}

static void send_order(struct turns *turns, struct order *order, void (*act)(struct note *note))
{
    relay_pass_note(turns->relay, order->worker->thread.loop, &order->note, act);
}

static void open_it(struct note *note)
{
    struct order *order = CONTAINER_OF(note, struct order, note);
    struct worker *worker = order->worker;
    struct connection *connection = mem_zalloc(sizeof *connection);

    *connection = (struct connection){.worker = worker, .id = order->connection, .plan = order->plan};
    map_put(&worker->connections, key_of(&connection->id), connection);
    metrics_add(METRIC_SMTPC_CONNECTIONS, 1);
    metrics_count(METRIC_SMTPC_CONNECTIONS_TOTAL);
    connection->session = deliver_session_new(worker->thread.loop, worker->dns, connection->plan, &handler, connection);
    free(order);
}

void connections_open(struct turns *turns, uint64_t id, struct route_plan *plan)
{
    struct order *order = order_new(turns, id);

    order->plan = route_plan_ref(plan);
    send_order(turns, order, open_it);
}

static void give_it(struct note *note)
{
    struct order *order = CONTAINER_OF(note, struct order, note);
    struct connection *connection = find(order);
    struct message *message;

    if (connection)
        deliver_session_give(connection->session, &order->messages);
    while ((message = relay_take_message(&order->messages)))
        report_returned(note->relay, order->connection, message, NULL, true);
    free(order);
}

void connections_give(struct turns *turns, uint64_t id, struct list *messages)
{
    struct order *order = order_new(turns, id);

    list_splice(&order->messages, messages);
    send_order(turns, order, give_it);
}

static void finish_it(struct note *note)
{
    struct order *order = CONTAINER_OF(note, struct order, note);
    struct connection *connection = find(order);

    if (connection)
        deliver_session_finish(connection->session);
    free(order);
}

void connections_finish(struct turns *turns, uint64_t id) { send_order(turns, order_new(turns, id), finish_it); }

/* ---- at the end ---- */

void connections_abort(struct worker *worker)
{
    for (;;) {
        struct map_cursor cursor = {0};
        struct span key;
        void *value;

        if (!map_next(&worker->connections, &cursor, &key, &value))
            return;
        deliver_session_abort(((struct connection *)value)->session); /* ends with on_end */
    }
}
