/* SPDX-License-Identifier: Apache-2.0
 *
 * driver = "postgresql": users in a table of PostgreSQL. A few connections on the lookup thread's loop; who asks gets
 * one that is free, or waits in a bounded queue. While no connection is up nor on its way, questions fail at once
 * with what the last attempt said, so that an absent server costs a session no time; the connections come back by
 * themselves. The name is bound as $1 and never becomes part of the statement.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "credential/credential_private.h"
#include "credential/postgresql.h"
#include "log/diag.h"

#define QUERY_USUAL "SELECT * FROM users WHERE name = $1"
#define PARAMETER "$1"
#define CONNECTIONS_USUAL 2
#define CONNECTIONS_MOST 16
#define QUEUE_LIMIT_USUAL 256
#define CONNECT_USUAL_MS 5000
#define GRACE_MS 1000 /* for the server to stop a statement itself, before the connection is given up */

struct store {
    /* fixed after opening */
    struct pg_where *where;
    char *query;
    uint64_t timeout_ms;
    uint64_t connect_ms;
    size_t connections;
    size_t queue_limit;

    /* owned by the lookup thread */
    struct store_pool *resolver;
    struct pg_links shared;
    struct pg_link *links[CONNECTIONS_MOST];
    struct list waiting; /* pg_ask */
    struct error last;   /* why the last connection went, or did not come */
};

/* ---- from the links ---- */

static void on_answer(void *ctx, struct pg_ask *ask, enum store_outcome outcome, const json_t *fields,
                      const struct error *error)
{
    struct store_ask *store_ask = ask->ask;

    (void)ctx;
    free(ask);
    store_ask->on_done(store_ask, outcome, fields, error);
}

static void on_ready(void *ctx, struct pg_link *link)
{
    struct store *store = ctx;
    struct list_node *node = list_take_first(&store->waiting);

    if (node)
        pg_link_ask(link, CONTAINER_OF(node, struct pg_ask, node));
}

static bool is_hopeless(const struct store *store)
{
    for (size_t i = 0; i < store->connections; i++)
        if (!pg_link_is_down(store->links[i]))
            return false;
    return true;
}

static struct pg_link *find_ready(struct store *store)
{
    for (size_t i = 0; i < store->connections; i++)
        if (pg_link_is_ready(store->links[i]))
            return store->links[i];
    return NULL;
}

/* All connections may have been idle and be broken, but a question that breaks each one must not go on for ever. */
static void on_lost(void *ctx, struct pg_ask *ask, const struct error *error)
{
    struct store *store = ctx;
    struct pg_link *link = find_ready(store);

    if (ask->times_lost++ >= store->connections || (!link && is_hopeless(store))) {
        on_answer(store, ask, STORE_FAILED, NULL, error);
        return;
    }
    ask->link = NULL;
    if (link)
        pg_link_ask(link, ask);
    else
        list_push_front(&store->waiting, &ask->node);
}

static void on_down(void *ctx, struct pg_link *link, const struct error *error)
{
    struct store *store = ctx;

    (void)link;
    store->last = *error;
    while (is_hopeless(store) && !list_is_empty(&store->waiting))
        on_answer(store, CONTAINER_OF(list_take_first(&store->waiting), struct pg_ask, node), STORE_FAILED, NULL,
                  error);
}

/* ---- asking ---- */

static void postgresql_ask(struct store *store, struct store_ask *ask)
{
    struct pg_link *link = find_ready(store);
    struct pg_ask *waiting;
    struct error error;

    if (!link && is_hopeless(store)) {
        error = store->last;
        ask->on_done(ask, STORE_FAILED, NULL, &error);
        return;
    }
    if (!link && store->waiting.count >= store->queue_limit) {
        error_set(&error, ERROR_AGAIN, "all %zu connections are busy and %zu questions wait", store->connections,
                  store->waiting.count);
        ask->on_done(ask, STORE_FAILED, NULL, &error);
        return;
    }
    waiting = mem_zalloc(sizeof *waiting);
    waiting->ask = ask;
    ask->driver = waiting;
    if (link)
        pg_link_ask(link, waiting);
    else
        list_push_back(&store->waiting, &waiting->node);
}

static void postgresql_cancel(struct store *store, struct store_ask *ask)
{
    struct pg_ask *waiting = ask->driver;

    if (waiting->link)
        pg_link_forget(waiting->link);
    else
        list_remove(&store->waiting, &waiting->node);
    free(waiting);
}

/* ---- the store ---- */

static void store_free(void *ctx)
{
    struct store *store = ctx;

    pg_where_free(store->where);
    free(store->query);
    free(store);
}

/* Who sits on the way to a server without proof can hand us records of his own, and so log in as anybody. */
static void check_trust(const struct pg_where *where, struct settings *settings, bool allow_plain)
{
    if (pg_where_is_sure(where))
        return;
    if (allow_plain)
        diag(DIAG_WARN, NULL, "%s: records and secrets travel there in clear, or to whoever answers (allow_plain)",
             settings_where(settings, "conninfo"));
    else
        settings_fault(settings, "conninfo",
                       "would trust another machine without proof that it is the right one: add sslmode=verify-full "
                       "(or verify-ca), or say allow_plain = true");
}

static void read_where(struct store *store, struct settings *settings)
{
    const char *conninfo = settings_need_text(settings, "conninfo");
    char *password = settings_secret(settings, "password");
    bool allow_plain = settings_flag(settings, "allow_plain", false);
    struct error error;

    store->where = pg_where_new(conninfo, password, store->timeout_ms, &error);
    if (store->where)
        check_trust(store->where, settings, allow_plain);
    else
        settings_fault(settings, "conninfo", "%s", error.sentence);
    secret_free(password);
}

static struct store *postgresql_open(struct settings *settings, struct error *error)
{
    struct store *store = mem_zalloc(sizeof *store);

    list_init(&store->waiting);
    store->timeout_ms = settings_duration_ms(settings, "timeout", STORE_TIMEOUT_USUAL_MS, 1, INT32_MAX);
    store->connect_ms = settings_duration_ms(settings, "connect_timeout", CONNECT_USUAL_MS, 1, INT32_MAX);
    store->connections = settings_count(settings, "connections", CONNECTIONS_USUAL, 1, CONNECTIONS_MOST);
    store->queue_limit = settings_count(settings, "queue_limit", QUEUE_LIMIT_USUAL, 1, UINT16_MAX);
    store->query = mem_strdup(settings_text(settings, "query", QUERY_USUAL));
    read_where(store, settings);
    if (!strstr(store->query, PARAMETER))
        settings_fault(settings, "query", "has no " PARAMETER ", so it would find the same for everybody");
    if (!settings_end(settings, error))
        return store;
    store_free(store);
    return NULL;
}

static void postgresql_start(struct store *store, const struct store_house *house)
{
    store->resolver = store_pool_new(house->loop, "pg resolver", 1, store->connections);
    store->shared = (struct pg_links){
        .where = store->where,
        .query = store->query,
        .loop = house->loop,
        .resolver = store->resolver,
        .connect_ms = store->connect_ms,
        .answer_ms = store->timeout_ms + GRACE_MS,
        .on_ready = on_ready,
        .on_down = on_down,
        .on_answer = on_answer,
        .on_lost = on_lost,
        .ctx = store,
    };
    for (size_t i = 0; i < store->connections; i++)
        store->links[i] = pg_link_new(&store->shared);
}

static void postgresql_close(struct store *store)
{
    for (size_t i = 0; i < store->connections; i++)
        pg_link_free(store->links[i]);
    if (store->resolver)
        store_pool_close(store->resolver, store_free, store); /* a thread may still read `where` */
    else
        store_free(store);
}

const struct store_driver store_postgresql = {
    .name = "postgresql",
    .kind = STORE_RECORDS,
    .open = postgresql_open,
    .start = postgresql_start,
    .ask = postgresql_ask,
    .cancel = postgresql_cancel,
    .close = postgresql_close,
};
