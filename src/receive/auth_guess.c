/* SPDX-License-Identifier: Apache-2.0
 *
 * Between what was found out about a login and what the client is told stands what was guessed lately: a refusal is
 * counted first, and a secret that is right may still be refused. Without rules of a gate nothing is counted.
 */
#include "base/clock.h"
#include "receive/auth_attempt.h"

typedef struct gate_guess *guess_fn(struct gate_rules *rules, struct loop *loop, const struct gate_attempt *attempt,
                                    gate_guess_fn *on_done, void *ctx);

static void ask(struct session *session, enum auth_reason reason, guess_fn *guess, gate_guess_fn *on_done)
{
    struct auth_attempt *attempt = session->attempt;
    struct gate_attempt described;
    struct gate_guess *waiting;

    auth_describe(session, reason, &described);
    session->waiting = WAITING_GATE;
    waiting = guess(attempt->rules, session->listener->loop, &described, on_done, session);
    /* on_done may have run already, and the attempt may be over */
    if (waiting)
        attempt->guess = waiting;
}

/* ---- before ---- */

static void on_peeked(void *ctx, const struct gate_guess_result *result)
{
    struct session *session = ctx;
    struct auth_attempt *attempt = session->attempt;

    attempt->guess = NULL;
    attempt->is_locked = result->locked_by != GATE_GUESS_NONE;
    session->waiting = WAITING_NOT;
    attempt->then(session);
    session_resume_soon(session);
}

void auth_guess_peek(struct session *session, session_then_fn *then)
{
    session->attempt->then = then;
    ask(session, AUTH_REASON_OK, gate_guess_peek, on_peeked);
}

/* ---- right ---- */

static void note_time(struct auth_attempt *attempt)
{
    if (!attempt->took_us)
        attempt->took_us = clock_mono_us() - attempt->began_us;
}

static void on_judged(void *ctx, const struct gate_guess_result *result)
{
    struct session *session = ctx;
    struct auth_attempt *attempt = session->attempt;

    attempt->guess = NULL;
    attempt->is_doubtful = result->is_doubtful;
    session->waiting = WAITING_NOT;
    auth_tell_suspects(session->listener, result->suspects, result->suspect_count);
    if (result->locked_by == GATE_GUESS_NONE)
        attempt->then(session);
    else
        auth_refuse(session, AUTH_REASON_LOCKED);
    session_resume_soon(session);
}

void auth_guess_judge(struct session *session, session_then_fn *then)
{
    note_time(session->attempt);
    session->attempt->then = then;
    if (session->attempt->rules)
        ask(session, AUTH_REASON_OK, gate_guess_judge, on_judged);
    else
        then(session);
}

void auth_guess_accepted(struct session *session)
{
    struct gate_attempt described;

    if (!session->attempt->rules)
        return;
    auth_describe(session, AUTH_REASON_OK, &described);
    gate_guess_accepted(session->attempt->rules, &described, session->attempt->is_doubtful);
}

/* ---- wrong ---- */

static void on_counted(void *ctx, const struct gate_guess_result *result)
{
    struct session *session = ctx;
    struct auth_attempt *attempt = session->attempt;

    attempt->guess = NULL;
    attempt->guess_failures = result->failures;
    attempt->guess_delay_most_ms = result->delay_most_ms;
    session->waiting = WAITING_NOT;
    auth_tell_suspects(session->listener, result->suspects, result->suspect_count);
    attempt->then(session);
    session_resume_soon(session);
}

void auth_guess_refused(struct session *session, enum auth_reason reason, session_then_fn *then)
{
    note_time(session->attempt);
    session->attempt->refusal = reason;
    session->attempt->then = then;
    if (session->attempt->rules && gate_attempt_is_guess(reason))
        ask(session, reason, gate_guess_refused, on_counted);
    else
        then(session);
}
