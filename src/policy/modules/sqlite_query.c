/* SPDX-License-Identifier: Apache-2.0
 *
 * Running a policy's statement: binding, stepping, and which connection it may use. See mod_sqlite.c for what the
 * policy sees of it.
 */
#include "policy/modules/sqlite_query.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"

void sqlite_handle_unref(struct sqlite_handle *handle)
{
    if (atomic_fetch_sub(&handle->refs, 1) > 1)
        return;
    sqlite_conn_bury(handle->own);
    pthread_mutex_destroy(&handle->lock);
    free(handle->path);
    free(handle);
}

struct sqlite_query *sqlite_query_new(struct sqlite_handle *handle, struct span statement)
{
    struct sqlite_query *query = mem_zalloc(sizeof *query);

    query->job = (struct await_job){.work = sqlite_query_work, .free = sqlite_query_free};
    query->handle = handle;
    atomic_fetch_add(&handle->refs, 1);
    query->sql = span_dup(statement);
    query->sql_len = statement.len;
    sqlite_cells_init(&query->params);
    sqlite_cells_init(&query->names);
    sqlite_cells_init(&query->columns);
    sqlite_cells_init(&query->rows);
    return query;
}

void sqlite_query_free(struct await_job *job)
{
    struct sqlite_query *query = CONTAINER_OF(job, struct sqlite_query, job);

    sqlite_handle_unref(query->handle);
    secret_wipe(query->sql, query->sql_len);
    free(query->sql);
    sqlite_cells_done(&query->params);
    sqlite_cells_done(&query->names);
    sqlite_cells_done(&query->columns);
    sqlite_cells_done(&query->rows);
    free(query);
}

/* ---- running it, on a pool thread ---- */

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

static int failed(struct sqlite_query *query, sqlite3 *db, const char *what)
{
    return error_set(&query->job.error, ERROR_TEMP, "database %s: %s%s", query->handle->path, what, sqlite3_errmsg(db));
}

static int bind_cell(struct sqlite_query *query, sqlite3_stmt *stmt, int index, const struct sqlite_cell *cell)
{
    struct span text = cell->type >= SQLITE_CELL_TEXT ? sqlite_cells_text(&query->params, cell) : SPAN_LIT("");
    int status = SQLITE_OK;

    switch (cell->type) {
    case SQLITE_CELL_NULL:
        status = sqlite3_bind_null(stmt, index);
        break;
    case SQLITE_CELL_INTEGER:
        status = sqlite3_bind_int64(stmt, index, cell->integer);
        break;
    case SQLITE_CELL_REAL:
        status = sqlite3_bind_double(stmt, index, cell->real);
        break;
    case SQLITE_CELL_TEXT:
    case SQLITE_CELL_BLOB:
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

static int bind_named(struct sqlite_query *query, sqlite3_stmt *stmt)
{
    for (size_t i = 0; i < query->params.count; i++) {
        struct span name = sqlite_cells_text(&query->names, &query->names.list[i]);
        int index = index_of_name(stmt, name);

        if (!index)
            return error_set(&query->job.error, ERROR_PERM, "the SQL has no parameter :%.*s", SPAN_ARG(name));
        if (bind_cell(query, stmt, index, &query->params.list[i]))
            return -1;
    }
    return 0;
}

static int bind_all(struct sqlite_query *query, sqlite3_stmt *stmt)
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

static int keep_column(struct sqlite_cells *rows, sqlite3_stmt *stmt, int column)
{
    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        return sqlite_cells_add(
            rows, (struct sqlite_cell){.type = SQLITE_CELL_INTEGER, .integer = sqlite3_column_int64(stmt, column)});
    case SQLITE_FLOAT:
        return sqlite_cells_add(
            rows, (struct sqlite_cell){.type = SQLITE_CELL_REAL, .real = sqlite3_column_double(stmt, column)});
    case SQLITE_TEXT: {
        const void *text = sqlite3_column_text(stmt, column);
        return sqlite_cells_add_text(rows, SQLITE_CELL_TEXT, text, (size_t)sqlite3_column_bytes(stmt, column));
    }
    case SQLITE_BLOB: {
        const void *blob = sqlite3_column_blob(stmt, column);
        return sqlite_cells_add_text(rows, SQLITE_CELL_BLOB, blob, (size_t)sqlite3_column_bytes(stmt, column));
    }
    default:
        return sqlite_cells_add(rows, (struct sqlite_cell){.type = SQLITE_CELL_NULL});
    }
}

static int keep_row(struct sqlite_query *query, sqlite3_stmt *stmt)
{
    for (int i = 0; i < query->column_count; i++)
        if (keep_column(&query->rows, stmt, i))
            return error_set(&query->job.error, ERROR_TEMP, "database %s: the answer is too large: narrow the question",
                             query->handle->path);
    return 0;
}

static int step_all(struct sqlite_query *query, sqlite3_stmt *stmt)
{
    sqlite3 *db = sqlite3_db_handle(stmt);
    int status;

    query->column_count = sqlite3_column_count(stmt);
    for (int i = 0; i < query->column_count; i++) {
        const char *name = sqlite3_column_name(stmt, i);

        if (!name || sqlite_cells_add_text(&query->columns, SQLITE_CELL_TEXT, name, strlen(name)))
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
static int run_on(struct sqlite_query *query, struct sqlite_conn *conn, bool *spoilt_out)
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
static void run_on_own(struct sqlite_query *query)
{
    struct sqlite_handle *handle = query->handle;
    bool spoilt = false;

    if (run_on(query, handle->own, &spoilt) && spoilt) {
        sqlite_conn_give(handle->own, true);
        handle->own = NULL;
    }
}

static void keep_or_give(struct sqlite_handle *handle, struct sqlite_conn *conn, bool plain, bool spoilt)
{
    bool has_state = !plain || !sqlite3_get_autocommit(sqlite_conn_db(conn)) || sqlite_path_is_private(handle->path);

    if (spoilt || !has_state || handle->own || handle->closed)
        sqlite_conn_give(conn, spoilt || has_state);
    else
        handle->own = conn;
}

void sqlite_query_work(struct await_job *job)
{
    struct sqlite_query *query = CONTAINER_OF(job, struct sqlite_query, job);
    struct sqlite_handle *handle = query->handle;
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
