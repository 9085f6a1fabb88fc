/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP listener through which operators and monitors ask the running daemon: routes
 * under /metrics and /api. It has threads of its own and holds up no mail; what only
 * another thread knows it asks for through struct admin_ops.
 */
#ifndef GATEPOST_ADMIN_ADMIN_H
#define GATEPOST_ADMIN_ADMIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/cidr.h"
#include "base/error.h"

#define ADMIN_TRUSTED_MOST 256

struct admin_params {
    struct sockaddr_storage listen;
    struct cidr trusted[ADMIN_TRUSTED_MOST]; /* who may ask at all */
    size_t trusted_count;
    uint64_t request_body_limit_bytes;
};

/* From the table given to kumo.start_http_listener. Errors name the key. */
int admin_params_from_json(const json_t *params, struct admin_params *params_out, struct error *error)
    __attribute__((warn_unused_result));

/* A copy to keep; NULL is fine for free. */
struct admin_params *admin_params_copy(const struct admin_params *params);
void admin_params_free(struct admin_params *params);

/* How the house answers. Called on admin threads, several at a time; none may block for longer
 * than a few seconds. A member that is NULL: the route answers 501. */
struct admin_ops {
    /* Appends one whole JSON value about at most `most` queues; -1 when it cannot be had now. */
    int (*describe_queues)(void *ctx, size_t most, struct buf *json_out);
    /* Whether new mail is taken. */
    bool (*is_live)(void *ctx);
    void (*bump_config_epoch)(void *ctx);
    /* Questions and orders about logins: `verb` is the route's word ("show"), `question` an object. A new reference;
     * NULL with an error, of kind PERM when the question is at fault. */
    json_t *(*ask_auth)(void *ctx, const char *verb, const json_t *question, struct error *error);
};

#define ADMIN_LISTENERS_MOST 16

struct admin;

/* `ops` and `ctx` stay until admin_free. */
struct admin *admin_new(const struct admin_ops *ops, void *ctx, struct error *error);

/* Binds and serves on threads of its own. Tells "http listener on <address:port>" as a diagnostic
 * line, port 0 having become a port. */
int admin_listen(struct admin *admin, const struct admin_params *params, struct error *error)
    __attribute__((warn_unused_result));

/* Ends the listeners; after it no op is called. NULL is fine. */
void admin_free(struct admin *admin);

/* The address that listener `index` is really bound to. */
const struct sockaddr *admin_address(const struct admin *admin, size_t index);

#endif
