/* SPDX-License-Identifier: Apache-2.0
 *
 * SCRAM asks twice: for the keys when the client has named itself, and for the verdict when it has proved to have
 * them. In between nothing is kept here; a record that was withdrawn meanwhile is refused.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "credential/lookup.h"
#include "gate/gate_private.h"

static const struct credential_secret *secret_of(const struct gate_check *check)
{
    return gate_scram_secret(check->credential, &check->facts->peer, check->question->scram_hash, clock_wall_ms());
}

static void on_keys(void *ctx, const struct scram_keys *keys)
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
    scram = gate_scram_start(check->loop, check->rules, check->user, secret_of(check), check->question->scram_hash,
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

static void decide(struct gate_check *check, const struct lookup_result *result)
{
    const struct credential_secret *secret = secret_of(check);

    (void)result;
    if (!check->credential) {
        gate_check_end(check, AUTH_REASON_NO_USER);
    } else if (!check->question->is_proved || !secret) {
        gate_check_end(check, check->is_stale ? AUTH_REASON_STORE_ERROR : AUTH_REASON_BAD_PROOF);
    } else {
        free(check->label);
        check->label = mem_strdup(secret->label);
        gate_check_end(check, gate_check_admission(check, secret));
    }
}

/* After a wrong proof the record is asked for afresh, for everybody alike: the keys may be those of a former
 * password, and the client's next try shall meet the new ones. */
void gate_ask_proved(struct gate_check *check)
{
    gate_check_set_user(check, check->question->authcid);
    gate_check_look_up(check, false, !check->question->is_proved || check->facts->is_locked, decide);
}
