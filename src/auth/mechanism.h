/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of SASL mechanisms (RFC 4422). Each mechanism is one file and one row here: a
 * state machine over decoded octets that knows neither base64 nor SMTP, and that asks the
 * caller, by way of struct auth_exchange, for what only a store or the policy can know.
 */
#ifndef GATEPOST_AUTH_MECHANISM_H
#define GATEPOST_AUTH_MECHANISM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

struct auth_mechanism;

/* Whatever the case it is written in; NULL when we have none of that name. */
const struct auth_mechanism *auth_mechanism_find(struct span name);

/* In the order in which they are offered; NULL past the last. */
const struct auth_mechanism *auth_mechanism_at(size_t index);

const char *auth_mechanism_name(const struct auth_mechanism *mechanism); /* upper case */

/* True when it would show a password to whoever listens: offered and taken under TLS only. */
bool auth_mechanism_needs_tls(const struct auth_mechanism *mechanism);

#endif
