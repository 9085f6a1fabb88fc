/* SPDX-License-Identifier: Apache-2.0
 *
 * Is this token good, and whose is it? The token names its user; a name that the client gives besides is whom it
 * wants to act as. A record of that user, where a store has one, has its say about networks, times and being
 * disabled: withdrawing a person must not wait for a token to expire ([token] records says otherwise).
 */
#include <stdlib.h>
#include <string.h>

#include "credential/lookup.h"
#include "gate/gate_private.h"
#include "log/diag.h"

/* The token is good, but the store is away and may think otherwise of its user by now: as with passwords, an old record
 * lets in, and turns nobody away. */
static enum auth_reason admission(const struct gate_check *check)
{
    enum auth_reason reason = gate_check_admission(check, NULL);

    return check->is_stale && auth_reason_outcome(reason) == AUTH_OUTCOME_REFUSED ? AUTH_REASON_UNVERIFIED : reason;
}

static void decide(struct gate_check *check, const struct lookup_result *result)
{
    (void)result;
    if (!check->credential && check->rules->token_records == GATE_TOKEN_NEED_RECORDS) {
        gate_check_end(check, AUTH_REASON_NO_USER);
        return;
    }
    if (!check->credential)
        check->credential = credential_ref(check->token_user);
    gate_check_end(check, admission(check));
}

static bool has_records(const struct gate_check *check)
{
    return check->rules->token_records != GATE_TOKEN_IGNORE_RECORDS && stores_have(check->rules->stores, STORE_RECORDS);
}

static void go_on(struct gate_check *check, const struct lookup_result *result)
{
    check->token_user = credential_ref(result->credential);
    check->claims = json_incref(json_object_get(result->fields, "claims"));
    gate_check_set_user(check, result->credential->name);
    if (has_records(check)) {
        gate_check_look_up(check, false, false, decide);
        return;
    }
    decide(check, result);
}

/* A token that was good once is no guess at one: the audit trail tells them apart. What else is wrong with it, the
 * operator who sets up a store must be able to see. */
static enum auth_reason refusal(const struct lookup_result *result)
{
    const char *reason = json_string_value(json_object_get(result->fields, "reason"));

    if (result->outcome == STORE_REFUSED)
        diag(DIAG_INFO, NULL, "login: store %s: %s", result->store, result->error.sentence);
    return reason && strcmp(reason, "expired") == 0 ? AUTH_REASON_EXPIRED : AUTH_REASON_BAD_TOKEN;
}

static void on_found(struct gate_check *check, const struct lookup_result *result)
{
    if (result->outcome == STORE_FOUND && result->credential)
        go_on(check, result);
    else
        gate_check_end(check, refusal(result));
}

void gate_ask_token(struct gate_check *check) { gate_check_look_up_token(check, on_found); }
