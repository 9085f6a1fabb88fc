/* SPDX-License-Identifier: Apache-2.0
 *
 * What a token says of itself and of its owner (RFC 7519, section 4; RFC 9068), held against what
 * a store asks for, and made into the fields of a record. The same for the claims of a verified
 * JWT and for the answer of an introspection server (RFC 7662, section 2.2), which uses the same
 * names.
 */
#ifndef GATEPOST_TOKEN_CLAIMS_H
#define GATEPOST_TOKEN_CLAIMS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "token/verdict.h"

#define CLAIMS_USER_CLAIMS_MOST 2
#define CLAIMS_USER_LIMIT 1024 /* octets of a user's name */
#define CLAIMS_LIST_MOST 1024  /* groups, tenants, senders */

/* Borrows all it points to. A name of a claim is looked up as it is, and when there is none of that name, with its
 * dots as steps into objects ("realm_access.roles"). */
struct claims_rules {
    const char *issuer;      /* NULL: any */
    const json_t *audiences; /* array of strings; one of them must be in `aud`. Empty or NULL: any */
    const json_t *scopes;    /* array of strings; all must be in `scope` or `scp`. Empty or NULL: none needed */
    uint64_t leeway_ms;      /* how far apart the clocks may be */
    bool needs_expiry;       /* a token without `exp` is refused */

    const char *user_claims[CLAIMS_USER_CLAIMS_MOST]; /* the first one there names the user; NULL ends them */
    const char *groups_claim;                         /* NULL: no groups; where a token has none, the user has none */
    const char *tenant_claim, *senders_claim;         /* NULL: not looked at; a token without them is refused, since
                                                         a record without them would allow more, not less */
};

/* TOKEN_GOOD, or what is wrong first. `now_ms` is wall time. A token with `cnf` (RFC 7800) is good only with a proof of
 * the key that it is bound to (RFC 8705, RFC 9449), which nobody brings over SASL. */
enum token_verdict claims_check(const struct claims_rules *rules, const json_t *claims, int64_t now_ms);

/* TOKEN_GOOD with the fields of a record, a new reference: {"name", "groups", "tenants", "senders", "claims"}; else
 * TOKEN_USER or TOKEN_CLAIM. */
enum token_verdict claims_record(const struct claims_rules *rules, json_t *claims, json_t **fields_out);

/* Milliseconds since 1970 until which it is good; INT64_MAX when it does not say (soundly). */
int64_t claims_expiry_ms(const json_t *claims);

#endif
