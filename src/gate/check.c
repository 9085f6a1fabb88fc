/* SPDX-License-Identifier: Apache-2.0
 *
 * An attempt on its way from the question to the verdict. Each kind of question has a file of its own with its first
 * step; what they share is here: asking the stores, and the end.
 *
 *   password   stores -> seen lately? -> verify -> (stores afresh -> verify) -> admission -> verdict
 *   scram      stores -> keys;  then, when the client has proved to have them: stores -> admission -> verdict
 *   token      token stores -> stores, for the record of its user -> admission -> verdict
 *   external   certificate -> user -> stores -> admission -> verdict
 *
 * Admission (admit.c) is last on purpose: that somebody is disabled, or comes from the wrong network, is told to
 * nobody but the log, and takes as long as a wrong password.
 */
#include "gate/gate.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"
#include "credential/lookup.h"
#include "gate/gate_private.h"
#include "log/diag.h"

static void (*const begin[AUTH_QUESTION_KIND_COUNT])(struct gate_check *check) = {
    [AUTH_ASK_PASSWORD] = gate_ask_password, [AUTH_ASK_SCRAM_KEYS] = gate_ask_scram_keys,
    [AUTH_ASK_PROVED] = gate_ask_proved,     [AUTH_ASK_TOKEN] = gate_ask_token,
    [AUTH_ASK_EXTERNAL] = gate_ask_external,
};

static void free_check(struct gate_check *check)
{
    gate_rules_unref(&check->rules);
    credential_unref(&check->credential);
    credential_unref(&check->former);
    credential_unref(&check->token_user);
    json_decref(check->claims);
    free(check->user);
    free(check->store);
    free(check->label);
    free(check);
}

void gate_check_enter(struct gate_check *check) { check->depth++; }

void gate_check_leave(struct gate_check *check)
{
    if (--check->depth == 0 && check->is_over)
        free_check(check);
}

struct gate_check *gate_check(struct gate_rules *rules, struct loop *loop, const struct gate_facts *facts,
                              const struct auth_question *question, gate_done_fn *on_done, void *ctx)
{
    struct gate_check *check = mem_zalloc(sizeof *check);
    bool is_over;

    MUST(question->kind < AUTH_QUESTION_KIND_COUNT);
    check->rules = gate_rules_ref(rules);
    check->loop = loop;
    check->facts = facts;
    check->question = question;
    check->on_done = on_done;
    check->ctx = ctx;
    check->began_us = clock_mono_us();
    check->purges = gate_purged_count();
    check->store = mem_strdup("");
    check->label = mem_strdup("");
    gate_check_enter(check);
    begin[question->kind](check);
    is_over = check->is_over;
    gate_check_leave(check);
    return is_over ? NULL : check;
}

void gate_check_cancel(struct gate_check *check)
{
    if (!check)
        return;
    MUST(!check->is_over && check->depth == 0);
    lookup_cancel(check->lookup);
    gate_verify_cancel(check->verify);
    gate_scram_cancel(check->scram);
    free_check(check);
}

/* ---- asking the stores ---- */

void gate_check_set_user(struct gate_check *check, const char *user)
{
    char *copy = mem_strdup(user);

    free(check->user);
    check->user = copy;
}

static void take_found(struct gate_check *check, const struct lookup_result *result)
{
    struct credential *found = result->outcome == STORE_FOUND ? credential_ref(result->credential) : NULL;

    credential_unref(&check->credential);
    check->credential = found;
    if (result->store && *result->store) { /* none has a record: it is the token's store that knows the user */
        free(check->store);
        check->store = mem_strdup(result->store);
    }
    check->is_cached = result->is_cached;
    check->is_stale = result->is_stale;
}

static void on_result(void *ctx, const struct lookup_result *result)
{
    struct gate_check *check = ctx;

    check->lookup = NULL;
    gate_check_enter(check);
    take_found(check, result);
    if (result->outcome == STORE_FAILED) {
        diag_error(NULL, &result->error, "login: store %s", check->store);
        gate_check_end(check, AUTH_REASON_STORE_ERROR);
    } else {
        check->on_found(check, result);
    }
    gate_check_leave(check);
}

void gate_check_look_up(struct gate_check *check, bool with_password, bool afresh,
                        void (*on_found)(struct gate_check *check, const struct lookup_result *result))
{
    struct span password = with_password ? span_of(check->question->password) : SPAN_LIT("");
    struct lookup *lookup;

    check->on_found = on_found;
    gate_check_enter(check);
    lookup = lookup_user(check->rules->stores, check->loop, check->user, password, &check->facts->peer,
                         afresh ? LOOKUP_AFRESH : LOOKUP_CACHED, on_result, check);
    if (lookup)
        check->lookup = lookup;
    gate_check_leave(check);
}

void gate_check_look_up_token(struct gate_check *check,
                              void (*on_found)(struct gate_check *check, const struct lookup_result *result))
{
    struct lookup *lookup;

    check->on_found = on_found;
    gate_check_enter(check);
    lookup = lookup_token(check->rules->stores, check->loop, check->question->authcid, span_of(check->question->token),
                          &check->facts->peer, on_result, check);
    if (lookup)
        check->lookup = lookup;
    gate_check_leave(check);
}

/* ---- the end ---- */

/* Where a token or a certificate says who somebody is, a name that the client gives is whom it wants to act as. */
const char *gate_check_authzid(const struct gate_check *check)
{
    const struct auth_question *question = check->question;

    if (question->authzid && *question->authzid)
        return question->authzid;
    return question->authcid ? question->authcid : check->user;
}

enum auth_reason gate_check_admission(const struct gate_check *check, const struct credential_secret *secret)
{
    enum auth_reason reason = gate_admission(check->credential, secret, &check->facts->peer, check->user,
                                             gate_check_authzid(check), clock_wall_ms());

    return reason == AUTH_REASON_OK && check->facts->is_locked ? AUTH_REASON_LOCKED : reason;
}

/* ---- a token's user and its record ---- */

static struct credential_texts copy_of(const struct credential_texts *texts)
{
    struct credential_texts copy = {.texts = mem_zalloc((texts->count + 1) * sizeof *copy.texts)};

    while (copy.count < texts->count) {
        copy.texts[copy.count] = mem_strdup(texts->texts[copy.count]);
        copy.count++;
    }
    return copy;
}

/* Where both name some, the record's hold: it is the operator's word about this user. */
static struct credential_texts first_named(const struct credential_texts *record, const struct credential_texts *token)
{
    return copy_of(record->count ? record : token);
}

static bool is_needed(const struct credential_texts *record, const struct credential_texts *token)
{
    return !record->count && token->count;
}

/* Whom the session knows: the record, and what the token says where the record names nobody and nothing, so that a user
 * is not freed of what his issuer holds him to by having a record at all. A copy is without the secrets, which a token
 * opens none of, and without what was admission's to ask. Groups are not here: gate_info_of adds them up. */
static struct credential *credential_of(const struct gate_check *check)
{
    struct credential *record = check->credential, *copy;
    const struct credential *token = check->token_user;

    if (!record || !token ||
        (!is_needed(&record->senders, &token->senders) && !is_needed(&record->tenants, &token->tenants)))
        return credential_ref(record);
    copy = mem_zalloc(sizeof *copy);
    atomic_init(&copy->refs, 1);
    copy->name = mem_strdup(record->name);
    copy->groups = copy_of(&record->groups);
    copy->may_act_as = copy_of(&record->may_act_as);
    copy->senders = first_named(&record->senders, &token->senders);
    copy->tenants = first_named(&record->tenants, &token->tenants);
    copy->limits = json_incref(record->limits);
    return copy;
}

static struct gate_login *make_login(const struct gate_check *check)
{
    const char *name = check->credential ? check->credential->name : check->user;
    const char *authzid = gate_check_authzid(check);
    struct gate_login *login;

    login = gate_login_of(check->rules, name, strcmp(authzid, check->user) ? authzid : name);
    login->credential = credential_of(check);
    login->claims = json_incref(check->claims);
    login->is_by_gate = true;
    login->purges = check->purges;
    free(login->store);
    free(login->label);
    login->store = mem_strdup(check->store);
    login->label = mem_strdup(check->label);
    return login;
}

/* What the record says besides, where policies see it. */
static struct auth_info *with_record(struct auth_info *info, const struct credential *credential)
{
    json_t *more = json_object();
    struct auth_info *with;

    if (credential && credential->tenants.count)
        json_object_set_new(more, "tenant", json_string(credential->tenants.texts[0]));
    if (credential && credential->limits)
        json_object_set(more, "limits", credential->limits);
    with = json_object_size(more) ? auth_info_with(info, more, NULL) : NULL;
    json_decref(more);
    if (!with)
        return info;
    auth_info_unref(&info);
    return with;
}

struct auth_info *gate_info_of(const struct gate_login *login, const struct credential *token_user)
{
    const struct credential *sources[] = {login->credential, token_user};
    const char *groups[2 * CREDENTIAL_LIST_MOST];
    size_t count = 0;

    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; sources[i] && k < sources[i]->groups.count && (!i || sources[0] != sources[1]); k++)
            groups[count++] = sources[i]->groups.texts[k];
    return with_record(auth_info_of_member(login->authzid, login->authcid, groups, count), login->credential);
}

static void say(struct gate_check *check, struct gate_verdict *verdict)
{
    MUST(!check->is_over);
    check->is_over = true;
    verdict->store = check->store;
    verdict->user = check->credential ? check->credential->name : check->user;
    verdict->is_known = check->credential != NULL;
    verdict->is_cached = check->is_cached;
    verdict->took_us = clock_mono_us() - check->began_us;
    check->on_done(check->ctx, verdict);
}

void gate_check_end(struct gate_check *check, enum auth_reason reason)
{
    struct gate_verdict verdict = {.reason = reason};

    if (reason == AUTH_REASON_OK) {
        verdict.login = make_login(check);
        verdict.info = gate_info_of(verdict.login, check->token_user);
    }
    say(check, &verdict);
    gate_login_unref(&verdict.login);
    auth_info_unref(&verdict.info);
}

void gate_check_end_with_keys(struct gate_check *check, const struct scram_set *keys)
{
    struct gate_verdict verdict = {.reason = AUTH_REASON_OK, .keys = keys};

    say(check, &verdict);
}
