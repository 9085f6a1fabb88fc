/* SPDX-License-Identifier: Apache-2.0
 *
 * When to try again: the retry interval, doubled after each attempt, capped, and spread a
 * little so that what failed together does not come back together. Pure.
 */
#ifndef GATEPOST_QUEUE_BACKOFF_H
#define GATEPOST_QUEUE_BACKOFF_H

#include "route/route.h"

/* `attempts` made so far, at least 1. `dice` is 0 to BACKOFF_DICE - 1. */
#define BACKOFF_DICE 1001
uint64_t backoff_delay_ms(const struct route_queue_config *config, unsigned attempts, uint64_t dice);

/* True when a message made at `created_ms` has had its time at `at_ms`. */
bool backoff_is_expired(const struct route_queue_config *config, int64_t created_ms, int64_t at_ms);

#endif
