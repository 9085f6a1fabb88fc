/* SPDX-License-Identifier: Apache-2.0
 *
 * The desk: where an operator asks and orders. About logins (what is remembered about them, why somebody would get in),
 * about those who send just now (live sessions) and about their mail that has not left. Questions and answers are JSON
 * objects, as they come over HTTP (docs/security/operators.md has them). It has a thread of its own, since an answer
 * may have to wait for stores, hashes and Redis, and mail must not wait for that.
 */
#ifndef GATEPOST_DESK_DESK_H
#define GATEPOST_DESK_DESK_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

struct desk;
struct receive_params;

/* What the house has to do for it; from the thread of who asks or the desk's. */
struct desk_ops {
    /* The parameters of the i-th listener, and where it listens; NULL past the last. */
    struct receive_params *(*listener_at)(void *ctx, size_t i, const struct sockaddr **bound_out);
    /* The list of those whose mail is held has become shorter: how many messages go on. */
    int (*let_go)(void *ctx, uint64_t *messages_out, struct error *error);
};

/* `ops` NULL: there is no house, and nothing but the gate to ask. */
struct desk *desk_start(const struct desk_ops *ops, void *ctx, struct error *error);
/* Waits for what is under way, which has time limits of its own. Nobody may ask any more. NULL is fine. */
void desk_stop(struct desk *desk);

/* From any thread but the desk's; waits. `verb`: show, unlock, block, purge, test, budget; sessions, close, held, hold,
 * release. The question is not kept. A new reference; NULL with an error, of kind PERM when the question is at fault.
 */
json_t *desk_ask(struct desk *desk, const char *verb, const json_t *question, struct error *error);

#endif
