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

/* What has to be verified. A mechanism that needs another kind of fact adds its kind here. */
enum auth_question_kind {
    AUTH_ASK_PASSWORD,   /* is `password` right for `authcid`? */
    AUTH_ASK_SCRAM_KEYS, /* which keys has `authcid` (of `scram_hash`)? Whoever does not exist gets dummy ones */
    AUTH_ASK_PROVED,     /* SCRAM's end: the proof was right, or not (`is_proved`); may this user come in? */
    AUTH_ASK_TOKEN,      /* is `token` good, and whose is it? authcid is NULL until the answer names it */
    AUTH_ASK_EXTERNAL,   /* whose is the verified client certificate? authcid as for tokens */
    AUTH_QUESTION_KIND_COUNT,
};

/* Whatever the case it is written in; NULL when we have none of that name. */
const struct auth_mechanism *auth_mechanism_find(struct span name);

/* In the order in which they are offered; NULL past the last. There are AUTH_MECHANISMS_MOST at most, so that a set
 * of them fits the bits of an integer. */
#define AUTH_MECHANISMS_MOST 32
const struct auth_mechanism *auth_mechanism_at(size_t index);
size_t auth_mechanism_index(const struct auth_mechanism *mechanism);

const char *auth_mechanism_name(const struct auth_mechanism *mechanism); /* upper case */

/* The first question it asks. */
enum auth_question_kind auth_mechanism_asks(const struct auth_mechanism *mechanism);

/* True when it shows a secret to whoever listens, or rests on what TLS knows: offered and taken under TLS only. */
bool auth_mechanism_needs_tls(const struct auth_mechanism *mechanism);

/* True for those too weak to be offered unless the operator names them. */
bool auth_mechanism_is_legacy(const struct auth_mechanism *mechanism);

/* True for the -PLUS of a mechanism: it ties the login to the connection, and needs a channel binding. */
bool auth_mechanism_is_bound(const struct auth_mechanism *mechanism);
/* The -PLUS of this one; NULL when there is none. */
const struct auth_mechanism *auth_mechanism_bound_twin(const struct auth_mechanism *mechanism);

#endif
