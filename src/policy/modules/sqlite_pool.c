/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool of SQLite connections. Everything that can block (opening, closing, a checkpoint
 * at close) is done outside the lock, on the threads of the jobs pool.
 */
#include "policy/modules/sqlite_pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"

#define IDLE_LIMIT 32
#define IDLE_MS 60000
#define OPEN_LIMIT 256
#define STATEMENTS 16
#define QUERY_LIMIT_MS 30000
#define PROGRESS_STEPS 10000

/* What tells one file, and one state of it, from another. */
struct identity {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written;
    struct timespec changed;
};

struct statement {
    sqlite3_stmt *stmt;
    char *sql;
    size_t len;
    unsigned long used; /* the connection's clock at its last use */
};

struct sqlite_conn {
    /* fixed after opening */
    sqlite3 *db;
    char *path;
    bool private;

    /* owned by whoever took it; by the pool while idle */
    struct identity identity;
    struct statement statements[STATEMENTS];
    unsigned long clock;
    uint64_t since_ms; /* idle since; or in use since */
    struct list_node node;
};

static struct {
    pthread_mutex_t lock;
    /* shared, under lock */
    struct list idle; /* the longest idle first */
    struct list buried;
    size_t open;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .idle = {.head = {&pool.idle.head, &pool.idle.head}},
          .buried = {.head = {&pool.buried.head, &pool.buried.head}}};

bool sqlite_path_is_private(const char *path)
{
    return !*path || !strcmp(path, ":memory:") || !strncmp(path, "file:", 5);
}

static int look_at(const char *path, struct identity *identity_out)
{
    struct stat status;

    if (stat(path, &status))
        return -1;
    *identity_out = (struct identity){status.st_dev, status.st_ino, status.st_size, status.st_mtim, status.st_ctim};
    return 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_same(const struct identity *a, const struct identity *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           same_time(&a->written, &b->written) && same_time(&a->changed, &b->changed);
}

static void drop_statement(struct statement *statement)
{
    sqlite3_finalize(statement->stmt);
    if (statement->sql)
        secret_wipe(statement->sql, statement->len); /* a careless policy writes values into it */
    free(statement->sql);
    *statement = (struct statement){0};
}

static void conn_free(struct sqlite_conn *conn)
{
    for (size_t i = 0; i < STATEMENTS; i++)
        drop_statement(&conn->statements[i]);
    sqlite3_close_v2(conn->db);
    free(conn->path);
    free(conn);
}

static void conn_close(struct sqlite_conn *conn)
{
    conn_free(conn);
    pthread_mutex_lock(&pool.lock);
    pool.open--;
    pthread_mutex_unlock(&pool.lock);
}

/* Under the lock: moves to `dead` what is to be closed. */
static void gather_dead(struct list *dead, uint64_t now)
{
    struct list_node *node;

    list_splice(dead, &pool.buried);
    while ((node = list_first(&pool.idle))) {
        struct sqlite_conn *conn = CONTAINER_OF(node, struct sqlite_conn, node);

        if (pool.idle.count <= IDLE_LIMIT && now - conn->since_ms < IDLE_MS)
            break;
        list_remove(&pool.idle, node);
        list_push_back(dead, node);
    }
}

static void close_all(struct list *dead)
{
    struct list_node *node;

    while ((node = list_take_first(dead)))
        conn_close(CONTAINER_OF(node, struct sqlite_conn, node));
}

/* The most recently used idle connection to `path` that still stands for `identity`; others
 * to the same path go to `dead`. */
static struct sqlite_conn *find_idle(const char *path, const struct identity *identity, struct list *dead)
{
    struct list_node *node = list_last(&pool.idle);

    while (node) {
        struct sqlite_conn *conn = CONTAINER_OF(node, struct sqlite_conn, node);
        struct list_node *before = node->prev == &pool.idle.head ? NULL : node->prev;

        if (!strcmp(conn->path, path)) {
            list_remove(&pool.idle, node);
            if (is_same(&conn->identity, identity))
                return conn;
            list_push_back(dead, node);
        }
        node = before;
    }
    return NULL;
}

/* Ends a query that would never end by itself. */
static int on_progress(void *ctx)
{
    const struct sqlite_conn *conn = ctx;

    return clock_mono_ms() - conn->since_ms > QUERY_LIMIT_MS;
}

static struct sqlite_conn *open_failed(struct sqlite_conn *conn, struct error *error)
{
    int sys_errno = conn->db ? sqlite3_system_errno(conn->db) : 0;
    const char *why = conn->db ? sqlite3_errmsg(conn->db) : "out of memory";

    if (sys_errno)
        error_set_errno(error, ERROR_TEMP, sys_errno, "cannot open the database %s: %s", conn->path, why);
    else
        error_set(error, ERROR_TEMP, "cannot open the database %s: %s", conn->path, why);
    conn_close(conn);
    return NULL;
}

static struct sqlite_conn *conn_open(const char *path, int busy_ms, struct error *error)
{
    struct sqlite_conn *conn = mem_zalloc(sizeof *conn);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

    conn->path = mem_strdup(path);
    conn->private = sqlite_path_is_private(path);
    conn->since_ms = clock_mono_ms();
    if (conn->private)
        flags |= SQLITE_OPEN_URI;
    if (sqlite3_open_v2(path, &conn->db, flags, NULL))
        return open_failed(conn, error);
    sqlite3_busy_timeout(conn->db, busy_ms);
    sqlite3_progress_handler(conn->db, PROGRESS_STEPS, on_progress, conn);
    /* looked at after opening: were it replaced in between, the next taker sees it */
    if (!conn->private && look_at(path, &conn->identity))
        conn->identity = (struct identity){0};
    return conn;
}

static bool reserve_one(struct error *error)
{
    bool free_place;

    pthread_mutex_lock(&pool.lock);
    free_place = pool.open < OPEN_LIMIT;
    if (free_place)
        pool.open++;
    pthread_mutex_unlock(&pool.lock);
    if (!free_place)
        error_set(error, ERROR_AGAIN, "%d database connections are open already: close them with db:close()",
                  OPEN_LIMIT);
    return free_place;
}

struct sqlite_conn *sqlite_conn_take(const char *path, bool may_create, int busy_ms, struct error *error)
{
    struct identity identity = {0};
    struct sqlite_conn *conn = NULL;
    struct list dead;
    bool private = sqlite_path_is_private(path);
    bool missing = !private && look_at(path, &identity);

    if (missing && (errno != ENOENT || !may_create)) {
        error_set_errno(error, ERROR_TEMP, errno, "cannot open the database %s", path);
        return NULL;
    }
    list_init(&dead);
    pthread_mutex_lock(&pool.lock);
    gather_dead(&dead, clock_mono_ms());
    if (!private && !missing)
        conn = find_idle(path, &identity, &dead);
    pthread_mutex_unlock(&pool.lock);
    close_all(&dead);
    if (conn) {
        conn->since_ms = clock_mono_ms();
        sqlite3_busy_timeout(conn->db, busy_ms);
        return conn;
    }
    return reserve_one(error) ? conn_open(path, busy_ms, error) : NULL;
}

void sqlite_conn_give(struct sqlite_conn *conn, bool spoilt)
{
    struct list dead;

    if (!conn)
        return;
    if (spoilt || conn->private || !sqlite3_get_autocommit(conn->db)) {
        conn_close(conn);
        return;
    }
    list_init(&dead);
    conn->since_ms = clock_mono_ms();
    pthread_mutex_lock(&pool.lock);
    list_push_back(&pool.idle, &conn->node);
    gather_dead(&dead, conn->since_ms);
    pthread_mutex_unlock(&pool.lock);
    close_all(&dead);
}

void sqlite_conn_bury(struct sqlite_conn *conn)
{
    if (!conn)
        return;
    pthread_mutex_lock(&pool.lock);
    list_push_back(&pool.buried, &conn->node);
    pthread_mutex_unlock(&pool.lock);
}

sqlite3 *sqlite_conn_db(struct sqlite_conn *conn)
{
    conn->since_ms = clock_mono_ms(); /* the time limit counts from here */
    return conn->db;
}

void sqlite_conn_wrote(struct sqlite_conn *conn)
{
    if (!conn->private && look_at(conn->path, &conn->identity))
        conn->identity = (struct identity){0};
}

/* ---- statements ---- */

static struct statement *find_statement(struct sqlite_conn *conn, struct span sql)
{
    struct statement *oldest = &conn->statements[0];

    for (size_t i = 0; i < STATEMENTS; i++) {
        struct statement *statement = &conn->statements[i];

        if (statement->stmt && span_eq(span_make(statement->sql, statement->len), sql))
            return statement;
        if (statement->used < oldest->used)
            oldest = statement;
    }
    drop_statement(oldest);
    return oldest;
}

/* Behind a statement there may be semicolons, blanks and comments: nothing that SQLite
 * makes a statement of. */
static bool has_more(struct sqlite_conn *conn, const char *tail, const char *end)
{
    sqlite3_stmt *more = NULL;
    int status = SQLITE_OK;

    while (tail && tail < end && !more && !status) {
        const char *from = tail;

        status = sqlite3_prepare_v3(conn->db, from, (int)(end - from), 0, &more, &tail);
        if (tail == from)
            break;
    }
    sqlite3_finalize(more);
    return more || status;
}

static int prepare(struct sqlite_conn *conn, struct statement *statement, struct span sql, struct error *error)
{
    const char *tail = NULL;

    if (sql.len > 1000000)
        return error_set(error, ERROR_PERM, "the SQL is longer than a million bytes");
    if (sqlite3_prepare_v3(conn->db, sql.data, (int)sql.len, SQLITE_PREPARE_PERSISTENT, &statement->stmt, &tail))
        return error_set(error, ERROR_TEMP, "database %s: %s", conn->path, sqlite3_errmsg(conn->db));
    if (!statement->stmt)
        return error_set(error, ERROR_PERM, "the SQL holds no statement");
    if (has_more(conn, tail, sql.data + sql.len)) {
        drop_statement(statement);
        return error_set(error, ERROR_PERM, "the SQL holds more than one statement: execute them one by one");
    }
    statement->sql = mem_strndup(sql.data, sql.len);
    statement->len = sql.len;
    return 0;
}

int sqlite_conn_prepare(struct sqlite_conn *conn, struct span sql, sqlite3_stmt **stmt_out, struct error *error)
{
    struct statement *statement = find_statement(conn, sql);

    if (!statement->stmt && prepare(conn, statement, sql, error))
        return -1;
    statement->used = ++conn->clock;
    *stmt_out = statement->stmt;
    return 0;
}

size_t sqlite_conn_count(void)
{
    size_t count;

    pthread_mutex_lock(&pool.lock);
    count = pool.open;
    pthread_mutex_unlock(&pool.lock);
    return count;
}

void sqlite_pool_done(void)
{
    struct list dead;

    list_init(&dead);
    pthread_mutex_lock(&pool.lock);
    list_splice(&dead, &pool.buried);
    list_splice(&dead, &pool.idle);
    pthread_mutex_unlock(&pool.lock);
    close_all(&dead);
}
