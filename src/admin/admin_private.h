/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share among themselves.
 */
#ifndef GATEPOST_ADMIN_ADMIN_PRIVATE_H
#define GATEPOST_ADMIN_ADMIN_PRIVATE_H

#include "admin/admin.h"

#define ADMIN_ANSWER_BYTES ((size_t)64 << 20)

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
    const char *limit; /* the query parameter of that name, or NULL */
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

/* {"error": "..."} */
void answer_error(struct admin_answer *answer, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- metrics_json.c ---- */

/* Exposition text as one JSON object: a member per name with its help, type and value. A new
 * reference, or NULL when the text is not exposition format. */
json_t *metrics_json(struct span exposition);

#endif
