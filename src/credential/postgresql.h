/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the PostgreSQL driver share: where the server is one connection, and those who
 * ask (store_postgresql.c).
 */
#ifndef GATEPOST_CREDENTIAL_POSTGRESQL_H
#define GATEPOST_CREDENTIAL_POSTGRESQL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "credential/store.h"
#include "credential/store_pool.h"
#include "loop/loop.h"

/* libpq's own names of its types, so that who includes this need not have its header. */
struct pg_conn;   /* PGconn */
struct pg_result; /* PGresult */

/* ---- where the server is: postgresql_where.c ---- */

/* A connection string taken apart, with the secret that belongs to it. Immutable. */
struct pg_where;

/* `password` (may be NULL) takes the place of one in `conninfo`, and is copied. Errors quote nothing of either. */
struct pg_where *pg_where_new(const char *conninfo, const char *password, uint64_t statement_ms, struct error *error);
void pg_where_free(struct pg_where *where); /* NULL is fine */

/* Every server is on this machine or has to prove by TLS who it is. */
bool pg_where_is_sure(const struct pg_where *where);

/* The hosts with their addresses, as libpq wants them: lists with commas, one place for one address. */
struct pg_places {
    char *hosts, *addresses, *ports;
};

/* libpq would ask the resolver itself, and wait for it. Blocks where a host is a name. */
bool pg_where_has_names(const struct pg_where *where);
int pg_where_resolve(const struct pg_where *where, struct pg_places *places_out, struct error *error)
    __attribute__((warn_unused_result));
void pg_places_done(struct pg_places *places);

/* A connection that has begun; never NULL but for want of memory. */
struct pg_conn *pg_where_connect(const struct pg_where *where, const struct pg_places *places);

/* ---- its socket on the loop: postgresql_watch.c ---- */

struct pg_watch;

struct pg_watch *pg_watch_new(struct loop *loop, void (*on_event)(void *ctx), void *ctx)
    __attribute__((returns_nonnull));
void pg_watch_free(struct pg_watch *watch); /* NULL is fine */
/* `events` of uv_poll_event. While it is watched, only the events may change. */
int pg_watch_start(struct pg_watch *watch, int fd, int events) __attribute__((warn_unused_result));
void pg_watch_stop(struct pg_watch *watch); /* before the descriptor may be closed */

/* ---- what it answers: postgresql_answer.c ---- */

struct pg_answer {
    json_t *rows;
    bool is_failed;
    struct error error;
};

void pg_answer_init(struct pg_answer *answer);
void pg_answer_done(struct pg_answer *answer); /* wipes; may be done twice */
/* A result in single-row mode. -1 when the answer cannot be read to its end: the connection is of no more use. */
int pg_answer_add(struct pg_answer *answer, const struct pg_result *result) __attribute__((warn_unused_result));
/* After the last result. FOUND: the record is the caller's (store_fields_free); FAILED: `error`. */
enum store_outcome pg_answer_conclude(struct pg_answer *answer, json_t **record_out, struct error *error);
void pg_result_clear(struct pg_result *result); /* wipes and frees */

/* ---- one connection: postgresql_link.c ---- */

/* A store_ask while this driver has it. */
struct pg_ask {
    struct list_node node; /* while it waits for a connection */
    struct pg_link *link;  /* while its question is out */
    struct store_ask *ask;
    unsigned times_lost;
};

/* What connections share; it outlives them. */
struct pg_links {
    const struct pg_where *where;
    const char *query;
    struct loop *loop;
    struct store_pool *resolver;
    uint64_t connect_ms; /* for resolving and connecting together */
    uint64_t answer_ms;  /* from the question to its last row */
    /* The link can take a question. */
    void (*on_ready)(void *ctx, struct pg_link *link);
    /* It lost its connection, or could not make one; it tries again by itself. Before its question is answered. */
    void (*on_down)(void *ctx, struct pg_link *link, const struct error *error);
    /* The answer to pg_link_ask; afterwards the link may be ready again, or not. */
    void (*on_answer)(void *ctx, struct pg_ask *ask, enum store_outcome outcome, const json_t *fields,
                      const struct error *error);
    /* The connection broke before there was an answer, as one does that had stood idle while the server restarted. */
    void (*on_lost)(void *ctx, struct pg_ask *ask, const struct error *error);
    void *ctx;
};

struct pg_link;

struct pg_link *pg_link_new(const struct pg_links *links) __attribute__((returns_nonnull)); /* connects */
void pg_link_free(struct pg_link *link); /* NULL is fine; no callback */
bool pg_link_is_ready(const struct pg_link *link);
bool pg_link_is_down(const struct pg_link *link); /* more than one try has come to nothing; waits before the next */

/* Only of one that is ready. */
void pg_link_ask(struct pg_link *link, struct pg_ask *ask);
/* The answer is no longer wanted. It is read and thrown away, and only then the link is ready again. */
void pg_link_forget(struct pg_link *link);

#endif
