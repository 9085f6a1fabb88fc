/* SPDX-License-Identifier: Apache-2.0
 *
 * Is this password right? A record is judged here, by its secrets; a store that judges passwords itself has judged
 * already.
 *
 * A refusal by a record out of the cache is no verdict yet: the record may have changed, so it is asked for afresh (the
 * stores see to it that guessing does not reach them each time) and, if its secrets did change, the password is
 * verified again. A user whom nobody knows takes the same way with nothing in hand, so that it takes as long. And a
 * refusal by a record that is kept because its store is away is no verdict at all, though it counts as a guess.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"
#include "credential/lookup.h"
#include "gate/gate_private.h"

static void judge(struct gate_check *check);

static void label(struct gate_check *check, const struct credential_secret *secret)
{
    free(check->label);
    check->label = mem_strdup(secret->label);
}

/* ---- what is left to say after the verification ---- */

static bool has_same_secrets(const struct credential *a, const struct credential *b)
{
    if (a == b)
        return true;
    if (!a || !b || a->secret_count != b->secret_count)
        return false;
    for (size_t i = 0; i < a->secret_count; i++)
        if (strcmp(a->secrets[i].stored, b->secrets[i].stored))
            return false;
    return true;
}

static const struct credential_secret *matched(const struct gate_check *check)
{
    return check->verified == GATE_VERIFIED ? &check->credential->secrets[check->match] : NULL;
}

static enum auth_reason reason_of(const struct gate_check *check)
{
    switch (check->verified) {
    case GATE_VERIFIED:
        return gate_check_admission(check, matched(check));
    case GATE_IN_DOUBT: /* 454; but who is locked out is told 535, right or wrong */
        return check->facts->is_locked ? AUTH_REASON_BAD_PASSWORD : AUTH_REASON_UNVERIFIED;
    case GATE_UNUSABLE:
        return AUTH_REASON_STORE_ERROR;
    case GATE_TOO_BUSY:
        return AUTH_REASON_BUSY;
    case GATE_DIFFERS:
        break;
    }
    return check->credential ? AUTH_REASON_BAD_PASSWORD : AUTH_REASON_NO_USER;
}

static void remember(const struct gate_check *check, const struct credential_secret *secret)
{
    struct gate_memo memo;

    if (password_is_cheap(secret->stored))
        return;
    gate_memo_make(check->user, secret->stored, check->question->password, &memo);
    gate_remember(&memo, check->user, check->credential->name, check->rules->remember_ms);
    secret_wipe(&memo, sizeof memo);
}

static void conclude(struct gate_check *check)
{
    enum auth_reason reason = reason_of(check);

    if (matched(check))
        label(check, matched(check));
    if (reason == AUTH_REASON_OK)
        remember(check, matched(check));
    else if (check->is_stale && auth_reason_outcome(reason) == AUTH_OUTCOME_REFUSED)
        reason = AUTH_REASON_UNVERIFIED;
    gate_check_end(check, reason);
}

static void on_afresh(struct gate_check *check, const struct lookup_result *result)
{
    bool is_same = has_same_secrets(check->former, check->credential);

    credential_unref(&check->former);
    if (result->outcome == STORE_REFUSED)
        gate_check_end(check, AUTH_REASON_BAD_PASSWORD);
    else if (result->outcome == STORE_FOUND && result->kind == STORE_PASSWORDS)
        gate_check_end(check, gate_check_admission(check, NULL));
    else if (is_same)
        conclude(check);
    else
        judge(check);
}

static void ask_afresh(struct gate_check *check)
{
    check->was_asked_afresh = true;
    check->former = check->credential ? credential_ref(check->credential) : NULL;
    gate_check_look_up(check, true, true, on_afresh);
}

static void on_verified(void *ctx, enum gate_verified verified, size_t match)
{
    struct gate_check *check = ctx;

    check->verify = NULL;
    check->verified = verified;
    check->match = match;
    gate_check_enter(check);
    if (check->told != AUTH_REASON_OK && verified != GATE_TOO_BUSY)
        gate_check_end(check, check->told);
    else if (check->is_cached && !check->was_asked_afresh && verified != GATE_TOO_BUSY &&
             reason_of(check) != AUTH_REASON_OK)
        ask_afresh(check);
    else
        conclude(check);
    gate_check_leave(check);
}

/* ---- before it ---- */

static bool was_right_lately(const struct gate_check *check, const char *stored)
{
    struct gate_memo memo;
    bool was;

    gate_memo_make(check->user, stored, check->question->password, &memo);
    was = gate_remembers(&memo);
    secret_wipe(&memo, sizeof memo);
    return was;
}

/* Looking is work too, which has to be the same for everybody: for who has fewer secrets, or none. */
static void look_in_vain(const struct gate_check *check, size_t looked)
{
    size_t rounds;
    char *dummy = gate_cost_dummy(&check->rules->cost, check->user, &rounds);

    for (; (looked || !password_is_cheap(dummy)) && looked < rounds; looked++)
        MUST(!was_right_lately(check, dummy));
    secret_free(dummy);
}

/* The secret that this very password opened lately, if that would let the user in. */
static const struct credential_secret *seen_lately(const struct gate_check *check)
{
    size_t count = check->credential ? check->credential->secret_count : 0, looked = 0;

    if (!check->rules->remember_ms)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const struct credential_secret *secret = &check->credential->secrets[i];

        if (password_is_cheap(secret->stored))
            continue;
        looked++;
        if (was_right_lately(check, secret->stored) && gate_check_admission(check, secret) == AUTH_REASON_OK)
            return secret;
    }
    if (looked || !count)
        look_in_vain(check, looked);
    return NULL;
}

static void verify(struct gate_check *check)
{
    const struct credential *credential = check->credential;
    struct gate_verify_ask ask = {
        .user = check->user,
        .credential = credential,
        .peer = &check->facts->peer,
        .password = check->question->password,
        .rules = check->rules,
    };
    struct gate_verify *work;

    for (size_t i = 0; credential && i < credential->secret_count; i++)
        ask.ends_at[i] = gate_check_admission(check, &credential->secrets[i]) == AUTH_REASON_OK;
    gate_check_enter(check);
    work = gate_verify_start(check->loop, &ask, on_verified, check);
    if (work)
        check->verify = work;
    gate_check_leave(check);
}

static void judge(struct gate_check *check)
{
    const struct credential_secret *seen = seen_lately(check);

    if (seen) {
        label(check, seen);
        gate_check_end(check, AUTH_REASON_OK);
    } else {
        verify(check);
    }
}

/* The verdict of a store that judges itself. Where there are records as well, whoever is unknown costs a dummy
 * verification behind that store's answer; so whoever is refused does too. */
static void take_verdict(struct gate_check *check, enum auth_reason reason)
{
    check->told = reason;
    if (reason == AUTH_REASON_OK || !stores_have(check->rules->stores, STORE_RECORDS))
        gate_check_end(check, reason);
    else
        verify(check);
}

static void on_found(struct gate_check *check, const struct lookup_result *result)
{
    if (result->outcome == STORE_REFUSED)
        take_verdict(check, AUTH_REASON_BAD_PASSWORD);
    else if (result->outcome == STORE_FOUND && result->kind == STORE_PASSWORDS)
        take_verdict(check, gate_check_admission(check, NULL));
    else if (!check->credential && !stores_have(check->rules->stores, STORE_RECORDS))
        gate_check_end(check, AUTH_REASON_NO_USER);
    else
        judge(check);
}

void gate_ask_password(struct gate_check *check)
{
    gate_check_set_user(check, check->question->authcid);
    gate_check_look_up(check, true, false, on_found);
}
