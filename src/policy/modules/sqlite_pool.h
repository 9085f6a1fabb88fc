/* SPDX-License-Identifier: Apache-2.0
 *
 * Open SQLite connections that outlive the policy's own: policies open their database in
 * every call, and opening costs more than asking. A connection is used by one thread at a
 * time. It is not used again once the file it was opened on is another, or was written by
 * somebody else: what it remembers might then be wrong, and it might say who may log in.
 */
#ifndef GATEPOST_POLICY_MODULES_SQLITE_POOL_H
#define GATEPOST_POLICY_MODULES_SQLITE_POOL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/span.h"

struct sqlite_conn;

/* A connection to `path`, idle before or new. A missing file is an error unless `may_create`.
 * NULL with an error that names the path. Blocks. */
struct sqlite_conn *sqlite_conn_take(const char *path, bool may_create, int busy_ms, struct error *error);

/* Back to the pool, or closed when it cannot serve others: in a transaction, `spoilt` (its
 * state or its file is in doubt), or private to its handle. May block. */
void sqlite_conn_give(struct sqlite_conn *conn, bool spoilt);

/* The same from a thread that may not block: the next taker closes it. */
void sqlite_conn_bury(struct sqlite_conn *conn);

sqlite3 *sqlite_conn_db(struct sqlite_conn *conn);

/* The file was changed through this connection: its new times are no reason to close it. */
void sqlite_conn_wrote(struct sqlite_conn *conn);

/* ":memory:", "" and URIs: never shared between handles. */
bool sqlite_path_is_private(const char *path);

/* A statement ready to be bound, from the connection's cache; released by resetting it.
 * -1 for text that is no statement, or more than one. */
int sqlite_conn_prepare(struct sqlite_conn *conn, struct span sql, sqlite3_stmt **stmt_out, struct error *error)
    __attribute__((warn_unused_result));

/* Connections open now, idle ones included. */
size_t sqlite_conn_count(void);

/* Closes what is idle: at the end of the process, once no policy runs. */
void sqlite_pool_done(void);

#endif
