/* SPDX-License-Identifier: Apache-2.0
 *
 * driver = "sqlite": users in a table of an SQLite file. The file is opened for reading only, the name is bound as
 * :user and never becomes part of the statement, and a statement that runs too long, or for nobody any more, is
 * stopped. A thread that had to wait for a lock holds up nobody but those who ask this store.
 *
 * Connections are kept, one for each thread; one whose file has been replaced under its name is opened afresh, and
 * so is one that met any error. The awkward truth: SQLite keeps pages it has read, stored passwords among them, in
 * memory of its own that nobody wipes.
 */
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "credential/credential_private.h"
#include "credential/pooled_ask.h"
#include "credential/store_fields.h"

#define QUERY_USUAL "SELECT * FROM users WHERE name = :user"
#define PARAMETER ":user"
#define THREADS_USUAL 2
#define THREADS_MOST 16
#define QUEUE_LIMIT_USUAL 256
#define BUSY_USUAL_MS 2000
#define BUSY_STEP_MS 10
#define STEPS_BETWEEN_LOOKS 10000 /* instructions of SQLite's machine: well below a millisecond */

struct connection {
    sqlite3 *db;
    sqlite3_stmt *statement;
    dev_t device;
    ino_t inode;
};

struct store {
    /* fixed after opening */
    char *path;
    char *query;
    uint64_t timeout_ms;
    uint64_t busy_ms;
    size_t threads;
    size_t queue_limit;

    /* owned by the lookup thread */
    struct store_pool *pool;

    /* shared, under lock */
    pthread_mutex_t lock;
    struct connection *idle[THREADS_MOST];
    size_t idle_count;
};

struct question_at_work {
    struct pooled_ask pooled;
    struct store *store;
    char *user;
    uint64_t deadline_ms;
    uint64_t busy_until_ms; /* 0: met no lock yet */
    atomic_bool is_cancelled;
};

/* ---- connections: on a thread of the pool ---- */

static void connection_free(struct connection *connection)
{
    if (!connection)
        return;
    sqlite3_finalize(connection->statement);
    sqlite3_close(connection->db);
    free(connection);
}

/* "cannot ...: what SQLite calls it". Its longer messages quote the statement, which is the operator's own. */
static int fail(struct error *error, sqlite3 *db, int code, const char *what)
{
    return error_set(error, ERROR_TEMP, "%s: %s", what, db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
}

static int prepare(struct connection *connection, const struct store *store, struct error *error)
{
    const char *rest = "";
    int code =
        sqlite3_prepare_v3(connection->db, store->query, -1, SQLITE_PREPARE_PERSISTENT, &connection->statement, &rest);

    if (code != SQLITE_OK)
        return fail(error, connection->db, code, "the query cannot be prepared");
    if (!connection->statement || span_trim(span_of(rest)).len)
        return error_set(error, ERROR_PERM, "the query is not exactly one statement");
    if (!sqlite3_stmt_readonly(connection->statement))
        return error_set(error, ERROR_PERM, "the query would write");
    if (sqlite3_bind_parameter_count(connection->statement) != 1 ||
        sqlite3_bind_parameter_index(connection->statement, PARAMETER) != 1)
        return error_set(error, ERROR_PERM, "the query must have the parameter " PARAMETER " and no other");
    return 0;
}

static int connect_to(struct connection *connection, const struct store *store, struct error *error)
{
    int code = sqlite3_open_v2(store->path, &connection->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    if (code != SQLITE_OK)
        return fail(error, connection->db, code, "the database cannot be opened");
    sqlite3_db_config(connection->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(connection->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return 0;
}

static struct connection *connection_new(const struct store *store, const struct stat *file, struct error *error)
{
    struct connection *connection = mem_zalloc(sizeof *connection);

    connection->device = file->st_dev;
    connection->inode = file->st_ino;
    if (connect_to(connection, store, error)) {
        connection_free(connection);
        return NULL;
    }
    return connection;
}

static struct connection *take_idle(struct store *store)
{
    struct connection *connection = NULL;

    pthread_mutex_lock(&store->lock);
    if (store->idle_count)
        connection = store->idle[--store->idle_count];
    pthread_mutex_unlock(&store->lock);
    return connection;
}

static void give_back(struct store *store, struct connection *connection)
{
    pthread_mutex_lock(&store->lock);
    MUST(store->idle_count < store->threads);
    store->idle[store->idle_count++] = connection;
    pthread_mutex_unlock(&store->lock);
}

static struct connection *take_connection(struct store *store, struct error *error)
{
    struct connection *connection = take_idle(store);
    struct stat file;

    if (stat(store->path, &file)) {
        error_set_errno(error, ERROR_TEMP, errno, "the database cannot be opened");
        connection_free(connection);
        return NULL;
    }
    if (connection && connection->device == file.st_dev && connection->inode == file.st_ino)
        return connection;
    connection_free(connection);
    return connection_new(store, &file, error);
}

/* ---- a question: on a thread of the pool ---- */

static bool is_over(const struct question_at_work *question)
{
    return atomic_load(&question->is_cancelled) || clock_mono_ms() >= question->deadline_ms;
}

static int on_progress(void *ctx) { return is_over(ctx); }

static int on_busy(void *ctx, int tries)
{
    struct question_at_work *question = ctx;
    uint64_t now = clock_mono_ms();

    if (tries == 0)
        question->busy_until_ms = now + question->store->busy_ms;
    if (is_over(question) || now >= question->busy_until_ms)
        return 0;
    sqlite3_sleep(BUSY_STEP_MS);
    return 1;
}

static int add_row(sqlite3_stmt *statement, json_t *rows, struct error *error)
{
    json_t *row = json_object();

    json_array_append_new(rows, row);
    if (json_array_size(rows) > STORE_ROWS_MOST)
        return error_set(error, ERROR_PERM, "more than %d rows for one user", STORE_ROWS_MOST);
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        struct span name = span_of(sqlite3_column_name(statement, i));
        const char *text;

        if (!store_fields_know(name) || sqlite3_column_type(statement, i) == SQLITE_NULL)
            continue;
        text = (const char *)sqlite3_column_text(statement, i);
        if (!text)
            return error_set(error, ERROR_TEMP, "no memory for a column");
        if (store_fields_set(row, name, span_make(text, (size_t)sqlite3_column_bytes(statement, i)), error))
            return -1;
    }
    return 0;
}

static int read_rows(struct connection *connection, const char *user, json_t *rows, struct error *error)
{
    sqlite3_stmt *statement = connection->statement;
    int code = sqlite3_bind_text(statement, 1, user, -1, SQLITE_STATIC);

    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW && add_row(statement, rows, error))
            return -1;
    }
    if (code == SQLITE_INTERRUPT)
        return error_set(error, ERROR_TEMP, "the query took too long");
    return code == SQLITE_DONE ? 0 : fail(error, connection->db, code, "the query failed");
}

static enum store_outcome conclude(json_t *rows, json_t **fields_out, struct error *error)
{
    if (!json_array_size(rows)) {
        json_decref(rows);
        return STORE_NOT_FOUND;
    }
    *fields_out = store_fields_merge(rows, error);
    return *fields_out ? STORE_FOUND : STORE_FAILED;
}

static int ask_connection(struct question_at_work *question, struct connection *connection, json_t *rows)
{
    int status = 0;

    sqlite3_progress_handler(connection->db, STEPS_BETWEEN_LOOKS, on_progress, question);
    sqlite3_busy_handler(connection->db, on_busy, question);
    if (!connection->statement)
        status = prepare(connection, question->store, &question->pooled.error);
    if (!status)
        status = read_rows(connection, question->user, rows, &question->pooled.error);
    sqlite3_reset(connection->statement);
    if (connection->statement)
        sqlite3_clear_bindings(connection->statement);
    sqlite3_progress_handler(connection->db, 0, NULL, NULL);
    sqlite3_busy_handler(connection->db, NULL, NULL);
    return status;
}

static void run(struct store_work *work)
{
    struct question_at_work *question = CONTAINER_OF(work, struct question_at_work, pooled.work);
    struct connection *connection;
    json_t *rows;

    question->pooled.outcome = STORE_FAILED;
    if (is_over(question)) {
        error_set(&question->pooled.error, ERROR_TEMP, "too late: the question waited for a thread too long");
        return;
    }
    connection = take_connection(question->store, &question->pooled.error);
    if (!connection)
        return;
    rows = json_array();
    if (ask_connection(question, connection, rows)) {
        store_fields_free(rows);
        connection_free(connection);
        return;
    }
    give_back(question->store, connection);
    question->pooled.outcome = conclude(rows, &question->pooled.fields, &question->pooled.error);
}

/* ---- on the lookup thread ---- */

static void question_free(struct question_at_work *question)
{
    pooled_ask_forget(&question->pooled);
    free(question->user);
    free(question);
}

static void drop(struct store_work *work) { question_free(CONTAINER_OF(work, struct question_at_work, pooled.work)); }

static void sqlite_ask(struct store *store, struct store_ask *ask)
{
    struct question_at_work *question = mem_zalloc(sizeof *question);

    question->pooled.work = (struct store_work){.run = run, .drop = drop};
    question->store = store;
    question->user = mem_strdup(ask->user);
    question->deadline_ms = clock_mono_ms() + store->timeout_ms;
    pooled_ask_begin(store->pool, &question->pooled, ask);
}

static void sqlite_cancel(struct store *store, struct store_ask *ask)
{
    struct question_at_work *question = CONTAINER_OF(ask->driver, struct question_at_work, pooled);

    atomic_store(&question->is_cancelled, true);
    pooled_ask_cancel(store->pool, &question->pooled);
}

/* ---- the store ---- */

static void store_free(void *ctx)
{
    struct store *store = ctx;

    for (size_t i = 0; i < store->idle_count; i++)
        connection_free(store->idle[i]);
    pthread_mutex_destroy(&store->lock);
    free(store->path);
    free(store->query);
    free(store);
}

static struct store *sqlite_open(struct settings *settings, struct error *error)
{
    struct store *store = mem_zalloc(sizeof *store);

    settings_need_text(settings, "path");
    store->path = mem_strdup(settings_path(settings, "path", ""));
    store->query = mem_strdup(settings_text(settings, "query", QUERY_USUAL));
    store->timeout_ms = settings_duration_ms(settings, "timeout", STORE_TIMEOUT_USUAL_MS, 1, UINT32_MAX);
    store->busy_ms = settings_duration_ms(settings, "busy_timeout", BUSY_USUAL_MS, 0, UINT32_MAX);
    store->threads = settings_count(settings, "threads", THREADS_USUAL, 1, THREADS_MOST);
    store->queue_limit = settings_count(settings, "queue_limit", QUEUE_LIMIT_USUAL, 1, UINT16_MAX);
    pthread_mutex_init(&store->lock, NULL);
    if (!strstr(store->query, PARAMETER))
        settings_fault(settings, "query", "has no " PARAMETER ", so it would find the same for everybody");
    if (!settings_end(settings, error))
        return store;
    store_free(store);
    return NULL;
}

static void sqlite_start(struct store *store, const struct store_house *house)
{
    store->pool = store_pool_new(house->loop, "sqlite store", store->threads, store->queue_limit);
}

static void sqlite_close(struct store *store)
{
    if (store->pool)
        store_pool_close(store->pool, store_free, store);
    else
        store_free(store);
}

const struct store_driver store_sqlite = {
    .name = "sqlite",
    .kind = STORE_RECORDS,
    .open = sqlite_open,
    .start = sqlite_start,
    .ask = sqlite_ask,
    .cancel = sqlite_cancel,
    .close = sqlite_close,
};
