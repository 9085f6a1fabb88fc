/* SPDX-License-Identifier: Apache-2.0
 *
 * Who answers the exchange's question. First the policy's handler for that kind of question; when there is none, or it
 * returns nil, the gate. With tokens it is the other way round: the gate verifies, and the handler is told what the
 * token claims.
 */
#include "receive/auth_attempt.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "tls/tls.h"

static const struct auth_question *question_of(const struct session *session)
{
    return auth_exchange_question(session->attempt->exchange);
}

/* ---- the events' arguments ---- */

static void push_text(lua_State *L, const char *text)
{
    if (text)
        lua_pushstring(L, text);
    else
        lua_pushnil(L);
}

/* smtp_server_auth_plain(authz, authc, password, conn_meta) */
static int push_password(lua_State *L, void *ctx)
{
    struct session *session = ctx;
    const struct auth_question *question = question_of(session);

    lua_pushstring(L, question->authzid);
    lua_pushstring(L, question->authcid);
    policy_push_secret(L, span_of(question->password));
    return 3 + session_push_connection(L, session);
}

/* smtp_server_auth_scram(authc, mechanism, conn_meta) */
static int push_scram(lua_State *L, void *ctx)
{
    struct session *session = ctx;

    lua_pushstring(L, question_of(session)->authcid);
    lua_pushstring(L, auth_mechanism_name(auth_exchange_mechanism(session->attempt->exchange)));
    return 2 + session_push_connection(L, session);
}

/* smtp_server_auth_bearer(authz or nil, token, claims or nil, conn_meta) */
static int push_bearer(lua_State *L, void *ctx)
{
    struct session *session = ctx;
    const struct gate_login *login = session->attempt->login;

    push_text(L, question_of(session)->authzid);
    policy_push_secret(L, span_of(question_of(session)->token));
    policy_push_json(L, login ? login->claims : NULL);
    return 3 + session_push_connection(L, session);
}

static void push_names(lua_State *L, const char *const *names, size_t count, const char *field)
{
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_pushstring(L, names[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, field);
}

/* smtp_server_auth_external(authz or nil, {subject, emails, dns_names}, conn_meta) */
static int push_external(lua_State *L, void *ctx)
{
    struct session *session = ctx;
    const struct auth_certificate *certificate = question_of(session)->certificate;

    push_text(L, question_of(session)->authzid);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, certificate->subject);
    lua_setfield(L, -2, "subject");
    push_names(L, certificate->emails, certificate->email_count, "emails");
    push_names(L, certificate->dns_names, certificate->dns_name_count, "dns_names");
    return 2 + session_push_connection(L, session);
}

/* ---- the gate ---- */

static void on_gate(void *ctx, const struct gate_verdict *verdict);

static void fill_facts(struct session *session)
{
    struct receive_connection *connection = session->connection;
    struct auth_attempt *attempt = session->attempt;

    attempt->facts = (struct gate_facts){
        .peer = connection->remote_ip,
        .local = connection->local_ip,
        .listener = attempt->listener_text,
        .session_id = receive_connection_session_id(connection),
        .mechanism = auth_mechanism_name(auth_exchange_mechanism(attempt->exchange)),
        .ehlo_domain = connection->ehlo_domain,
        .is_tls = tls_is_on(session->socket),
        .is_locked = attempt->is_locked,
    };
}

static bool gate_answers(const struct session *session)
{
    return session->attempt->rules && gate_rules_answer(session->attempt->rules, question_of(session)->kind);
}

static void ask_gate(struct session *session)
{
    struct auth_attempt *attempt = session->attempt;
    struct gate_check *check;

    fill_facts(session);
    session->waiting = WAITING_GATE;
    check =
        gate_check(attempt->rules, session->listener->loop, &attempt->facts, question_of(session), on_gate, session);
    /* on_gate may have run already, and the attempt may be over */
    if (check)
        attempt->check = check;
}

void auth_ask_gate(struct session *session, enum auth_reason otherwise)
{
    enum auth_question_kind kind = question_of(session)->kind;

    if (!gate_answers(session))
        auth_refuse(session, otherwise);
    else if (kind == AUTH_ASK_PASSWORD || kind == AUTH_ASK_PROVED)
        auth_guess_peek(session, ask_gate);
    else
        ask_gate(session);
}

static void on_event(struct session *session, const struct policy_result *result);

static void ask_handler(struct session *session)
{
    static policy_push_fn *const push[AUTH_QUESTION_KIND_COUNT] = {
        [AUTH_ASK_PASSWORD] = push_password,
        [AUTH_ASK_SCRAM_KEYS] = push_scram,
        [AUTH_ASK_TOKEN] = push_bearer,
        [AUTH_ASK_EXTERNAL] = push_external,
    };
    enum auth_question_kind kind = question_of(session)->kind;

    session_ask(session, auth_event_of(kind), push[kind], on_event);
}

static void take_gate_verdict(struct session *session, const struct gate_verdict *verdict)
{
    enum auth_question_kind kind = question_of(session)->kind;
    struct auth_attempt *attempt = session->attempt;

    if (verdict->reason != AUTH_REASON_OK) {
        if (auth_reason_outcome(verdict->reason) == AUTH_OUTCOME_ERROR)
            auth_stores_gave_no_verdict(session, verdict->reason);
        else
            auth_refuse(session, verdict->reason);
    } else if (kind == AUTH_ASK_SCRAM_KEYS) {
        auth_give_keys(session, verdict->keys);
    } else if (kind == AUTH_ASK_TOKEN && policy_handles(session->listener->vm, POLICY_EVENT_SMTP_AUTH_BEARER)) {
        attempt->info = auth_info_ref(verdict->info);
        attempt->login = gate_login_ref(verdict->login);
        ask_handler(session);
    } else {
        auth_grant(session, auth_info_ref(verdict->info), verdict->login, verdict->login->authcid);
    }
}

void auth_note_words(struct auth_attempt *attempt, const struct gate_verdict *verdict)
{
    free(attempt->user);
    free(attempt->store);
    attempt->user = verdict->user ? mem_strdup(verdict->user) : NULL;
    attempt->store = verdict->store ? mem_strdup(verdict->store) : NULL;
    attempt->is_known = verdict->is_known;
    attempt->is_cached = verdict->is_cached;
}

static void on_gate(void *ctx, const struct gate_verdict *verdict)
{
    struct session *session = ctx;

    session->attempt->check = NULL;
    session->waiting = WAITING_NOT;
    auth_note_words(session->attempt, verdict);
    take_gate_verdict(session, verdict);
    session_resume_soon(session);
}

/* ---- the handler ---- */

/* No handler, or none that wanted to say anything. */
static void go_on_without(struct session *session, enum auth_reason otherwise)
{
    struct auth_attempt *attempt = session->attempt;
    struct auth_info *info = attempt->info;

    if (!info) {
        auth_note_words(attempt, &(struct gate_verdict){0}); /* of what the handler asked nothing is left */
        auth_ask_gate(session, otherwise);
        return;
    }
    attempt->info = NULL; /* the gate has verified the token already: that stands */
    auth_grant(session, info, attempt->login, attempt->login->authcid);
}

static void wipe_text(const json_t *text)
{
    if (json_is_string(text))
        secret_wipe((void *)(uintptr_t)json_string_value(text), json_string_length(text));
}

/* The result may hold a password. */
static void wipe_texts(const json_t *value)
{
    const char *key;
    json_t *member;

    wipe_text(value);
    json_object_foreach((json_t *)(uintptr_t)value, key, member) wipe_text(member);
}

static void take_result(struct session *session, const json_t *value)
{
    if (question_of(session)->kind == AUTH_ASK_SCRAM_KEYS)
        auth_take_keys(session, value);
    else
        auth_take_result(session, value);
}

static void on_returned(struct session *session, const struct policy_result *result)
{
    struct error error;
    json_t *value = session_result_json(result, &error);

    if (!value) {
        diag_error(&session->scope, &error, "%s", auth_handler_name(session));
        auth_no_verdict(session, AUTH_REASON_BAD_RESULT);
    } else if (json_is_null(value)) {
        go_on_without(session, AUTH_REASON_REFUSED);
    } else {
        take_result(session, value);
        wipe_texts(value);
    }
    json_decref(value);
}

static void on_event(struct session *session, const struct policy_result *result)
{
    if (question_of(session)->kind == AUTH_ASK_PASSWORD)
        auth_checked_describe(session);
    switch (result->outcome) {
    case POLICY_UNHANDLED:
        go_on_without(session, AUTH_REASON_NO_HANDLER);
        return;
    case POLICY_RETURNED:
        on_returned(session, result);
        return;
    case POLICY_REJECTED:
    case POLICY_DISCONNECT:
        auth_refuse_as_told(session, result);
        return;
    case POLICY_FAILED: /* a store that works and does not know the user has given its verdict */
        if (result->not_found)
            auth_refuse(session, AUTH_REASON_NOT_FOUND);
        else
            auth_no_verdict(session, AUTH_REASON_STORE_ERROR);
        return;
    }
    MUST_NOT_REACH("a policy call has an outcome");
}

/* The proof was judged with keys that a handler gave: there is nobody else to ask. */
static void judge_proof(struct session *session)
{
    const struct auth_question *question = question_of(session);

    if (!question->is_proved)
        auth_refuse(session, AUTH_REASON_BAD_PROOF);
    else if (!auth_may_act_as(question->authzid, question->authcid, NULL))
        auth_refuse(session, AUTH_REASON_AUTHZID_REFUSED);
    else
        auth_grant(session, auth_info_of_user(question->authzid, question->authcid), NULL, NULL);
}

void auth_ask(struct session *session)
{
    enum auth_question_kind kind = question_of(session)->kind;

    if (kind == AUTH_ASK_PROVED && session->attempt->has_handlers_keys)
        judge_proof(session);
    else if (kind == AUTH_ASK_PROVED || (kind == AUTH_ASK_TOKEN && gate_answers(session)))
        auth_ask_gate(session, AUTH_REASON_NO_HANDLER);
    else
        ask_handler(session);
}
