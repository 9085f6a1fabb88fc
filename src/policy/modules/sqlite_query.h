/* SPDX-License-Identifier: Apache-2.0
 *
 * One statement of a policy on its way through the jobs pool, and the handle it was asked on. Filled on the Lua thread,
 * worked on in the pool, read on the Lua thread again.
 */
#ifndef GATEPOST_POLICY_MODULES_SQLITE_QUERY_H
#define GATEPOST_POLICY_MODULES_SQLITE_QUERY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/span.h"
#include "policy/await.h"
#include "policy/modules/sqlite_cells.h"
#include "policy/modules/sqlite_pool.h"

/* What db:execute is called on. Counted: a statement may outlast the Lua object. */
struct sqlite_handle {
    /* fixed after start */
    atomic_int refs;
    char *path;
    int busy_ms;

    pthread_mutex_t lock;
    /* shared, under lock */
    struct sqlite_conn *own; /* or NULL: any connection will do */
    bool closed;
};

struct sqlite_query {
    struct await_job job;
    struct sqlite_handle *handle;
    char *sql;
    size_t sql_len;
    struct sqlite_cells params;
    struct sqlite_cells names;   /* of the parameters, when they have names */
    struct sqlite_cells columns; /* the result's */
    struct sqlite_cells rows;    /* row by row */
    int column_count;            /* 0: nothing but `changes` */
    sqlite3_int64 changes;
};

void sqlite_handle_unref(struct sqlite_handle *handle);

/* For `statement`, which is copied; the query holds the handle. What is done with it is the caller's to set in `job`.
 */
struct sqlite_query *sqlite_query_new(struct sqlite_handle *handle, struct span statement)
    __attribute__((returns_nonnull));
void sqlite_query_free(struct await_job *job);

/* Runs it: `job.error`, or what came of it is in `rows`, `columns` and `changes`. On a pool thread. */
void sqlite_query_work(struct await_job *job);

#endif
