/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a session takes from its budgets. Recipients are taken at RCPT, the message and its bytes at the end of data
 * (with the recipients of a tenant that is known only then), the session itself at AUTH; what a transaction took goes
 * back with the transaction, wherever that ends (transaction.c), unless it was handed over to be stored: then the
 * reception has it, because a client that leaves before our 250 has sent its mail all the same.
 */
#include "receive/budget.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "gate/identity.h"
#include "receive/auth_attempt.h"
#include "receive/transaction.h"

struct session_budget {
    struct gate_allowance *allowance;
    struct gate_spend *spend; /* while it is asked */
    budget_then_fn *then;
    struct gate_spend *counting; /* a refused recipient: only the next recipient waits for it */
    bool counting_is_awaited;
    struct timer renewal;
    bool has_session; /* of those at once */
    uint64_t refuses_until_ms;
    struct smtp_reply guessing; /* the refusal until then */
};

/* ---- refusals ---- */

static void say_excess(const struct gate_excess *excess, struct smtp_reply *reply)
{
    char text[GATE_EXCESS_TEXT_BYTES];

    gate_excess_say(excess, text);
    if (excess->limit == GATE_LIMIT_SESSIONS)
        smtp_reply_setf(reply, 421, "4.7.0 %s", text);
    else if (excess->is_never)
        smtp_reply_setf(reply, 552, "5.3.4 %s", text);
    else if (excess->limit == GATE_LIMIT_BYTES_PER_DAY || excess->limit == GATE_LIMIT_INVALID_RECIPIENTS)
        smtp_reply_setf(reply, 450, "4.7.1 %s", text);
    else
        smtp_reply_setf(reply, 452, "4.7.1 %s", text);
}

static void answer(struct session *session, const struct gate_excess *excess)
{
    struct smtp_reply reply;

    if (excess) {
        say_excess(excess, &reply);
        diag(DIAG_INFO, &session->scope, "budget: %s: %s",
             session->connection->authn_id ? session->connection->authn_id : "login", reply.text);
    }
    session->budget->then(session, excess ? &reply : NULL);
}

/* ---- waiting ---- */

static void on_spent(void *ctx, const struct gate_excess *excess)
{
    struct session *session = ctx;
    bool has_waited = session->budget->spend != NULL;

    session->budget->spend = NULL;
    if (!has_waited) {
        answer(session, excess);
        return;
    }
    session->waiting = WAITING_NOT;
    answer(session, excess);
    session_resume_soon(session);
}

/* Without `spend` it is over already, and perhaps so is the session. */
static void wait_for(struct session *session, struct gate_spend *spend)
{
    if (!spend)
        return;
    MUST(session->waiting == WAITING_NOT);
    session->budget->spend = spend;
    session->waiting = WAITING_GATE;
}

/* ---- the session ---- */

static void on_renewal(void *ctx)
{
    struct session *session = ctx;

    gate_session_renew(session->budget->allowance, receive_connection_session_id(session->connection));
    timer_start(&session->budget->renewal, GATE_SESSION_RENEW_MS);
}

static void on_session(void *ctx, const struct gate_excess *excess)
{
    struct session *session = ctx;

    if (!excess) {
        session->budget->has_session = true;
        timer_start(&session->budget->renewal, GATE_SESSION_RENEW_MS);
    }
    on_spent(ctx, excess);
}

void budget_log_in(struct session *session, const struct gate_rules *rules, const char *user,
                   const struct auth_info *info, budget_then_fn *then)
{
    const struct gate_who who = {.rules = rules, .login = session->attempt->login, .info = info};
    struct gate_allowance *allowance;
    struct smtp_reply refusal;
    struct error error;

    if (gate_allowance_new(&who, user, &allowance, &error)) {
        diag_error(&session->scope, &error, "budgets of %s", user);
        smtp_reply_setf(&refusal, 454, "4.7.0 temporary authentication failure");
        then(session, &refusal);
        return;
    }
    if (!allowance) {
        then(session, NULL);
        return;
    }
    MUST(!session->budget);
    session->budget = mem_zalloc(sizeof *session->budget);
    session->budget->allowance = allowance;
    session->budget->then = then;
    timer_init(&session->budget->renewal, session->listener->loop, on_renewal, session);
    wait_for(session, gate_spend_session(allowance, session->listener->loop,
                                         receive_connection_session_id(session->connection), on_session, session));
}

void budget_log_out(struct session *session)
{
    struct session_budget *budget = session->budget;

    if (!budget)
        return;
    gate_spend_leave(budget->spend);
    gate_spend_leave(budget->counting);
    timer_stop(&budget->renewal);
    if (budget->has_session)
        gate_session_end(budget->allowance, receive_connection_session_id(session->connection));
    gate_allowance_unref(&budget->allowance);
    free(budget);
    session->budget = NULL;
}

/* ---- a transaction ---- */

void budget_mail(struct session *session, uint64_t bytes, budget_then_fn *then)
{
    struct session_budget *budget = session->budget;

    if (!budget) {
        then(session, NULL);
        return;
    }
    budget->then = then;
    session->transaction->spending = gate_spending_new(budget->allowance);
    wait_for(session, gate_spend_try(budget->allowance, session->listener->loop, bytes, on_spent, session));
}

void budget_recipient(struct session *session, const char *recipient, budget_then_fn *then)
{
    struct gate_spending *spending = session->transaction->spending;

    if (!spending) {
        then(session, NULL);
        return;
    }
    session->budget->then = then;
    wait_for(session, gate_spend_recipient(spending, session->listener->loop, recipient, on_spent, session));
}

/* As the guard settled it (identity.c), and not as a policy may have named it. */
static const char *tenant_of(const struct message *message)
{
    return message_meta_get(message, "authz_tenants") ? json_string_value(message_meta_get(message, "tenant")) : NULL;
}

void budget_message(struct session *session, const struct message *message, budget_then_fn *then)
{
    struct gate_spending *spending = session->transaction->spending;

    if (!spending) {
        then(session, NULL);
        return;
    }
    session->budget->then = then;
    wait_for(session, gate_spend_message(spending, session->listener->loop, message_body_bytes(message),
                                         tenant_of(message), on_spent, session));
}

json_t *budget_watchers(const struct session *session)
{
    return session->budget ? gate_allowance_watchers(session->budget->allowance) : NULL;
}

/* ---- guessing recipients ---- */

static void answer_guessing(struct session *session, budget_then_fn *then)
{
    const struct session_budget *budget = session->budget;
    bool refuses = loop_now_ms(session->listener->loop) < budget->refuses_until_ms;
    struct smtp_reply refusal;

    if (refuses)
        refusal = budget->guessing;
    then(session, refuses ? &refusal : NULL);
}

static void on_counted(void *ctx, const struct gate_excess *excess)
{
    struct session *session = ctx;
    struct session_budget *budget = session->budget;

    budget->counting = NULL;
    if (excess) {
        say_excess(excess, &budget->guessing);
        budget->refuses_until_ms = loop_now_ms(session->listener->loop) + excess->retry_ms;
    }
    if (!budget->counting_is_awaited)
        return;
    budget->counting_is_awaited = false;
    session->waiting = WAITING_NOT;
    answer_guessing(session, budget->then);
    session_resume_soon(session);
}

void budget_note_refusal(struct session *session, int code)
{
    struct session_budget *budget = session->budget;
    struct gate_spend *counting;

    if (!budget || code < 500)
        return;
    MUST(!budget->counting); /* no recipient is looked at before the one before it is counted */
    counting = gate_spend_invalid(budget->allowance, session->listener->loop, on_counted, session);
    if (counting)
        budget->counting = counting;
}

void budget_check_guessing(struct session *session, budget_then_fn *then)
{
    struct session_budget *budget = session->budget;

    if (!budget) {
        then(session, NULL);
    } else if (budget->counting) {
        budget->then = then;
        budget->counting_is_awaited = true;
        session->waiting = WAITING_GATE;
    } else {
        answer_guessing(session, then);
    }
}
