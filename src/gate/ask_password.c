/* SPDX-License-Identifier: Apache-2.0
 *
 * Is this password right? A record is judged here, by its secrets; a store that judges passwords itself has judged
 * already.
 *
 * A wrong password against a record out of the cache is no verdict yet: the record may have changed, so it is asked
 * for afresh (the stores see to it that guessing does not reach them each time) and, if it did change, the password is
 * verified again. A user whom nobody knows takes the same way with nothing in hand, so that it takes as long. And a
 * wrong password against a record that is kept because its store is away is no verdict at all.
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

static bool is_same(const struct credential *a, const struct credential *b)
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

static void refuse(struct gate_check *check)
{
    if (check->is_stale)
        gate_check_end(check, AUTH_REASON_STORE_ERROR);
    else
        gate_check_end(check, check->credential ? AUTH_REASON_BAD_PASSWORD : AUTH_REASON_NO_USER);
}

static void on_afresh(struct gate_check *check, const struct lookup_result *result)
{
    bool is_same_record = is_same(check->former, check->credential);

    credential_unref(&check->former);
    if (result->outcome == STORE_REFUSED)
        gate_check_end(check, AUTH_REASON_BAD_PASSWORD);
    else if (result->outcome == STORE_FOUND && result->kind == STORE_PASSWORDS)
        gate_check_end(check, gate_check_admission(check, NULL));
    else if (is_same_record)
        refuse(check);
    else
        judge(check);
}

static void ask_afresh(struct gate_check *check)
{
    check->was_asked_afresh = true;
    check->former = check->credential ? credential_ref(check->credential) : NULL;
    gate_check_look_up(check, true, true, on_afresh);
}

static void on_no_match(struct gate_check *check)
{
    if (check->is_cached && !check->was_asked_afresh)
        ask_afresh(check);
    else
        refuse(check);
}

static void on_match(struct gate_check *check, const struct credential_secret *secret)
{
    enum auth_reason reason = gate_check_admission(check, secret);
    struct gate_memo memo;

    label(check, secret);
    if (reason == AUTH_REASON_OK && !password_is_cheap(secret->stored)) {
        gate_memo_make(check->user, secret->stored, check->question->password, &memo);
        gate_remember(&memo, check->user, check->rules->remember_ms);
        secret_wipe(&memo, sizeof memo);
    }
    gate_check_end(check, reason);
}

static void on_verified(void *ctx, enum gate_verified verified, size_t secret)
{
    struct gate_check *check = ctx;

    check->verify = NULL;
    gate_check_enter(check);
    if (verified == GATE_TOO_BUSY)
        gate_check_end(check, AUTH_REASON_BUSY);
    else if (check->is_refused)
        gate_check_end(check, AUTH_REASON_BAD_PASSWORD);
    else if (verified == GATE_VERIFIED)
        on_match(check, &check->credential->secrets[secret]);
    else if (verified == GATE_UNUSABLE)
        gate_check_end(check, AUTH_REASON_STORE_ERROR);
    else
        on_no_match(check);
    gate_check_leave(check);
}

/* ---- before it ---- */

/* The secret that this very password opened lately, if that would let the user in. */
static const struct credential_secret *seen_lately(const struct gate_check *check)
{
    const struct credential *credential = check->credential;
    const struct credential_secret *found = NULL;

    for (size_t i = 0; credential && check->rules->remember_ms && i < credential->secret_count && !found; i++) {
        const struct credential_secret *secret = &credential->secrets[i];
        struct gate_memo memo;

        if (gate_check_admission(check, secret) != AUTH_REASON_OK)
            continue;
        gate_memo_make(check->user, secret->stored, check->question->password, &memo);
        if (gate_remembers(&memo))
            found = secret;
        secret_wipe(&memo, sizeof memo);
    }
    return found;
}

static void verify(struct gate_check *check)
{
    const struct credential *credential = check->credential;
    struct gate_verify_ask ask = {
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

/* Refused by a store that judges itself. Where there are records as well, whoever is unknown costs a dummy
 * verification behind that store's answer; so this does too. */
static void refuse_as_told(struct gate_check *check)
{
    check->is_refused = true;
    if (stores_have(check->rules->stores, STORE_RECORDS))
        verify(check);
    else
        gate_check_end(check, AUTH_REASON_BAD_PASSWORD);
}

static void on_found(struct gate_check *check, const struct lookup_result *result)
{
    if (result->outcome == STORE_REFUSED)
        refuse_as_told(check);
    else if (result->outcome == STORE_FOUND && result->kind == STORE_PASSWORDS)
        gate_check_end(check, gate_check_admission(check, NULL));
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
