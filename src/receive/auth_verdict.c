/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of an attempt to log in.
 *
 * A refusal tells nothing: the same bytes whatever the reason, and not at the moment when the
 * reason was found but at a multiple of auth_failure_delay since the attempt began, so that
 * what took how long cannot be read off the clock (to within that step; a handler should still
 * do the same work for users who do not exist). The step doubles with each failure; after
 * auth_failure_limit of them the connection is over. A store that fails is no verdict: 454,
 * and clients keep the password they have.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "credential/used.h"
#include "receive/auth_attempt.h"
#include "receive/budget.h"
#include "tls/tls.h"

#define DELAY_MOST_MS 60000

/* ---- refused ---- */

static void say_too_many(struct session *session)
{
    session_replyf_close(session, 421, "4.7.0 %s too many failed logins; closing",
                         session->connection->params->hostname);
}

static void end_with(struct session *session, enum auth_reason reason, const struct smtp_reply *reply)
{
    auth_end(session, reason);
    session_enter(session, SESSION_COMMAND);
    if (session->auth_failures >= session->connection->params->auth_failure_limit && reply->code != 421)
        session_reply_then(session, reply, say_too_many);
    else
        session_reply(session, reply, SESSION_COMMAND);
}

static void say_refused(struct session *session)
{
    struct smtp_reply reply = {.code = 0};

    if (session->attempt->rejection)
        reply = *session->attempt->rejection;
    else
        smtp_reply_set(&reply, 535, SPAN_LIT("5.7.8 authentication failed"));
    end_with(session, auth_exchange_reason(session->attempt->exchange), &reply);
}

static uint64_t grown_ms(const struct session *session, unsigned failures, uint64_t most_ms)
{
    uint64_t step = session->connection->params->auth_failure_delay_ms;

    for (unsigned i = 1; i < failures && step && step < most_ms; i++)
        step *= 2;
    return step;
}

/* Until the next multiple of `step` since the attempt began. */
static uint64_t rest_of_step_ms(const struct session *session, uint64_t step)
{
    uint64_t elapsed = loop_now_ms(session->listener->loop) - session->attempt->began_ms;

    return step == 0 ? 0 : step - elapsed % step;
}

static uint64_t failure_delay_ms(const struct session *session)
{
    const struct auth_attempt *attempt = session->attempt;
    uint64_t step = grown_ms(session, session->auth_failures, DELAY_MOST_MS);
    uint64_t guessing = grown_ms(session, attempt->guess_failures, attempt->guess_delay_most_ms);

    return rest_of_step_ms(session, guessing > step ? guessing : step);
}

/* The refusal of a mechanism that tells it in its own words: it comes when any other would, and the reply that follows
 * it waits for nothing but the client. */
static void tell_refused(struct session *session)
{
    session->attempt->is_told = true;
    auth_take_step(session, AUTH_STEP_CHALLENGE);
}

void auth_conclude_refusal(struct session *session, enum auth_reason reason)
{
    struct auth_attempt *attempt = session->attempt;

    MUST(auth_exchange_reason(attempt->exchange) == reason);
    if (attempt->is_told) {
        say_refused(session);
        return;
    }
    session->auth_failures++;
    session_enter(session, SESSION_COMMAND);
    session_delay(session, failure_delay_ms(session), say_refused);
}

void auth_tell_refusal(struct session *session)
{
    session->auth_failures++;
    session_enter(session, SESSION_COMMAND);
    session_delay(session, failure_delay_ms(session), tell_refused);
}

static void answer_no(struct session *session)
{
    struct auth_exchange *exchange = session->attempt->exchange;
    enum auth_reason reason = session->attempt->refusal;

    if (auth_exchange_answer(exchange, &(struct auth_answer){.reason = reason}) == AUTH_STEP_CHALLENGE)
        auth_tell_refusal(session);
    else
        auth_conclude_refusal(session, reason);
}

void auth_refuse(struct session *session, enum auth_reason reason)
{
    MUST(auth_reason_outcome(reason) == AUTH_OUTCOME_REFUSED);
    auth_guess_refused(session, reason, answer_no);
}

void auth_refuse_as_told(struct session *session, const struct policy_result *result)
{
    struct auth_attempt *attempt = session->attempt;

    free(attempt->rejection);
    attempt->rejection = mem_alloc(sizeof *attempt->rejection);
    *attempt->rejection = result->reply;
    if (result->outcome == POLICY_DISCONNECT)
        session->close_after_reply = true;
    auth_refuse(session, AUTH_REASON_POLICY_REJECT);
}

/* ---- no verdict ---- */

static void say_no_verdict(struct session *session)
{
    struct smtp_reply reply;

    smtp_reply_set(&reply, 454, SPAN_LIT("4.7.0 temporary authentication failure"));
    end_with(session, session->attempt->refusal, &reply);
}

/* Who is turned away for want of room is made to wait: a flood would be back at once. */
void auth_no_verdict(struct session *session, enum auth_reason reason)
{
    MUST(auth_reason_outcome(reason) == AUTH_OUTCOME_ERROR);
    session->attempt->refusal = reason;
    session_enter(session, SESSION_COMMAND);
    if (reason == AUTH_REASON_BUSY)
        session_delay(session, session->connection->params->auth_failure_delay_ms, say_no_verdict);
    else
        say_no_verdict(session);
}

static void delay_no_verdict(struct session *session)
{
    session->auth_failures++;
    session_enter(session, SESSION_COMMAND);
    session_delay(session, rest_of_step_ms(session, grown_ms(session, session->auth_failures, DELAY_MOST_MS)),
                  say_no_verdict);
}

/* The same steps of time for all of these, and the same end of patience: whether there was a record to compare with,
 * which its store's absence keeps from being a verdict, is not told. */
void auth_stores_gave_no_verdict(struct session *session, enum auth_reason reason)
{
    if (reason == AUTH_REASON_BUSY)
        auth_no_verdict(session, reason);
    else
        auth_guess_refused(session, reason, delay_no_verdict);
}

/* ---- granted ---- */

void auth_give_keys(struct session *session, const struct scram_set *keys)
{
    auth_take_step(session, auth_exchange_answer(session->attempt->exchange,
                                                 &(struct auth_answer){.granted = true, .keys = keys}));
}

/* smtp_server_authenticated(auth_info, conn_meta) */
static int push_authenticated(lua_State *L, void *ctx)
{
    struct session *session = ctx;

    policy_push_json(L, session->attempt->info_json);
    return 1 + session_push_connection(L, session);
}

/* True when the handler lets the user in. A table is added to what is known of him. */
static bool read_last_word(struct session *session, const struct policy_result *result, enum auth_reason *reason_out)
{
    struct auth_attempt *attempt = session->attempt;
    struct error error;
    json_t *value = session_result_json(result, &error);
    struct auth_info *with = NULL;
    bool is_table = value && !json_is_boolean(value) && !json_is_null(value);

    *reason_out = json_is_false(value) ? AUTH_REASON_REFUSED : AUTH_REASON_OK;
    if (is_table)
        with = auth_info_with(attempt->info, value, &error);
    if (!value || (is_table && !with)) {
        diag_error(&session->scope, &error, "smtp_server_authenticated");
        *reason_out = AUTH_REASON_BAD_RESULT;
    }
    json_decref(value);
    if (with) {
        auth_info_unref(&attempt->info);
        attempt->info = with;
    }
    return *reason_out == AUTH_REASON_OK;
}

static void grant(struct session *session)
{
    struct auth_attempt *attempt = session->attempt;

    auth_take_step(session, auth_exchange_answer(attempt->exchange,
                                                 &(struct auth_answer){.granted = true, .authcid = attempt->authcid}));
}

static void on_authenticated(struct session *session, const struct policy_result *result)
{
    enum auth_reason reason = AUTH_REASON_STORE_ERROR;

    if (result->outcome == POLICY_REJECTED || result->outcome == POLICY_DISCONNECT)
        auth_refuse_as_told(session, result);
    else if (result->outcome == POLICY_FAILED && result->not_found)
        auth_refuse(session, AUTH_REASON_NOT_FOUND);
    else if (result->outcome != POLICY_FAILED && read_last_word(session, result, &reason))
        grant(session);
    else if (auth_reason_outcome(reason) == AUTH_OUTCOME_ERROR)
        auth_no_verdict(session, reason);
    else
        auth_refuse(session, reason);
}

static void ask_for_last_word(struct session *session)
{
    session_ask(session, POLICY_EVENT_SMTP_AUTHENTICATED, push_authenticated, on_authenticated);
}

void auth_grant(struct session *session, struct auth_info *info, struct gate_login *login, const char *authcid)
{
    struct auth_attempt *attempt = session->attempt;
    struct gate_login *former = attempt->login;

    attempt->login = gate_login_ref(login);
    gate_login_unref(&former);
    auth_info_unref(&attempt->info);
    attempt->info = info;
    free(attempt->authcid);
    attempt->authcid = authcid ? mem_strdup(authcid) : NULL;
    json_decref(attempt->info_json);
    attempt->info_json = auth_info_to_json(info);
    auth_guess_judge(session, ask_for_last_word);
}

static void be_logged_in(struct session *session)
{
    struct receive_connection *connection = session->connection;
    struct auth_attempt *attempt = session->attempt;
    const struct auth_question *question = auth_exchange_question(attempt->exchange);

    connection->login = attempt->login;
    connection->authz_id = mem_strdup(attempt->login ? attempt->login->authzid : question->authzid);
    connection->authn_id = mem_strdup(attempt->login ? attempt->login->authcid : question->authcid);
    connection->auth = attempt->info;
    attempt->login = NULL;
    attempt->info = NULL;
    /* whatever policy noted under these names before is not who this is */
    json_object_del(connection->session_meta, "authz_id");
    json_object_del(connection->session_meta, "authn_id");
    receive_connection_changed(connection);
    tls_expect_no_secrets(session->socket); /* AUTH is over for this connection */
    relay_forget(session);
    session_register(session);
}

/* Purged while he was on his way in: as if the session had been there to be closed. */
static bool is_gone_already(struct session *session)
{
    const struct receive_connection *connection = session->connection;

    if (!connection->login || !gate_login_is_purged(connection->login))
        return false;
    auth_end(session, AUTH_REASON_STORE_ERROR);
    session_enter(session, SESSION_COMMAND);
    session_replyf_close(session, 421, "4.7.0 %s this login is no longer good; log in again",
                         connection->params->hostname);
    return true;
}

/* Nobody is logged in, so nothing is to be taken from anybody's budget: the next login would find another's there. */
static void refuse_session(struct session *session, const struct smtp_reply *refusal)
{
    budget_log_out(session);
    auth_end(session, AUTH_REASON_BUDGET);
    session_enter(session, SESSION_COMMAND);
    session_reply_close(session, refusal);
}

static void on_budget(struct session *session, const struct smtp_reply *refusal)
{
    if (refusal && refusal->code == 454) {
        auth_no_verdict(session, AUTH_REASON_STORE_ERROR);
        return;
    }
    if (refusal) {
        refuse_session(session, refusal);
        return;
    }
    be_logged_in(session);
    if (is_gone_already(session))
        return;
    auth_end(session, AUTH_REASON_OK);
    session_enter(session, SESSION_COMMAND);
    session_replyf(session, 235, "2.7.0 authentication succeeded");
}

/* Tokens and certificates open none of the record's secrets. */
static void note_used(const struct auth_attempt *attempt, enum auth_question_kind kind)
{
    const struct gate_login *login = attempt->login;

    if (login && login->credential && (kind == AUTH_ASK_PASSWORD || kind == AUTH_ASK_PROVED))
        credential_note_used(login->credential->name, login->label);
}

void auth_accept(struct session *session)
{
    struct auth_attempt *attempt = session->attempt;
    const struct auth_question *question = auth_exchange_question(attempt->exchange);

    auth_guess_accepted(session);
    note_used(attempt, question->kind);
    if (!attempt->login && attempt->rules)
        attempt->login = gate_login_of(attempt->rules, question->authcid, question->authzid);
    budget_log_in(session, attempt->rules, attempt->login ? attempt->login->authcid : question->authcid, attempt->info,
                  on_budget);
}
