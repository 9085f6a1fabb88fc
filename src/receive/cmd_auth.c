/* SPDX-License-Identifier: Apache-2.0
 *
 * AUTH (RFC 4954): carries a SASL exchange between the client and auth/exchange.h. Whoever answers the exchange's
 * questions, and what comes of it, is in the auth_*.c files beside this one (auth_attempt.h has the way of an attempt).
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "receive/auth_attempt.h"

/* ---- an attempt's life ---- */

/* HELO is answered with no list: what it does not name is there all the same, and somebody in the middle may have said
 * HELO in the client's place. */
static bool offers(struct session *session, const struct auth_mechanism *mechanism)
{
    return session->connection->is_esmtp ? session_announced(session, mechanism) : session_offers(session, mechanism);
}

static void begin_attempt(struct session *session, const struct auth_mechanism *mechanism)
{
    const struct auth_mechanism *twin = auth_mechanism_bound_twin(mechanism);
    struct auth_attempt *attempt = mem_zalloc(sizeof *attempt);
    struct gate_rules *rules = auth_rules_of(session);
    struct auth_channel channel = {
        .binding = auth_channel_binding, .ctx = session, .offers_bound_twin = twin && offers(session, twin)};

    if (auth_certificate_of(session, &attempt->certificate))
        channel.certificate = &attempt->certificate;
    auth_checked_forget(session->connection); /* what an attempt before this one asked is not about this */
    attempt->began_us = clock_mono_us();
    attempt->began_ms = loop_now_ms(session->listener->loop);
    attempt->rules = rules ? gate_rules_ref(rules) : NULL;
    sockaddr_format((const struct sockaddr *)&session->connection->params->listen, attempt->listener_text);
    attempt->exchange = auth_exchange_new(mechanism, &channel);
    session->attempt = attempt;
}

static void free_attempt(struct session *session)
{
    struct auth_attempt *attempt = session->attempt;

    gate_check_cancel(attempt->check);
    gate_guess_cancel(attempt->guess);
    auth_abandon_keys(session);
    auth_exchange_free(attempt->exchange);
    auth_info_unref(&attempt->info);
    json_decref(attempt->info_json);
    gate_login_unref(&attempt->login);
    gate_rules_unref(&attempt->rules);
    free(attempt->authcid);
    free(attempt->user);
    free(attempt->store);
    free(attempt->rejection);
    free(attempt);
    session->attempt = NULL;
}

void auth_end(struct session *session, enum auth_reason reason)
{
    auth_record(session, reason);
    free_attempt(session);
}

void session_abandon_auth(struct session *session)
{
    const struct auth_exchange *exchange;

    if (!session->attempt)
        return;
    exchange = session->attempt->exchange;
    auth_end(session, auth_exchange_is_refused(exchange) ? auth_exchange_reason(exchange) : AUTH_REASON_DISCONNECTED);
}

uint64_t session_auth_began_ms(const struct session *session) { return session->attempt->began_ms; }

/* ---- the exchange ---- */

static void send_challenge(struct session *session)
{
    struct buf line;

    session_enter(session, SESSION_AUTH);
    buf_init(&line, AUTH_CHALLENGE_BYTES + 8);
    MUST(buf_appendf(&line, "334 %s\r\n", auth_exchange_challenge(session->attempt->exchange)) == 0);
    if (socket_write(session->socket, buf_span(&line).data, buf_len(&line)))
        session_close(session, "the client does not read our answers");
    buf_done(&line);
}

/* What came makes no sense; nobody was asked about it. */
static void say_failed(struct session *session, enum auth_reason reason)
{
    auth_end(session, reason);
    session_enter(session, SESSION_COMMAND);
    if (reason == AUTH_REASON_CANCELLED)
        session_junk(session, 501, "5.7.0 authentication cancelled");
    else if (reason == AUTH_REASON_TOO_LONG)
        session_junk(session, 500, "5.5.6 authentication exchange line is too long");
    else
        session_junk(session, 501, "5.5.2 cannot decode the response");
}

static void take_failure(struct session *session)
{
    enum auth_reason reason = auth_exchange_reason(session->attempt->exchange);

    if (reason == AUTH_REASON_CANCELLED || reason == AUTH_REASON_TOO_LONG || reason == AUTH_REASON_MALFORMED)
        say_failed(session, reason);
    else
        auth_conclude_refusal(session, reason);
}

void auth_take_step(struct session *session, enum auth_step step)
{
    switch (step) {
    case AUTH_STEP_CHALLENGE:
        if (auth_exchange_is_refused(session->attempt->exchange) && !session->attempt->is_told)
            auth_tell_refusal(session);
        else
            send_challenge(session);
        return;
    case AUTH_STEP_ASK:
        session_enter(session, SESSION_COMMAND);
        auth_ask(session);
        return;
    case AUTH_STEP_FAIL:
        take_failure(session);
        return;
    case AUTH_STEP_DONE:
        auth_accept(session);
        return;
    }
    MUST_NOT_REACH("an exchange has four kinds of steps");
}

void session_auth_line(struct session *session, const struct span *line)
{
    static const struct span too_long = {NULL, AUTH_LINE_LIMIT + 1}; /* its length is all that is looked at */

    auth_take_step(session, auth_exchange_line(session->attempt->exchange, line ? *line : too_long));
}

/* ---- the command ---- */

static bool is_in_place(struct session *session, const struct auth_mechanism *mechanism)
{
    enum session_offer offer = mechanism ? session_offer_of(session, mechanism) : OFFER_NONE;

    if (session->connection->auth)
        session_junk(session, 503, "5.5.1 already authenticated");
    else if (session->transaction)
        session_junk(session, 503, "5.5.1 not inside of a transaction");
    else if (!session->connection->ehlo_domain)
        session_junk(session, 503, "5.5.1 say EHLO first");
    else if (offer == OFFER_UNDER_TLS)
        session_junk(session, 538, "5.7.11 encryption is required for this authentication mechanism");
    else if (offer == OFFER_NONE)
        session_junk(session, 504, "5.5.4 unknown authentication mechanism");
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
    begin_attempt(session, mechanism);
    auth_take_step(session,
                   auth_exchange_start(session->attempt->exchange, space < command->args.len ? &initial : NULL));
}
