/* SPDX-License-Identifier: Apache-2.0
 *
 * AUTH (RFC 4954): carries a SASL exchange between the client and auth/exchange.h, and asks
 * policy for the verdict.
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
#include "metrics/metrics.h"
#include "receive/receive_private.h"
#include "tls/tls.h"

#define DELAY_MOST_MS 60000

static void take_step(struct session *session, enum auth_step step);

/* ---- the end of an exchange ---- */

/* One line per attempt, for whoever has to find out what happened. No secret is in it. */
static void audit(struct session *session, enum auth_reason reason)
{
    const struct auth_question *question = auth_exchange_question(session->exchange);

    switch (auth_reason_outcome(reason)) {
    case AUTH_OUTCOME_OK:
        metrics_count(METRIC_AUTH_OK);
        break;
    case AUTH_OUTCOME_REFUSED:
        metrics_count(METRIC_AUTH_REFUSED);
        break;
    case AUTH_OUTCOME_ERROR:
        metrics_count(METRIC_AUTH_ERROR);
        break;
    case AUTH_OUTCOME_CANCELLED:
        metrics_count(METRIC_AUTH_CANCELLED);
        break;
    }
    diag(DIAG_INFO, &session->scope, "login mechanism=%s authcid=%s authzid=%s result=%s",
         auth_mechanism_name(auth_exchange_mechanism(session->exchange)), question->authcid ? question->authcid : "-",
         question->authzid ? question->authzid : "-", auth_reason_name(reason));
}

static void end_exchange(struct session *session, enum auth_reason reason)
{
    audit(session, reason);
    auth_exchange_free(session->exchange);
    session->exchange = NULL;
}

static void say_too_many(struct session *session)
{
    session_replyf_close(session, 421, "4.7.0 %s too many failed logins; closing",
                         session->connection->params->hostname);
}

static void say_refused(struct session *session)
{
    struct smtp_reply reply = {.code = 0};

    if (session->auth_rejection) {
        reply = *session->auth_rejection;
        free(session->auth_rejection);
        session->auth_rejection = NULL;
    } else {
        smtp_reply_set(&reply, 535, SPAN_LIT("5.7.8 authentication failed"));
    }
    if (session->auth_failures >= session->connection->params->auth_failure_limit && reply.code != 421)
        session_reply_then(session, &reply, say_too_many);
    else
        session_reply(session, &reply, SESSION_COMMAND);
}

static uint64_t failure_delay_ms(const struct session *session)
{
    uint64_t step = session->connection->params->auth_failure_delay_ms;
    uint64_t elapsed = loop_now_ms(session->listener->loop) - session->auth_began_ms;

    for (unsigned i = 1; i < session->auth_failures && step < DELAY_MOST_MS; i++)
        step *= 2;
    return step == 0 ? 0 : step - elapsed % step;
}

static void refuse(struct session *session, enum auth_reason reason)
{
    end_exchange(session, reason);
    session->auth_failures++;
    session_enter(session, SESSION_COMMAND);
    session_delay(session, failure_delay_ms(session), say_refused);
}

static void accept_login(struct session *session, struct auth_info *info)
{
    struct receive_connection *connection = session->connection;
    const struct auth_question *question = auth_exchange_question(session->exchange);

    connection->authz_id = mem_strdup(question->authzid);
    connection->authn_id = mem_strdup(question->authcid);
    connection->auth = info;
    /* whatever policy noted under these names before is not who this is */
    json_object_del(connection->session_meta, "authz_id");
    json_object_del(connection->session_meta, "authn_id");
    relay_forget(session);
    end_exchange(session, AUTH_REASON_OK);
    session_replyf(session, 235, "2.7.0 authentication succeeded");
}

/* ---- smtp_server_auth_plain(authz, authc, password, conn_meta) ---- */

static int push_login(lua_State *L, void *ctx)
{
    struct session *session = ctx;
    const struct auth_question *question = auth_exchange_question(session->exchange);

    lua_pushstring(L, question->authzid);
    lua_pushstring(L, question->authcid);
    policy_push_secret(L, span_of(question->password));
    return 3 + session_push_connection(L, session);
}

/* What the handler returned: OK with the identity, REFUSED, or BAD_RESULT. */
static enum auth_reason read_verdict(struct session *session, const struct policy_result *result,
                                     struct auth_info **info_out)
{
    const struct auth_question *question = auth_exchange_question(session->exchange);
    struct error error;
    json_t *value = session_result_json(result, &error);
    struct auth_info *given = NULL;
    enum auth_reason reason = AUTH_REASON_OK;

    if (json_is_false(value) || json_is_null(value)) {
        reason = AUTH_REASON_REFUSED;
    } else if (!json_is_true(value)) {
        given = value ? auth_info_from_json(value, &error) : NULL;
        if (!given) {
            diag_error(&session->scope, &error, "smtp_server_auth_plain");
            reason = AUTH_REASON_BAD_RESULT;
        }
    }
    json_decref(value);
    if (reason == AUTH_REASON_OK && !auth_may_act_as(question->authzid, question->authcid, given))
        reason = AUTH_REASON_AUTHZID_REFUSED;
    if (reason == AUTH_REASON_OK)
        *info_out = given ? given : auth_info_of_user(question->authzid, question->authcid);
    else
        auth_info_unref(&given);
    return reason;
}

static void say_no_verdict(struct session *session, enum auth_reason reason)
{
    end_exchange(session, reason);
    session_replyf(session, 454, "4.7.0 temporary authentication failure");
}

/* The handler chose the words; they still come when any refusal would. */
static void refuse_as_told(struct session *session, const struct policy_result *result)
{
    free(session->auth_rejection);
    session->auth_rejection = mem_alloc(sizeof *session->auth_rejection);
    *session->auth_rejection = result->reply;
    if (result->outcome == POLICY_DISCONNECT)
        session->close_after_reply = true;
    refuse(session, AUTH_REASON_POLICY_REJECT);
}

static void on_verdict(struct session *session, const struct policy_result *result)
{
    struct auth_info *info = NULL;
    enum auth_reason reason = AUTH_REASON_NO_HANDLER;

    if (result->outcome == POLICY_REJECTED || result->outcome == POLICY_DISCONNECT) {
        refuse_as_told(session, result);
        return;
    }
    if (result->outcome == POLICY_RETURNED)
        reason = read_verdict(session, result, &info);
    /* a store that works and does not know the user has given its verdict */
    if (result->not_found)
        reason = AUTH_REASON_NOT_FOUND;
    else if (result->outcome == POLICY_FAILED || reason == AUTH_REASON_BAD_RESULT) {
        say_no_verdict(session, reason == AUTH_REASON_BAD_RESULT ? reason : AUTH_REASON_STORE_ERROR);
        return;
    }
    if (auth_exchange_answer(session->exchange, &(struct auth_answer){reason == AUTH_REASON_OK, reason, NULL, NULL}) ==
        AUTH_STEP_DONE)
        accept_login(session, info);
    else
        refuse(session, reason);
}

/* ---- the exchange ---- */

static void send_challenge(struct session *session)
{
    struct buf line;

    buf_init(&line, AUTH_CHALLENGE_BYTES + 8);
    MUST(buf_appendf(&line, "334 %s\r\n", auth_exchange_challenge(session->exchange)) == 0);
    if (socket_write(session->socket, buf_span(&line).data, buf_len(&line)))
        session_close(session, "the client does not read our answers");
    buf_done(&line);
    session_enter(session, SESSION_AUTH);
}

static void say_failed(struct session *session)
{
    enum auth_reason reason = auth_exchange_reason(session->exchange);

    end_exchange(session, reason);
    session_enter(session, SESSION_COMMAND);
    if (reason == AUTH_REASON_CANCELLED)
        session_junk(session, 501, "5.7.0 authentication cancelled");
    else if (reason == AUTH_REASON_TOO_LONG)
        session_junk(session, 500, "5.5.6 authentication exchange line is too long");
    else
        session_junk(session, 501, "5.5.2 cannot decode the response");
}

static void take_step(struct session *session, enum auth_step step)
{
    switch (step) {
    case AUTH_STEP_CHALLENGE:
        send_challenge(session);
        return;
    case AUTH_STEP_ASK:
        session_enter(session, SESSION_COMMAND);
        session_ask(session, POLICY_EVENT_SMTP_AUTH_PLAIN, push_login, on_verdict);
        return;
    case AUTH_STEP_FAIL:
        say_failed(session);
        return;
    case AUTH_STEP_DONE: /* no mechanism here is done without a verdict */
        break;
    }
    MUST_NOT_REACH("an exchange ends with a verdict");
}

void session_auth_line(struct session *session, const struct span *line)
{
    static const struct span too_long = {NULL, AUTH_LINE_LIMIT + 1}; /* its length is all that is looked at */

    take_step(session, auth_exchange_line(session->exchange, line ? *line : too_long));
}

static bool is_in_place(struct session *session, const struct auth_mechanism *mechanism)
{
    if (session->connection->auth)
        session_junk(session, 503, "5.5.1 already authenticated");
    else if (session->transaction)
        session_junk(session, 503, "5.5.1 not inside of a transaction");
    else if (!session->connection->ehlo_domain)
        session_junk(session, 503, "5.5.1 say EHLO first");
    else if (!mechanism || auth_mechanism_asks(mechanism) != AUTH_ASK_PASSWORD)
        session_junk(session, 504, "5.5.4 unknown authentication mechanism");
    else if (auth_mechanism_needs_tls(mechanism) && !tls_is_on(session->socket))
        session_junk(session, 538, "5.7.11 encryption is required for this authentication mechanism");
    else
        return true;
    return false;
}

void cmd_auth(struct session *session, const struct smtp_command *command)
{
    size_t space = span_find(command->args, ' ');
    const struct auth_mechanism *mechanism = auth_mechanism_find(span_head(command->args, space));
    struct span initial = span_trim(span_from(command->args, space));

    if (!is_in_place(session, mechanism))
        return;
    session->auth_began_ms = loop_now_ms(session->listener->loop);
    session->exchange = auth_exchange_new(mechanism, NULL);
    take_step(session, auth_exchange_start(session->exchange, space < command->args.len ? &initial : NULL));
}
