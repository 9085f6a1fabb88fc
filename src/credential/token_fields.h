/* SPDX-License-Identifier: Apache-2.0
 *
 * What the stores that judge tokens have in common: settings about claims, and how a verdict is told.
 */
#ifndef GATEPOST_CREDENTIAL_TOKEN_FIELDS_H
#define GATEPOST_CREDENTIAL_TOKEN_FIELDS_H

#include "credential/store.h"
#include "token/claims.h"

/* What a struct claims_rules borrows, kept. */
struct token_fields {
    struct claims_rules rules;
    json_t *audiences, *scopes;
    char *issuer, *user_claim, *groups_claim, *tenant_claim, *senders_claim;
};

/* Reads issuer, audience, scopes, leeway and user_claim, groups_claim, tenant_claim, senders_claim. `first` and
 * `second` (may be NULL) name the user where there is no user_claim. */
void token_fields_read(struct token_fields *fields, struct settings *settings, const char *first, const char *second);
void token_fields_done(struct token_fields *fields);

/* Claims that are proved to be the issuer's: whether they will do now. TOKEN_GOOD with a record's fields, a new
 * reference. */
enum token_verdict token_fields_judge(const struct token_fields *fields, json_t *claims, json_t **fields_out);

/* Ends the ask: as NOT_FOUND where the token may be one that another store knows (another issuer's, not active), else
 * as REFUSED with {"reason": "expired"}; either with a sentence that says why. */
void token_turn_away(struct store_ask *ask, enum token_verdict verdict);

#endif
