/* SPDX-License-Identifier: Apache-2.0
 *
 * SCRAM asks twice: for the keys when the client has named itself, and for the verdict when it has proved to have
 * them. In between nothing is kept here, and the record may change: keys have a mark by which the secret that they were
 * given for is known again, and who proved to have a secret that is gone is refused.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "credential/lookup.h"
#include "gate/gate_private.h"

static void on_keys(void *ctx, const struct scram_set *keys)
{
    struct gate_check *check = ctx;

    check->scram = NULL;
    gate_check_enter(check);
    if (keys)
        gate_check_end_with_keys(check, keys);
    else
        gate_check_end(check, AUTH_REASON_BUSY);
    gate_check_leave(check);
}

static void give_keys(struct gate_check *check, const struct lookup_result *result)
{
    struct gate_scram *scram;

    (void)result;
    gate_check_enter(check);
    scram = gate_scram_start(check->loop, check->rules, check->user, check->credential, check->question->scram_hash,
                             &check->facts->peer, on_keys, check);
    if (scram)
        check->scram = scram;
    gate_check_leave(check);
}

void gate_ask_scram_keys(struct gate_check *check)
{
    gate_check_set_user(check, check->question->authcid);
    gate_check_look_up(check, false, false, give_keys);
}

static const struct credential_secret *marked(const struct gate_check *check)
{
    return gate_scram_marked(check->credential, &check->facts->peer, clock_wall_ms(), check->question->keys);
}

static bool has_secrets(const struct gate_check *check)
{
    const struct credential_secret *secrets[SCRAM_SET_MOST];

    return gate_scram_secrets(check->credential, &check->facts->peer, check->question->scram_hash, clock_wall_ms(),
                              secrets) > 0;
}

/* `has_changed`: the keys that the client was challenged with are not those that it would be now. A wrong proof says
 * nothing about the password then, and with the next try it meets the new ones. */
static enum auth_reason refusal(const struct gate_check *check, bool has_changed)
{
    if (!check->credential)
        return AUTH_REASON_NO_USER;
    if (check->is_stale || (!check->question->is_proved && has_changed))
        return AUTH_REASON_UNVERIFIED;
    return AUTH_REASON_BAD_PROOF;
}

/* Everything is looked at for everybody, known or not, lest the time tells. */
static void decide(struct gate_check *check, const struct lookup_result *result)
{
    const struct credential_secret *secret = marked(check);
    bool has_changed = has_secrets(check) && !secret;
    enum auth_reason reason;

    (void)result;
    if (!check->question->is_proved || !secret) {
        gate_check_end(check, refusal(check, has_changed));
        return;
    }
    free(check->label);
    check->label = mem_strdup(secret->label);
    reason = gate_check_admission(check, secret);
    if (check->is_stale && auth_reason_outcome(reason) == AUTH_OUTCOME_REFUSED)
        reason = AUTH_REASON_UNVERIFIED;
    gate_check_end(check, reason);
}

/* After a wrong proof the record is asked for afresh, for everybody alike: the keys may be those of a former
 * password. */
void gate_ask_proved(struct gate_check *check)
{
    gate_check_set_user(check, check->question->authcid);
    gate_check_look_up(check, false, !check->question->is_proved || check->facts->is_locked, decide);
}
