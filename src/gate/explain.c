/* SPDX-License-Identifier: Apache-2.0
 *
 * See explain.h. The way: mechanism -> the secret, if one was given, by gate_check as for a session -> the record,
 * whatever came of that -> what counts against a login that is right -> the word.
 */
#include "gate/explain.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "credential/lookup.h"
#include "gate/explain_private.h"

#define LINE_BYTES 4096

/* ---- what is told ---- */

static const char *result_name(enum explain_result result)
{
    static const char *const names[] = {"passes", "refuses", "fails", "note"};

    return names[result];
}

/* What a store says need not be UTF-8, and what is long is cut. */
static json_t *text_or_mark(const char *text)
{
    json_t *value = json_string(text);

    return value ? value : json_string("(not UTF-8)");
}

json_t *explain_step(struct explaining *explaining, const char *rule, enum explain_result result, const char *format,
                     ...)
{
    json_t *step;
    char line[LINE_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    step = json_pack("{s:s, s:s, s:o}", "rule", rule, "result", result_name(result), "text", text_or_mark(line));
    json_array_append_new(explaining->steps, step);
    return step;
}

static const char *decision_of(enum auth_reason reason)
{
    switch (auth_reason_outcome(reason)) {
    case AUTH_OUTCOME_OK:
        return "let_in";
    case AUTH_OUTCOME_REFUSED:
        return "refused";
    case AUTH_OUTCOME_ERROR:
    case AUTH_OUTCOME_CANCELLED:
        break;
    }
    return "no_verdict";
}

static const char *secret_word(const struct explaining *explaining)
{
    if (explaining->is_secret_right)
        return "right";
    if (explaining->is_secret_wrong)
        return "wrong";
    return explaining->is_secret_given ? "not_judged" : "not_given";
}

static void free_explaining(struct explaining *explaining)
{
    gate_rules_unref(&explaining->rules);
    credential_unref(&explaining->credential);
    gate_login_unref(&explaining->login);
    auth_info_unref(&explaining->info);
    secret_free(explaining->question.password);
    secret_free(explaining->question.token);
    free(explaining->question.authcid);
    free(explaining->question.authzid);
    free(explaining->listener);
    free(explaining->authzid);
    free(explaining->mail_from);
    free(explaining->user);
    free(explaining->store);
    free(explaining->label);
    free(explaining);
}

static void conclude(struct explaining *explaining)
{
    json_t *told = json_object();

    if (explaining->reason == AUTH_REASON_OK && !explaining->is_offered)
        explaining->reason = AUTH_REASON_NO_HANDLER;
    json_object_set_new(told, "decision", json_string(decision_of(explaining->reason)));
    json_object_set_new(told, "reason", json_string(auth_reason_name(explaining->reason)));
    json_object_set_new(told, "secret", json_string(secret_word(explaining)));
    json_object_set_new(told, "user", explaining->user ? text_or_mark(explaining->user) : json_null());
    json_object_set_new(told, "store", text_or_mark(explaining->store));
    json_object_set_new(told, "label", text_or_mark(explaining->label));
    json_object_set_new(told, "rules", explaining->steps);
    explaining->on_done(explaining->ctx, told);
    free_explaining(explaining);
}

static void rename_to(char **name, const char *to)
{
    char *copy = mem_strdup(to);

    free(*name);
    *name = copy;
}

/* ---- the record ---- */

static void tell_store(struct explaining *explaining, const struct lookup_result *result)
{
    const char *whence = result->is_stale ? ", as it was before the store failed" : result->is_cached ? ", cached" : "";

    if (result->outcome == STORE_FAILED)
        explain_step(explaining, "store", EXPLAIN_FAILS, "%s: %s", result->store, result->error.sentence);
    else if (explaining->credential)
        explain_step(explaining, "store", EXPLAIN_PASSES, "%s has the record of %s%s", result->store,
                     explaining->credential->name, whence);
    else if (stores_have(explaining->rules->stores, STORE_PASSWORDS))
        explain_step(explaining, "store", EXPLAIN_NOTE,
                     "no store has a record of %s; those that judge passwords themselves are asked with one only",
                     explaining->user);
    else
        explain_step(explaining, "store", EXPLAIN_REFUSES, "no store knows %s%s", explaining->user, whence);
}

static void assume_login(struct explaining *explaining)
{
    const char *name = explaining->user;

    explaining->reason = explain_admission(explaining);
    explaining->login = gate_login_of(explaining->rules, name, explaining->authzid ? explaining->authzid : name);
    explaining->login->credential = credential_ref(explaining->credential);
    explaining->login->is_by_gate = true;
    explaining->info = gate_info_of(explaining->login, NULL);
}

/* Nobody gave a secret, so it is taken for right wherever one could be. */
static void assume(struct explaining *explaining, const struct lookup_result *result)
{
    if (result->outcome == STORE_FAILED)
        explaining->reason = AUTH_REASON_STORE_ERROR;
    else if (explaining->credential)
        assume_login(explaining);
    else if (!stores_have(explaining->rules->stores, STORE_PASSWORDS) &&
             auth_mechanism_asks(explaining->mechanism) != AUTH_ASK_TOKEN)
        explaining->reason = AUTH_REASON_NO_USER;
}

static void on_record(void *ctx, const struct lookup_result *result)
{
    struct explaining *explaining = ctx;

    if (result->outcome == STORE_FOUND && result->credential) {
        explaining->credential = credential_ref(result->credential);
        rename_to(&explaining->user, result->credential->name);
    }
    if (!*explaining->store)
        rename_to(&explaining->store, result->store ? result->store : "");
    tell_store(explaining, result);
    if (!explaining->is_secret_given)
        assume(explaining, result);
    if (explaining->credential)
        explain_record(explaining);
    explain_rules(explaining, conclude);
}

static void look_up(struct explaining *explaining)
{
    bool has_records = stores_have(explaining->rules->stores, STORE_RECORDS) ||
                       stores_have(explaining->rules->stores, STORE_PASSWORDS);

    if (explaining->user && has_records)
        lookup_user(explaining->rules->stores, explaining->loop, explaining->user, SPAN_LIT(""),
                    &explaining->facts.peer, LOOKUP_CACHED, on_record, explaining);
    else
        explain_rules(explaining, conclude);
}

/* ---- the secret ---- */

static void on_verdict(void *ctx, const struct gate_verdict *verdict)
{
    struct explaining *explaining = ctx;
    enum explain_result result = EXPLAIN_REFUSES;

    explaining->reason = verdict->reason;
    explaining->is_secret_right = verdict->reason == AUTH_REASON_OK;
    explaining->is_secret_wrong = verdict->reason == AUTH_REASON_BAD_PASSWORD ||
                                  verdict->reason == AUTH_REASON_BAD_TOKEN || verdict->reason == AUTH_REASON_NO_USER;
    rename_to(&explaining->store, verdict->store);
    if (verdict->user)
        rename_to(&explaining->user, verdict->user);
    if (verdict->reason == AUTH_REASON_OK) {
        result = EXPLAIN_PASSES;
        explaining->info = auth_info_ref(verdict->info);
        explaining->login = gate_login_ref(verdict->login);
        rename_to(&explaining->label, verdict->login->label);
    } else if (auth_reason_outcome(verdict->reason) == AUTH_OUTCOME_ERROR) {
        result = EXPLAIN_FAILS;
    }
    explain_step(explaining, "secret", result, "%s%s%s%s%s", auth_reason_name(verdict->reason),
                 *explaining->store ? ", says " : "", explaining->store, *explaining->label ? ", by the secret " : "",
                 explaining->label);
    look_up(explaining);
}

static void ask_gate(struct explaining *explaining, const char *secret)
{
    struct auth_question *question = &explaining->question;

    if (auth_mechanism_asks(explaining->mechanism) == AUTH_ASK_TOKEN) {
        question->kind = AUTH_ASK_TOKEN;
        question->token = mem_strdup(secret);
    } else { /* SCRAM's proof stands for the password */
        question->kind = AUTH_ASK_PASSWORD;
        question->password = mem_strdup(secret);
    }
    gate_check(explaining->rules, explaining->loop, &explaining->facts, question, on_verdict, explaining);
}

/* ---- the beginning ---- */

static bool can_answer(const struct gate_rules *rules, const struct auth_mechanism *mechanism, bool has_secret)
{
    enum auth_question_kind kind = auth_mechanism_asks(mechanism);

    return gate_rules_answer(rules, kind == AUTH_ASK_SCRAM_KEYS && has_secret ? AUTH_ASK_PASSWORD : kind);
}

static void tell_mechanism(struct explaining *explaining)
{
    const char *name = auth_mechanism_name(explaining->mechanism);

    explaining->is_offered = gate_rules_offer(explaining->rules, explaining->mechanism);
    if (explaining->is_offered)
        explain_step(explaining, "mechanism", EXPLAIN_PASSES, "%s is offered by these rules", name);
    else
        explain_step(explaining, "mechanism", EXPLAIN_REFUSES, "%s is not offered by these rules", name);
}

static struct explaining *begin(struct gate_rules *rules, struct loop *loop, const struct gate_explain_ask *ask)
{
    struct explaining *explaining = mem_zalloc(sizeof *explaining);

    explaining->rules = gate_rules_ref(rules);
    explaining->loop = loop;
    explaining->mechanism = ask->mechanism;
    explaining->listener = mem_strdup(ask->listener);
    explaining->user = ask->user ? mem_strdup(ask->user) : NULL;
    explaining->authzid = ask->authzid ? mem_strdup(ask->authzid) : NULL;
    explaining->mail_from = ask->mail_from ? mem_strdup(ask->mail_from) : NULL;
    explaining->is_secret_given = ask->secret != NULL;
    explaining->store = mem_strdup("");
    explaining->label = mem_strdup("");
    explaining->steps = json_array();
    explaining->facts = (struct gate_facts){.peer = ask->peer,
                                            .listener = explaining->listener,
                                            .mechanism = auth_mechanism_name(ask->mechanism),
                                            .is_tls = true};
    explaining->question.authcid = ask->user ? mem_strdup(ask->user) : NULL;
    explaining->question.authzid = ask->authzid ? mem_strdup(ask->authzid) : NULL;
    return explaining;
}

void gate_explain(struct gate_rules *rules, struct loop *loop, const struct gate_explain_ask *ask,
                  gate_explained_fn *on_done, void *ctx)
{
    struct explaining *explaining = begin(rules, loop, ask);

    explaining->on_done = on_done;
    explaining->ctx = ctx;
    tell_mechanism(explaining);
    if (ask->secret && can_answer(rules, ask->mechanism, true))
        ask_gate(explaining, ask->secret);
    else
        look_up(explaining);
}
