/* SPDX-License-Identifier: Apache-2.0
 *
 * require 'sqlite': the operator's own database, most often the one that says who may log
 * in. Opening is only remembered; a statement then runs in the jobs pool on a connection
 * from sqlite_pool, so that the usual "open, ask once, forget" costs no opening at all. A
 * handle keeps a connection to itself while that has state others must not see: an open
 * transaction, temporary tables, pragmas.
 *
 * The awkward truth: a missing database is only created by a statement that could fill it
 * (CREATE, PRAGMA...). A question to a missing file is an error, where SQLite would create
 * an empty file and say that there is no such table.
 */
#include "policy/modules/modules.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "policy/await.h"
#include "policy/modules/sqlite_pool.h"
#include "policy/policy.h"

#define CLASS "sqlite connection"
#define BUSY_MS 500
#define BUSY_LIMIT_MS 60000
#define PARAMETERS_LIMIT 999
#define TEXT_LIMIT_BYTES ((size_t)32 << 20)
#define CELLS_LIMIT ((size_t)1 << 20)
#define COLLECT_ABOVE 128 /* open connections */

/* What db:execute is called on. Counted: a statement may outlast the Lua object. */
struct handle {
    /* fixed after start */
    atomic_int refs;
    char *path;
    int busy_ms;

    pthread_mutex_t lock;
    /* shared, under lock */
    struct sqlite_conn *own; /* or NULL: any connection will do */
    bool closed;
};

enum cell_type { CELL_NULL, CELL_INTEGER, CELL_REAL, CELL_TEXT, CELL_BLOB };

struct cell {
    enum cell_type type;
    union {
        sqlite3_int64 integer;
        double real;
        struct {
            size_t at; /* in the cells' text */
            size_t len;
        };
    };
};

struct cells {
    struct cell *list;
    size_t count;
    size_t capacity;
    struct buf text;
};

struct query {
    struct await_job job;
    struct handle *handle;
    char *sql;
    size_t sql_len;
    struct cells params;
    struct cells names;   /* of the parameters, when they have names */
    struct cells columns; /* the result's */
    struct cells rows;    /* row by row */
    int column_count;     /* 0: nothing but `changes` */
    sqlite3_int64 changes;
};

/* ---- handles ---- */

static void handle_unref(struct handle *handle)
{
    if (atomic_fetch_sub(&handle->refs, 1) > 1)
        return;
    sqlite_conn_bury(handle->own);
    pthread_mutex_destroy(&handle->lock);
    free(handle->path);
    free(handle);
}

static void collect_handle(void *object) { handle_unref(object); }

/* ---- cells ---- */

static void cells_init(struct cells *cells)
{
    *cells = (struct cells){0};
    buf_init(&cells->text, TEXT_LIMIT_BYTES);
}

static void cells_done(struct cells *cells)
{
    if (cells->text.data)
        secret_wipe(cells->text.data, cells->text.capacity);
    buf_done(&cells->text);
    free(cells->list);
}

static int cells_add(struct cells *cells, struct cell cell)
{
    if (cells->count == cells->capacity) {
        size_t capacity = cells->capacity ? cells->capacity * 2 : 8;

        if (capacity > CELLS_LIMIT)
            return -1;
        cells->list = mem_realloc(cells->list, capacity * sizeof *cells->list);
        cells->capacity = capacity;
    }
    cells->list[cells->count++] = cell;
    return 0;
}

static int cells_add_text(struct cells *cells, enum cell_type type, const void *data, size_t len)
{
    struct cell cell = {.type = type};

    cell.at = buf_len(&cells->text);
    cell.len = len;
    if (len && buf_append(&cells->text, data, len))
        return -1;
    return cells_add(cells, cell);
}

static struct span cell_text(const struct cells *cells, const struct cell *cell)
{
    return span_head(span_from(buf_span(&cells->text), cell->at), cell->len);
}

/* ---- on a pool thread: running a statement ---- */

static bool is_one_of(struct span word, const char *const *list)
{
    for (; *list; list++)
        if (span_ieq(word, span_of(*list)))
            return true;
    return false;
}

/* The statement's first word; empty when it hides behind a comment. */
static struct span first_word(struct span sql)
{
    size_t len = 0;

    while (sql.len && strchr(" \t\r\n;(", *sql.data))
        sql = span_from(sql, 1);
    while (len < sql.len && ((sql.data[len] | 0x20) >= 'a' && (sql.data[len] | 0x20) <= 'z'))
        len++;
    return span_head(sql, len);
}

static bool needs_tables(struct span sql)
{
    static const char *const words[] = {"select", "with",   "values",  "explain", "insert",
                                        "update", "delete", "replace", NULL};

    return is_one_of(first_word(sql), words);
}

/* Leaves nothing behind in the connection, transactions aside. */
static bool is_plain(struct span sql)
{
    static const char *const words[] = {"begin",   "commit",  "end",  "rollback", "savepoint", "release",
                                        "analyze", "reindex", "drop", "alter",    "vacuum",    NULL};
    static const char *const temporary[] = {"temp", "temporary", NULL};
    struct span word = first_word(sql);

    if (span_ieq(word, SPAN_LIT("create")))
        return !is_one_of(
            first_word(span_make(word.data + word.len, sql.len - (size_t)(word.data + word.len - sql.data))),
            temporary);
    return needs_tables(sql) || is_one_of(word, words);
}

static int failed(struct query *query, sqlite3 *db, const char *what)
{
    return error_set(&query->job.error, ERROR_TEMP, "database %s: %s%s", query->handle->path, what, sqlite3_errmsg(db));
}

static int bind_cell(struct query *query, sqlite3_stmt *stmt, int index, const struct cell *cell)
{
    struct span text = cell->type >= CELL_TEXT ? cell_text(&query->params, cell) : SPAN_LIT("");
    int status = SQLITE_OK;

    switch (cell->type) {
    case CELL_NULL:
        status = sqlite3_bind_null(stmt, index);
        break;
    case CELL_INTEGER:
        status = sqlite3_bind_int64(stmt, index, cell->integer);
        break;
    case CELL_REAL:
        status = sqlite3_bind_double(stmt, index, cell->real);
        break;
    case CELL_TEXT:
    case CELL_BLOB:
        status = sqlite3_bind_text64(stmt, index, text.data, text.len, SQLITE_STATIC, SQLITE_UTF8);
        break;
    }
    return status ? failed(query, sqlite3_db_handle(stmt), "") : 0;
}

static int index_of_name(sqlite3_stmt *stmt, struct span name)
{
    char text[128];

    for (const char *mark = ":@$"; *mark && name.len < sizeof text - 2; mark++) {
        int index;

        snprintf(text, sizeof text, "%c%.*s", *mark, SPAN_ARG(name));
        index = sqlite3_bind_parameter_index(stmt, text);
        if (index)
            return index;
    }
    return 0;
}

static int bind_named(struct query *query, sqlite3_stmt *stmt)
{
    for (size_t i = 0; i < query->params.count; i++) {
        struct span name = cell_text(&query->names, &query->names.list[i]);
        int index = index_of_name(stmt, name);

        if (!index)
            return error_set(&query->job.error, ERROR_PERM, "the SQL has no parameter :%.*s", SPAN_ARG(name));
        if (bind_cell(query, stmt, index, &query->params.list[i]))
            return -1;
    }
    return 0;
}

static int bind_all(struct query *query, sqlite3_stmt *stmt)
{
    size_t wanted = (size_t)sqlite3_bind_parameter_count(stmt);

    if (query->names.count)
        return bind_named(query, stmt);
    if (query->params.count != wanted && !(query->params.count == 0 && wanted == 0))
        return error_set(&query->job.error, ERROR_PERM, "the SQL has %zu parameters, and %zu are given", wanted,
                         query->params.count);
    for (size_t i = 0; i < query->params.count; i++)
        if (bind_cell(query, stmt, (int)i + 1, &query->params.list[i]))
            return -1;
    return 0;
}

static int keep_column(struct cells *rows, sqlite3_stmt *stmt, int column)
{
    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        return cells_add(rows, (struct cell){.type = CELL_INTEGER, .integer = sqlite3_column_int64(stmt, column)});
    case SQLITE_FLOAT:
        return cells_add(rows, (struct cell){.type = CELL_REAL, .real = sqlite3_column_double(stmt, column)});
    case SQLITE_TEXT: {
        const void *text = sqlite3_column_text(stmt, column);
        return cells_add_text(rows, CELL_TEXT, text, (size_t)sqlite3_column_bytes(stmt, column));
    }
    case SQLITE_BLOB: {
        const void *blob = sqlite3_column_blob(stmt, column);
        return cells_add_text(rows, CELL_BLOB, blob, (size_t)sqlite3_column_bytes(stmt, column));
    }
    default:
        return cells_add(rows, (struct cell){.type = CELL_NULL});
    }
}

static int keep_row(struct query *query, sqlite3_stmt *stmt)
{
    for (int i = 0; i < query->column_count; i++)
        if (keep_column(&query->rows, stmt, i))
            return error_set(&query->job.error, ERROR_TEMP, "database %s: the answer is too large: narrow the question",
                             query->handle->path);
    return 0;
}

static int step_all(struct query *query, sqlite3_stmt *stmt)
{
    sqlite3 *db = sqlite3_db_handle(stmt);
    int status;

    query->column_count = sqlite3_column_count(stmt);
    for (int i = 0; i < query->column_count; i++) {
        const char *name = sqlite3_column_name(stmt, i);

        if (!name || cells_add_text(&query->columns, CELL_TEXT, name, strlen(name)))
            return failed(query, db, "");
    }
    while ((status = sqlite3_step(stmt)) == SQLITE_ROW)
        if (keep_row(query, stmt))
            return -1;
    if (status == SQLITE_INTERRUPT)
        return error_set(&query->job.error, ERROR_TEMP, "database %s: the statement took too long",
                         query->handle->path);
    if (status != SQLITE_DONE)
        return failed(query, db, "");
    query->changes = sqlite3_changes64(db);
    return 0;
}

/* 0; or -1 with `*spoilt_out` when the connection is not to be used again. */
static int run_on(struct query *query, struct sqlite_conn *conn, bool *spoilt_out)
{
    sqlite3 *db = sqlite_conn_db(conn);
    sqlite3_stmt *stmt;
    int result;

    *spoilt_out = false;
    if (sqlite_conn_prepare(conn, span_make(query->sql, query->sql_len), &stmt, &query->job.error)) {
        int status = sqlite3_errcode(db);

        *spoilt_out = status != SQLITE_OK && status != SQLITE_ERROR && status != SQLITE_BUSY;
        return -1;
    }
    result = bind_all(query, stmt) || step_all(query, stmt) ? -1 : 0;
    if (result) {
        int status = sqlite3_errcode(db) & 0xff;

        *spoilt_out = status != SQLITE_CONSTRAINT && status != SQLITE_BUSY && status != SQLITE_ERROR;
    }
    if (!sqlite3_stmt_readonly(stmt))
        sqlite_conn_wrote(conn);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt); /* the bytes bound are not SQLite's, and may be a password */
    return result;
}

/* The handle's own connection, with its lock held throughout: statements of one handle that
 * has state run one after another. */
static void run_on_own(struct query *query)
{
    struct handle *handle = query->handle;
    bool spoilt = false;

    if (run_on(query, handle->own, &spoilt) && spoilt) {
        sqlite_conn_give(handle->own, true);
        handle->own = NULL;
    }
}

static void keep_or_give(struct handle *handle, struct sqlite_conn *conn, bool plain, bool spoilt)
{
    bool has_state = !plain || !sqlite3_get_autocommit(sqlite_conn_db(conn)) || sqlite_path_is_private(handle->path);

    if (spoilt || !has_state || handle->own || handle->closed)
        sqlite_conn_give(conn, spoilt || has_state);
    else
        handle->own = conn;
}

static void work(struct await_job *job)
{
    struct query *query = CONTAINER_OF(job, struct query, job);
    struct handle *handle = query->handle;
    struct span sql = span_make(query->sql, query->sql_len);
    struct sqlite_conn *conn;
    bool locked = true;
    bool spoilt;

    pthread_mutex_lock(&handle->lock);
    if (handle->closed) {
        error_set(&job->error, ERROR_PERM, "this sqlite connection is closed");
    } else if (handle->own) {
        run_on_own(query);
    } else {
        /* a question by a handle without state holds nobody up */
        if (needs_tables(sql) && !sqlite_path_is_private(handle->path)) {
            pthread_mutex_unlock(&handle->lock);
            locked = false;
        }
        conn = sqlite_conn_take(handle->path, !needs_tables(sql), handle->busy_ms, &job->error);
        if (conn) {
            run_on(query, conn, &spoilt);
            if (!locked)
                pthread_mutex_lock(&handle->lock);
            locked = true;
            keep_or_give(handle, conn, is_plain(sql), spoilt);
        }
    }
    if (locked)
        pthread_mutex_unlock(&handle->lock);
}

/* ---- results, on the Lua thread ---- */

static void push_cell(lua_State *L, const struct cells *cells, const struct cell *cell)
{
    struct span text;

    switch (cell->type) {
    case CELL_NULL:
        lua_pushnil(L);
        return;
    case CELL_INTEGER:
        lua_pushinteger(L, cell->integer);
        return;
    case CELL_REAL:
        lua_pushnumber(L, cell->real);
        return;
    case CELL_TEXT:
    case CELL_BLOB:
        text = cell_text(cells, cell);
        lua_pushlstring(L, text.len ? text.data : "", text.len);
    }
}

static void push_row(lua_State *L, const struct query *query, const struct cell *row)
{
    if (query->column_count == 1) {
        push_cell(L, &query->rows, row);
        return;
    }
    lua_createtable(L, 0, query->column_count); /* row */
    for (int i = 0; i < query->column_count; i++) {
        push_cell(L, &query->columns, &query->columns.list[i]); /* row name */
        push_cell(L, &query->rows, &row[i]);                    /* row name value */
        lua_rawset(L, -3);                                      /* row */
    }
}

static int push(struct await_job *job, lua_State *L)
{
    const struct query *query = CONTAINER_OF(job, struct query, job);
    size_t columns = (size_t)query->column_count;

    if (!columns) {
        lua_pushinteger(L, query->changes);
        return 1;
    }
    lua_createtable(L, (int)(query->rows.count / columns), 0); /* list */
    for (size_t i = 0; i * columns < query->rows.count; i++) {
        push_row(L, query, &query->rows.list[i * columns]); /* list row */
        lua_rawseti(L, -2, (lua_Integer)i + 1);             /* list */
    }
    return 1;
}

static void free_query(struct await_job *job)
{
    struct query *query = CONTAINER_OF(job, struct query, job);

    handle_unref(query->handle);
    secret_wipe(query->sql, query->sql_len);
    free(query->sql);
    cells_done(&query->params);
    cells_done(&query->names);
    cells_done(&query->columns);
    cells_done(&query->rows);
    free(query);
}

/* ---- parameters: checked first, copied after, so that no error can leak a query ---- */

static void check_value(lua_State *L, int index, const char *name)
{
    int type = lua_type(L, index);

    if (type != LUA_TNIL && type != LUA_TBOOLEAN && type != LUA_TNUMBER && type != LUA_TSTRING)
        luaL_error(L, "db:execute: parameter %s is a %s; numbers, strings, booleans and nil can be bound", name,
                   lua_typename(L, type));
}

static void check_table(lua_State *L, int index)
{
    lua_pushnil(L); /* key */
    while (lua_next(L, index)) {
        /* key value */
        if (lua_type(L, -2) == LUA_TSTRING)
            check_value(L, -1, lua_tostring(L, -2));
        else if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 || lua_tointeger(L, -2) > PARAMETERS_LIMIT)
            luaL_error(L, "db:execute: the keys of a parameter table are names, or places from 1 on");
        else
            check_value(L, -1, lua_pushfstring(L, "%d", (int)lua_tointeger(L, -2))), lua_pop(L, 1);
        lua_pop(L, 1); /* key */
    }
}

static void check_parameters(lua_State *L, int first)
{
    int top = lua_gettop(L);

    if (top - first + 1 > PARAMETERS_LIMIT)
        luaL_error(L, "db:execute: more than %d parameters", PARAMETERS_LIMIT);
    luaL_checkstack(L, 8, NULL);
    if (top == first && lua_istable(L, first)) {
        check_table(L, first);
        return;
    }
    for (int i = first; i <= top; i++) {
        check_value(L, i, lua_pushfstring(L, "%d", i - first + 1));
        lua_pop(L, 1);
    }
}

/* The value is one of those check_value allows, so nothing here raises. */
static int keep_value(lua_State *L, int index, struct cells *params)
{
    size_t len;
    const char *text;

    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        return cells_add(params, (struct cell){.type = CELL_INTEGER, .integer = lua_toboolean(L, index)});
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            return cells_add(params, (struct cell){.type = CELL_INTEGER, .integer = lua_tointeger(L, index)});
        return cells_add(params, (struct cell){.type = CELL_REAL, .real = lua_tonumber(L, index)});
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &len);
        return cells_add_text(params, CELL_TEXT, text, len);
    default:
        return cells_add(params, (struct cell){.type = CELL_NULL});
    }
}

static int keep_list(lua_State *L, int index, struct cells *params)
{
    lua_Integer count = (lua_Integer)lua_rawlen(L, index);

    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, index, i); /* value */
        if (keep_value(L, -1, params))
            return -1;
        lua_pop(L, 1);
    }
    return 0;
}

static int keep_table(lua_State *L, int index, struct query *query)
{
    if (lua_rawlen(L, index))
        return keep_list(L, index, &query->params);
    lua_pushnil(L); /* key */
    while (lua_next(L, index)) {
        /* key value */
        size_t len = 0;
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : "";

        if (cells_add_text(&query->names, CELL_TEXT, name, len) || keep_value(L, -1, &query->params))
            return -1;
        lua_pop(L, 1); /* key */
    }
    return 0;
}

static int keep_parameters(lua_State *L, int first, struct query *query)
{
    int top = lua_gettop(L);

    if (top == first && lua_istable(L, first))
        return keep_table(L, first, query);
    for (int i = first; i <= top; i++)
        if (keep_value(L, i, &query->params))
            return -1;
    return 0;
}

/* ---- Lua ---- */

static struct query *new_query(struct handle *handle, struct span sql)
{
    struct query *query = mem_zalloc(sizeof *query);

    query->job = (struct await_job){.work = work, .push = push, .free = free_query};
    query->handle = handle;
    atomic_fetch_add(&handle->refs, 1);
    query->sql = span_dup(sql);
    query->sql_len = sql.len;
    cells_init(&query->params);
    cells_init(&query->names);
    cells_init(&query->columns);
    cells_init(&query->rows);
    return query;
}

static int l_execute(lua_State *L)
{
    struct handle *handle = policy_check_object(L, 1, CLASS);
    struct query *query;
    size_t len;
    const char *sql = luaL_checklstring(L, 2, &len);

    check_parameters(L, 3);
    query = new_query(handle, span_make(sql, len));
    if (keep_parameters(L, 3, query)) {
        free_query(&query->job);
        return luaL_error(L, "db:execute: the parameters are larger than %d MiB", (int)(TEXT_LIMIT_BYTES >> 20));
    }
    return await_job(L, &query->job);
}

static void close_work(struct await_job *job)
{
    struct handle *handle = CONTAINER_OF(job, struct query, job)->handle;
    struct sqlite_conn *own;

    pthread_mutex_lock(&handle->lock);
    own = handle->own;
    handle->own = NULL;
    handle->closed = true;
    pthread_mutex_unlock(&handle->lock);
    sqlite_conn_give(own, true);
}

static int push_nothing(struct await_job *job, lua_State *L)
{
    (void)job;
    (void)L;
    return 0;
}

static int l_close(lua_State *L)
{
    struct query *query = new_query(policy_check_object(L, 1, CLASS), SPAN_LIT(""));

    query->job.work = close_work;
    query->job.push = push_nothing;
    return await_job(L, &query->job);
}

static int l_open(lua_State *L)
{
    size_t len;
    const char *path = luaL_checklstring(L, 1, &len);
    lua_Integer busy_ms = luaL_optinteger(L, 2, BUSY_MS);
    struct handle *handle;

    luaL_argcheck(L, strlen(path) == len && len < 4096, 1, "not a path");
    luaL_argcheck(L, busy_ms >= 0 && busy_ms <= BUSY_LIMIT_MS, 2, "milliseconds, from 0 to 60000");
    /* handles that hold connections and were forgotten */
    if (sqlite_conn_count() > COLLECT_ABOVE)
        lua_gc(L, LUA_GCCOLLECT);
    handle = mem_zalloc(sizeof *handle);
    atomic_init(&handle->refs, 1);
    handle->path = mem_strdup(path);
    handle->busy_ms = (int)busy_ms;
    pthread_mutex_init(&handle->lock, NULL);
    policy_push_owned(L, CLASS, handle, collect_handle);
    return 1;
}

static int open_module(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", l_open}, {NULL, NULL}};

    luaL_newlib(L, functions);
    return 1;
}

void mod_sqlite_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"execute", l_execute}, {"close", l_close}, {NULL, NULL}};

    luaL_newmetatable(L, CLASS); /* class */
    luaL_newlib(L, methods);     /* class methods */
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE); /* preload */
    lua_pushcfunction(L, open_module);
    lua_setfield(L, -2, "sqlite");
    lua_pop(L, 1);
}
