/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection to PostgreSQL on the lookup thread's loop: a state machine around libpq's non-blocking half. The loop
 * is told of the socket afresh after each step, because libpq may have closed one and opened the next (another host,
 * a second try without TLS), perhaps under the same number.
 *
 * A question goes out with its parameter bound by the server, unnamed, so that neither a changed table nor a pooler in
 * between can make a prepared statement stale. An answer that nobody wants any more is read to its end before the
 * connection serves again; one that does not end in time costs the connection. The awkward truth: libpq's buffers hold
 * stored passwords and are freed, not wiped; results are wiped here.
 */
#include <libpq-fe.h>
#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "credential/postgresql.h"
#include "credential/store_fields.h"

#define RETRY_FIRST_MS 100
#define RETRY_MOST_MS 2000

enum link_state {
    LINK_DOWN,       /* until the timer says: try again */
    LINK_RESOLVING,  /* a thread looks for addresses */
    LINK_CONNECTING, /* libpq's handshake */
    LINK_READY,
    LINK_BUSY,     /* a question is out */
    LINK_DRAINING, /* its asker has gone */
};

struct resolving {
    struct store_work work;
    struct pg_link *link; /* NULL: it does not wait for it any more; the loop's thread */
    const struct pg_where *where;
    struct pg_places places;
    int status;
    struct error error;
};

struct pg_link {
    const struct pg_links *links;
    enum link_state state;
    struct timer timer;
    unsigned failures; /* since it was last up */
    struct resolving *resolving;
    PGconn *conn;
    struct pg_watch *watch;

    /* while BUSY or DRAINING */
    struct pg_ask *ask; /* NULL when DRAINING */
    struct pg_answer answer;
};

/* ---- up and down ---- */

/* The time limit of each state; 0: none. */
static void enter(struct pg_link *link, enum link_state state, uint64_t limit_ms)
{
    link->state = state;
    timer_stop(&link->timer);
    if (limit_ms)
        timer_start(&link->timer, limit_ms);
}

static void let_go(struct pg_link *link)
{
    pg_watch_stop(link->watch);
    PQfinish(link->conn);
    link->conn = NULL;
    if (link->resolving) {
        struct resolving *resolving = link->resolving;

        link->resolving = NULL;
        resolving->link = NULL;
        if (store_pool_withdraw(link->links->resolver, &resolving->work))
            resolving->work.drop(&resolving->work);
    }
    pg_answer_done(&link->answer);
}

/* Between 50 and 100 % of a time that doubles: two links do not knock in step. */
static uint64_t retry_after_ms(const struct pg_link *link)
{
    uint64_t most = link->failures < 6 ? (uint64_t)RETRY_FIRST_MS << link->failures : RETRY_MOST_MS;

    most = most < RETRY_MOST_MS ? most : RETRY_MOST_MS;
    return most / 2 + random_below(most / 2 + 1);
}

static void fail(struct pg_link *link, const struct error *why)
{
    const struct error error = *why; /* it may lie in what is let go */
    struct pg_ask *ask = link->ask;

    let_go(link);
    link->ask = NULL;
    /* the first time after it was up, almost at once: a server that restarted is there again */
    enter(link, LINK_DOWN, retry_after_ms(link));
    link->failures++;
    link->links->on_down(link->links->ctx, link, &error);
    if (ask)
        link->links->on_answer(link->links->ctx, ask, STORE_FAILED, NULL, &error);
}

/* Nothing is known of the question that was out, if one was: it may be asked again. */
static void lose(struct pg_link *link, const struct error *why)
{
    const struct error error = *why;
    struct pg_ask *ask = link->ask;

    link->ask = NULL;
    fail(link, &error);
    if (ask)
        link->links->on_lost(link->links->ctx, ask, &error);
}

/* libpq's words: of users, hosts and what the server said, without line ends. */
static void lose_as_libpq_says(struct pg_link *link, const char *what)
{
    struct error error;
    char *said = span_dup(span_trim(span_of(PQerrorMessage(link->conn))));

    for (char *at = said; *at; at++)
        if ((unsigned char)*at < 0x20)
            *at = ' ';
    error_set(&error, ERROR_TEMP, "%s: %s", what, said);
    free(said);
    lose(link, &error);
}

static void fail_as(struct pg_link *link, const char *sentence)
{
    struct error error;

    error_set(&error, ERROR_TEMP, "%s", sentence);
    fail(link, &error);
}

static int watch(struct pg_link *link, int events) { return pg_watch_start(link->watch, PQsocket(link->conn), events); }

/* ---- connecting ---- */

static void ignore_notice(void *ctx, const PGresult *result)
{
    (void)ctx;
    (void)result;
}

static void connect_to(struct pg_link *link, const struct pg_places *places)
{
    link->conn = pg_where_connect(link->links->where, places);
    MUST(link->conn != NULL);
    link->state = LINK_CONNECTING; /* within the time that resolving began with */
    PQsetNoticeReceiver(link->conn, ignore_notice, NULL);
    if (PQstatus(link->conn) == CONNECTION_BAD)
        lose_as_libpq_says(link, "cannot connect");
    else if (watch(link, UV_WRITABLE))
        fail_as(link, "cannot watch the connection");
}

static void resolving_free(struct store_work *work)
{
    struct resolving *resolving = CONTAINER_OF(work, struct resolving, work);

    pg_places_done(&resolving->places);
    free(resolving);
}

static void resolve(struct store_work *work)
{
    struct resolving *resolving = CONTAINER_OF(work, struct resolving, work);

    resolving->status = pg_where_resolve(resolving->where, &resolving->places, &resolving->error);
}

static void on_resolved(struct store_work *work)
{
    struct resolving *resolving = CONTAINER_OF(work, struct resolving, work);
    struct pg_link *link = resolving->link;

    if (link) {
        link->resolving = NULL;
        if (resolving->status)
            fail(link, &resolving->error);
        else
            connect_to(link, &resolving->places);
    }
    resolving_free(work);
}

static void start_resolving(struct pg_link *link)
{
    struct resolving *resolving = mem_zalloc(sizeof *resolving);
    struct error error;

    resolving->work = (struct store_work){.run = resolve, .done = on_resolved, .drop = resolving_free};
    resolving->link = link;
    resolving->where = link->links->where;
    link->resolving = resolving;
    if (!store_pool_submit(link->links->resolver, &resolving->work, &error))
        return;
    link->resolving = NULL;
    resolving_free(&resolving->work);
    fail(link, &error);
}

static void start(struct pg_link *link)
{
    struct pg_places places = {0};
    struct error error;

    enter(link, LINK_RESOLVING, link->links->connect_ms);
    if (pg_where_has_names(link->links->where)) {
        start_resolving(link);
        return;
    }
    if (pg_where_resolve(link->links->where, &places, &error))
        fail(link, &error);
    else
        connect_to(link, &places);
    pg_places_done(&places);
}

static void become_ready(struct pg_link *link)
{
    enter(link, LINK_READY, 0);
    if (watch(link, UV_READABLE)) {
        fail_as(link, "cannot watch the connection");
        return;
    }
    link->links->on_ready(link->links->ctx, link);
}

static void step_connecting(struct pg_link *link)
{
    int events = UV_READABLE;

    pg_watch_stop(link->watch);
    switch (PQconnectPoll(link->conn)) {
    case PGRES_POLLING_OK:
        PQsetnonblocking(link->conn, 1);
        link->failures = 0;
        become_ready(link);
        return;
    case PGRES_POLLING_FAILED:
        lose_as_libpq_says(link, "cannot connect");
        return;
    case PGRES_POLLING_WRITING:
        events = UV_WRITABLE;
        break;
    default:
        break;
    }
    if (watch(link, events))
        fail_as(link, "cannot watch the connection");
}

/* ---- answers ---- */

/* The link serves again first, then the asker hears, and may ask again. */
static void conclude(struct pg_link *link)
{
    const struct pg_links *links = link->links;
    struct pg_ask *ask = link->ask;
    json_t *record = NULL;
    struct error error;
    enum store_outcome outcome = pg_answer_conclude(&link->answer, &record, &error);

    link->ask = NULL;
    enter(link, LINK_READY, 0);
    if (ask)
        links->on_answer(links->ctx, ask, outcome, record, outcome == STORE_FAILED ? &error : NULL);
    store_fields_free(record);
    if (link->state == LINK_READY)
        links->on_ready(links->ctx, link);
}

static void read_results(struct pg_link *link)
{
    while (!PQisBusy(link->conn)) {
        PGresult *result = PQgetResult(link->conn);
        int status;

        if (!result) {
            conclude(link);
            return;
        }
        status = pg_answer_add(&link->answer, result);
        pg_result_clear(result);
        if (status) {
            fail_as(link, "the query gives more rows than a user can have secrets, or none that can be read");
            return;
        }
    }
    if (PQstatus(link->conn) == CONNECTION_BAD)
        lose_as_libpq_says(link, "the connection broke");
}

static void step_busy(struct pg_link *link)
{
    int unsent;

    if (!PQconsumeInput(link->conn) || (unsent = PQflush(link->conn)) < 0) {
        lose_as_libpq_says(link, "the connection broke");
        return;
    }
    if (watch(link, unsent ? UV_READABLE | UV_WRITABLE : UV_READABLE)) {
        fail_as(link, "cannot watch the connection");
        return;
    }
    read_results(link);
}

/* Nobody asked: the server says goodbye, or reports a setting. */
static void step_ready(struct pg_link *link)
{
    if (!PQconsumeInput(link->conn) || PQstatus(link->conn) == CONNECTION_BAD) {
        lose_as_libpq_says(link, "the connection broke");
        return;
    }
    for (PGnotify *notify; (notify = PQnotifies(link->conn));)
        PQfreemem(notify);
    if (watch(link, UV_READABLE)) /* no more for writing, if it was */
        fail_as(link, "cannot watch the connection");
}

static void step(void *ctx)
{
    struct pg_link *link = ctx;

    if (link->state == LINK_CONNECTING)
        step_connecting(link);
    else if (link->state == LINK_READY)
        step_ready(link);
    else
        step_busy(link);
}

static void on_due(void *ctx)
{
    struct pg_link *link = ctx;

    if (link->state == LINK_DOWN)
        start(link);
    else if (link->state == LINK_BUSY || link->state == LINK_DRAINING)
        fail_as(link, "the server does not answer in time");
    else
        fail_as(link, "no connection in time");
}

/* ---- the door ---- */

struct pg_link *pg_link_new(const struct pg_links *links)
{
    struct pg_link *link = mem_zalloc(sizeof *link);

    link->links = links;
    timer_init(&link->timer, links->loop, on_due, link);
    link->watch = pg_watch_new(links->loop, step, link);
    enter(link, LINK_DOWN, 1); /* begins when whoever makes the links has them all */
    return link;
}

void pg_link_free(struct pg_link *link)
{
    if (!link)
        return;
    timer_stop(&link->timer);
    let_go(link);
    pg_watch_free(link->watch);
    free(link);
}

bool pg_link_is_ready(const struct pg_link *link) { return link->state == LINK_READY; }

bool pg_link_is_down(const struct pg_link *link) { return link->state == LINK_DOWN && link->failures > 1; }

void pg_link_ask(struct pg_link *link, struct pg_ask *ask)
{
    const char *values[] = {ask->ask->user};

    MUST(link->state == LINK_READY);
    ask->link = link;
    link->ask = ask;
    pg_answer_init(&link->answer);
    enter(link, LINK_BUSY, link->links->answer_ms);
    if (!PQsendQueryParams(link->conn, link->links->query, 1, NULL, values, NULL, NULL, 0) ||
        !PQsetSingleRowMode(link->conn))
        lose_as_libpq_says(link, "the question cannot be sent");
    else
        step_busy(link);
}

void pg_link_forget(struct pg_link *link)
{
    MUST(link->state == LINK_BUSY);
    link->ask = NULL;
    link->state = LINK_DRAINING; /* the time that the question began with goes on */
}
