/* SPDX-License-Identifier: Apache-2.0
 *
 * The sentence a message lives by: a client's mail is received, made safe by the spool,
 * given a turn by the queue, and delivered onward. The rooms on that road never call each
 * other; relay.c hands the message from one to the next.
 */
#ifndef GATEPOST_RELAY_H
#define GATEPOST_RELAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "policy/policy.h"
#include "setup.h"

struct relay;

/* Opens the spool, starts the queue thread and the workers, brings back what was spooled, and
 * then listens. `setup` is what init asked for; it must outlive the relay. */
struct relay *relay_start(struct policy *policy, const struct setup *setup, struct error *error);

/* No new mail: listeners close, sessions end at their next safe point, connections that
 * deliver finish what they have. Asynchronous; see relay_is_quiet. */
void relay_drain(struct relay *relay);
/* True once nothing is in flight: no session, no connection, nothing on its way to disk. */
bool relay_is_quiet(const struct relay *relay);

/* Cuts what is left, ends the threads, syncs and closes the spool. What was accepted and not
 * delivered is in the spool. NULL is fine. */
void relay_stop(struct relay *relay);

/* ---- for the admin side: from its own thread; may wait a moment for the queue thread ---- */

int relay_describe_queues(struct relay *relay, size_t most, struct buf *json_out) __attribute__((warn_unused_result));
/* Mail of those who are no longer held (queue/held.h) goes on: how many messages had waited. */
int relay_let_go(struct relay *relay, uint64_t *messages_out, struct error *error) __attribute__((warn_unused_result));
/* False while mail would be refused (spool below a floor, logs full, stopping). */
bool relay_accepts(const struct relay *relay);

#endif
