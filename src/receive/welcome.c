/* SPDX-License-Identifier: Apache-2.0
 *
 * Before anything else is done for a client: is its address blocked for guessing? Where the listener
 * (refuse_before_tls) or else the gate's rules want it, such a client costs one look at a number, and no handshake,
 * handler or record. Nobody can say yet who the client is; where somebody is at home at that address, it may be him,
 * and only an operator's block turns it away.
 */
#include "gate/guess.h"
#include "receive/auth_attempt.h"

static bool refuses(const struct session *session, const struct gate_rules *rules)
{
    enum receive_refusal refusal = session->connection->params->refuse_before_tls;

    return rules && (refusal == RECEIVE_REFUSE_AT_ONCE ||
                     (refusal == RECEIVE_REFUSE_AS_RULES_SAY && gate_guess_refuses_before_tls(rules)));
}

/* A balancer comes with the next client again. */
static bool speaks_for_others(const struct receive_connection *connection)
{
    return !connection->proxy_ip.family &&
           (connection->params->require_proxy_protocol || connection->params->allow_xclient);
}

static bool is_before_implicit_tls(const struct session *session)
{
    return session->listener->params->tls_mode == RECEIVE_TLS_IMPLICIT && !session->connection->tls_protocol;
}

static void turn_away(struct session *session, enum gate_guess_rule rule)
{
    diag(DIAG_DEBUG, &session->scope, "turned away: %s", gate_guess_rule_name(rule));
    /* with TLS from the first byte there is nobody yet who could read it */
    if (is_before_implicit_tls(session))
        session_close(session, "turned away");
    else
        session_turn_away(session, "4.7.0 too many failed logins from your address; try again later");
}

static void take_word(struct session *session, const struct gate_guess_result *result)
{
    session->waiting = WAITING_NOT;
    if (result->locked_by == GATE_GUESS_NONE)
        session->then_welcome(session);
    else
        turn_away(session, result->locked_by);
}

static void on_word(void *ctx, const struct gate_guess_result *result)
{
    struct session *session = ctx;
    bool was_awaited = session->welcome != NULL;

    session->welcome = NULL;
    if (was_awaited)
        socket_resume(session->socket);
    take_word(session, result);
    if (was_awaited)
        session_resume_soon(session);
}

/* Not a byte may be read meanwhile that belongs to a handshake. */
static void wait_for_word(struct session *session, struct gate_guess *guess)
{
    session->welcome = guess;
    session_enter(session, is_before_implicit_tls(session) ? SESSION_HANDSHAKE : SESSION_GREETING);
    socket_pause(session->socket);
}

void session_welcome(struct session *session, session_then_fn *then)
{
    struct gate_rules *rules = auth_rules_of(session);
    struct gate_guess *guess;

    if (!refuses(session, rules) || speaks_for_others(session->connection)) {
        then(session);
        return;
    }
    session->then_welcome = then;
    session->waiting = WAITING_GATE;
    guess = gate_guess_welcome(rules, session->listener->loop, &session->connection->remote_ip, on_word, session);
    if (guess)
        wait_for_word(session, guess);
}

void session_abandon_welcome(struct session *session)
{
    gate_guess_cancel(session->welcome);
    session->welcome = NULL;
}
