/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose is this client certificate? TLS has verified it; here it becomes a user's name, and the user is looked up
 * unless the operator takes the certificate's word for it (users = "certificate").
 */
#include "credential/lookup.h"
#include "gate/gate_private.h"

/* As with tokens (ask_token.c): an old record lets in, and turns nobody away. */
static enum auth_reason admission(const struct gate_check *check)
{
    enum auth_reason reason = gate_check_admission(check, NULL);

    return check->is_stale && auth_reason_outcome(reason) == AUTH_OUTCOME_REFUSED ? AUTH_REASON_UNVERIFIED : reason;
}

static void decide(struct gate_check *check, const struct lookup_result *result)
{
    (void)result;
    if (!check->credential && check->rules->external.needs_record)
        gate_check_end(check, AUTH_REASON_NO_USER);
    else
        gate_check_end(check, admission(check));
}

void gate_ask_external(struct gate_check *check)
{
    const struct gate_external *external = &check->rules->external;
    const char *user =
        external->is_on ? gate_external_user(external, check->question->certificate, check->question->authzid) : NULL;

    if (!user) {
        gate_check_end(check, AUTH_REASON_NO_USER);
        return;
    }
    gate_check_set_user(check, user);
    if (stores_have(check->rules->stores, STORE_RECORDS))
        gate_check_look_up(check, false, false, decide);
    else
        decide(check, NULL);
}
