/* SPDX-License-Identifier: Apache-2.0
 *
 * What the mechanisms and the exchange share. A mechanism's `step` gets the client's octets
 * and leaves the next move in the exchange: a challenge, a question to the caller, the end.
 */
#ifndef GATEPOST_AUTH_AUTH_PRIVATE_H
#define GATEPOST_AUTH_AUTH_PRIVATE_H

#include "auth/exchange.h"
#include "auth/mechanism.h"

struct auth_mechanism {
    const char *name;
    bool needs_tls;
    bool client_first; /* without an initial response we send an empty challenge first */

    /* The client's octets, decoded. `response` is wiped by the caller after. For a mechanism
     * that is not client_first the first call has `response` NULL. */
    enum auth_step (*step)(struct auth_exchange *exchange, const struct span *response);
    /* The caller's verdict on the question of the last step. */
    enum auth_step (*answered)(struct auth_exchange *exchange, bool granted);
};

struct auth_exchange {
    const struct auth_mechanism *mechanism;
    unsigned stage; /* the mechanism's own count of steps */
    bool started;
    bool ended;
    enum auth_reason reason;
    struct auth_question question;
    char challenge[AUTH_CHALLENGE_BYTES]; /* base64, NUL-terminated */
};

enum auth_step auth_fail(struct auth_exchange *exchange, enum auth_reason reason);
enum auth_step auth_challenge(struct auth_exchange *exchange, struct span octets);

/* An identity as we take it: UTF-8 without NUL or other controls, not too long. */
bool auth_identity_is_sound(struct span text);

extern const struct auth_mechanism auth_sasl_plain;
extern const struct auth_mechanism auth_sasl_login;

#endif
