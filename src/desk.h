/* SPDX-License-Identifier: Apache-2.0
 *
 * The desk: where an operator asks about logins, and changes what is remembered about them. Questions and answers are
 * JSON objects, as they come over HTTP (docs/security/operators.md has them). It has a thread of its own, since
 * an answer may have to wait for stores, hashes and Redis, and mail must not wait for that.
 */
#ifndef GATEPOST_DESK_H
#define GATEPOST_DESK_H

#include <jansson.h>

#include "base/error.h"

struct desk;

struct desk *desk_start(struct error *error);
/* Waits for what is under way, which has time limits of its own. Nobody may ask any more. NULL is fine. */
void desk_stop(struct desk *desk);

/* From any thread but the desk's; waits. `verb`: show, unlock, block, purge, test, budget. The question is not kept. A
 * new reference; NULL with an error, of kind PERM when the question is at fault. */
json_t *desk_ask(struct desk *desk, const char *verb, const json_t *question, struct error *error);

#endif
