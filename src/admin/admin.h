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
#include "loop/loop.h"

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

/* How the house answers. Called on an admin thread, several at a time; none may block for longer
 * than a few seconds. NULL members: the route says 501. */
struct admin_ops {
    /* Adds members to the status object. */
    int (*describe_status)(void *ctx, json_t *status, struct error *error);
    /* One whole JSON value about at most `most` queues. */
    int (*describe_queues)(void *ctx, size_t most, struct buf *json_out, struct error *error);
    /* 0 while new mail is taken; otherwise why not. */
    int (*check_liveness)(void *ctx, struct error *error);
    int (*bump_config_epoch)(void *ctx, uint64_t *epoch_out, struct error *error);
};

struct admin;

/* Binds and serves. Tells "http listener on <address:port>" as a diagnostic line. `ops` stays
 * until admin_stop. */
struct admin *admin_start(const struct admin_params *params, const struct admin_ops *ops, void *ctx,
                          struct error *error);

/* Ends the threads; after it no op is called. NULL is fine. */
void admin_stop(struct admin *admin);

/* The address really bound: port 0 has become a port. */
const struct sockaddr *admin_address(const struct admin *admin);

/* ---- asking a thread that runs a loop ---- */

/* Runs `answer` on `loop`, which writes to `out`, and waits. ERROR_TEMP when that takes longer than
 * `timeout_ms`: the answer is then thrown away when it comes, so `ctx` must live as long as the
 * loop. Not to be called on a loop's own thread. */
typedef int admin_answer_fn(void *ctx, size_t most, struct buf *out);
int admin_ask(struct loop *loop, admin_answer_fn *answer, void *ctx, size_t most, uint64_t timeout_ms, struct buf *out,
              struct error *error) __attribute__((warn_unused_result));

#endif
