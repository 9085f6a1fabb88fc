/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share among themselves.
 */
#ifndef GATEPOST_ADMIN_ADMIN_PRIVATE_H
#define GATEPOST_ADMIN_ADMIN_PRIVATE_H

#include "admin/admin.h"
#include "base/span.h"

#define ADMIN_ANSWER_BYTES ((size_t)64 << 20)
#define ADMIN_BODY_BYTES ((size_t)32 << 10) /* of a body that a route reads; what is longer may still be ignored */

struct server;

struct admin {
    /* fixed after admin_new */
    const struct admin_ops *ops;
    void *ctx;
    uint64_t started_ms; /* monotonic */
    /* owned by the thread that starts and stops */
    struct server *servers[ADMIN_LISTENERS_MOST];
    size_t server_count;
};

/* ---- server.c: one listener ---- */

struct server *server_start(const struct admin *admin, const struct admin_params *params, struct error *error);
void server_stop(struct server *server);
const struct sockaddr *server_address(const struct server *server);

/* ---- routes.c ---- */

struct admin_query {
    const struct admin *admin;
    const char *limit, *who;  /* the query parameters of that name, or NULL */
    const char *content_type; /* or NULL */
    struct span body;         /* empty when it is longer than ADMIN_BODY_BYTES */
    bool is_body_long;
};

struct admin_answer {
    unsigned status; /* HTTP */
    const char *content_type;
    struct buf body;
};

typedef void admin_route_fn(const struct admin_query *query, struct admin_answer *answer);

struct admin_route {
    const char *method;
    const char *path;
    admin_route_fn *run;
};

/* NULL when there is none; `*allow_out` is then the method the path has, or NULL. */
const struct admin_route *routes_find(const char *method, const char *path, const char **allow_out);

/* Takes `value`. */
void answer_json(struct admin_answer *answer, unsigned status, json_t *value);
/* {"error": "..."} */
void answer_error(struct admin_answer *answer, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- routes_auth.c ---- */

/* The body, an object; NULL: the answer says why there is none. */
json_t *routes_question(const struct admin_query *query, struct admin_answer *answer);
/* Has it answered. Takes `question`, which may be NULL: then the answer is there. */
void routes_ask(const struct admin_query *query, struct admin_answer *answer, const char *verb, json_t *question);

void routes_auth_show(const struct admin_query *query, struct admin_answer *answer);
void routes_auth_unlock(const struct admin_query *query, struct admin_answer *answer);
void routes_auth_block(const struct admin_query *query, struct admin_answer *answer);
void routes_auth_purge(const struct admin_query *query, struct admin_answer *answer);
void routes_auth_test(const struct admin_query *query, struct admin_answer *answer);

/* ---- routes_sending.c ---- */

void routes_sessions(const struct admin_query *query, struct admin_answer *answer);
void routes_sessions_close(const struct admin_query *query, struct admin_answer *answer);
void routes_budget(const struct admin_query *query, struct admin_answer *answer);
void routes_held(const struct admin_query *query, struct admin_answer *answer);
void routes_hold(const struct admin_query *query, struct admin_answer *answer);
void routes_release(const struct admin_query *query, struct admin_answer *answer);

/* ---- metrics_json.c ---- */

/* Exposition text as one JSON object: a member per name with its help, type and value. A new
 * reference, or NULL when the text is not exposition format. */
json_t *metrics_json(struct span exposition);

#endif
