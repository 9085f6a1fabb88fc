/* SPDX-License-Identifier: Apache-2.0
 *
 * The office: what an operator asks and orders about those who send just now. Live sessions are listed and closed; a
 * user's mail that has not left is held and released. Questions and answers are JSON objects, as they come over HTTP.
 */
#ifndef GATEPOST_OFFICE_H
#define GATEPOST_OFFICE_H

#include <jansson.h>
#include <stdbool.h>

#include "relay.h"

/* sessions, close, held, hold, release */
bool office_knows(const char *verb);

/* From any thread; may wait a moment for the queue's. A new reference; NULL with an error, of kind PERM when the
 * question is at fault. */
json_t *office_ask(struct relay *relay, const char *verb, const json_t *question, struct error *error);

#endif
