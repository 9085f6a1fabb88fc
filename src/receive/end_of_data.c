/* SPDX-License-Identifier: Apache-2.0
 *
 * From the last byte of a message to its answer: checks, policy's events in their order, a
 * second look at whether it may be relayed, and the hand-over to the house. The client is told
 * 250 when the house has said that everything is safe, and not before; one refusal refuses the
 * whole transaction. Whatever the answer, the transaction is empty after it.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "receive/budget.h"
#include "receive/end_of_data.h"
#include "receive/identity.h"
#include "receive/limits.h"

#define MESSAGE_CLASS "message" /* policy/modules/mod_message_private.h */
#define IDS_BYTES ((size_t)8 * 1024 * 1024)

static void advance(struct session *session);

/* ---- life of a reception ---- */

static void free_list(struct list *messages)
{
    struct list_node *node;

    while ((node = list_take_first(messages)))
        message_free(message_of_link(node));
}

static struct receive_reception *reception_new(struct session *session, timer_fn *on_late)
{
    struct receive_reception *reception = mem_zalloc(sizeof *reception);

    reception->session = session;
    reception->connection = receive_connection_ref(session->connection);
    list_init(&reception->pending);
    list_init(&reception->accepted);
    buf_init(&reception->ids, IDS_BYTES);
    timer_init(&reception->processing, session->listener->loop, on_late, session);
    return reception;
}

static void reception_free(struct receive_reception *reception)
{
    gate_spending_end(&reception->spending, false);
    timer_stop(&reception->processing);
    message_free(reception->message);
    free_list(&reception->pending);
    free_list(&reception->accepted);
    buf_done(&reception->ids);
    limits_give_bytes(reception->charged_bytes);
    receive_connection_unref(&reception->connection);
    free(reception);
}

void session_abandon_reception(struct session *session)
{
    struct receive_reception *reception = session->reception;

    if (!reception)
        return;
    session->reception = NULL;
    if (reception->is_storing)
        reception->session = NULL; /* it becomes safe, and nobody is told */
    else
        reception_free(reception);
}

struct receive_connection *receive_reception_connection(struct receive_reception *reception)
{
    return reception->connection;
}

/* ---- the answer ---- */

static void empty_transaction(struct session *session)
{
    session_drop_transaction(session);
    session_enter(session, SESSION_COMMAND);
    if (session->listener->stopping)
        session_say_goodbye(session);
}

static void refuse(struct session *session, const struct smtp_reply *reply)
{
    session_abandon_reception(session);
    session_reply_then(session, reply, empty_transaction);
}

static void refusef(struct session *session, int code, const char *text)
{
    struct smtp_reply reply;

    smtp_reply_set(&reply, code, span_of(text));
    refuse(session, &reply);
}

/* A policy that says no, or fails: true, and the transaction is over. */
static bool is_refused(struct session *session, const struct policy_result *result)
{
    if (result->outcome == POLICY_UNHANDLED || result->outcome == POLICY_RETURNED)
        return false;
    if (result->outcome == POLICY_REJECTED) {
        refuse(session, &result->reply);
    } else if (result->outcome == POLICY_DISCONNECT) {
        session_abandon_reception(session);
        (void)session_refused(session, result);
    } else {
        refusef(session, 451, "4.3.0 the server cannot decide about this now; try again later");
    }
    return true;
}

static void confirm(struct session *session)
{
    struct receive_reception *reception = session->reception;
    struct buf ids = reception->ids;

    buf_init(&reception->ids, IDS_BYTES);
    session_abandon_reception(session);
    session->junk_commands = 0;
    session->idle_commands = 0;
    session->then_reply = empty_transaction;
    session_reply_text(session, 250, buf_span(&ids));
    buf_done(&ids);
}

/* ---- storing ---- */

void receive_stored(struct receive_reception *reception, const struct smtp_reply *failure)
{
    struct session *session = reception->session;

    MUST(reception->is_storing);
    reception->is_storing = false;
    gate_spending_end(&reception->spending, !failure);
    if (!session) {
        reception_free(reception);
        return;
    }
    MUST(session->waiting == WAITING_STORE);
    session->waiting = WAITING_NOT;
    if (failure)
        refuse(session, failure);
    else
        confirm(session);
    session_resume_soon(session);
}

static void store(struct session *session)
{
    struct receive_reception *reception = session->reception;
    const struct receive_listener *listener = session->listener;
    struct list messages;

    timer_stop(&reception->processing);
    if (session->is_dismissed) {
        session_say_dismissed(session);
        return;
    }
    if (list_is_empty(&reception->accepted)) {
        gate_spending_end(&session->transaction->spending, true);
        confirm(session);
        return;
    }
    reception->spending = session->transaction->spending;
    session->transaction->spending = NULL;
    list_init(&messages);
    list_splice(&messages, &reception->accepted);
    reception->is_storing = true;
    session->waiting = WAITING_STORE;
    listener->ops->store(listener->ctx, reception, &messages);
}

/* ---- message by message ---- */

static void on_relay(struct session *session, enum relay_verdict verdict, const struct smtp_reply *reply)
{
    struct receive_reception *reception = session->reception;

    if (verdict == RELAY_ANSWERED) {
        refuse(session, reply);
        return;
    }
    if (verdict == RELAY_ALLOWED) {
        list_push_back(&reception->accepted, message_link(reception->message));
    } else {
        /* what policy made of it may not go where it would: taken, and not sent on */
        diag(DIAG_INFO, &session->scope, "message %s is not to be relayed: dropped", message_id(reception->message));
        message_free(reception->message);
    }
    reception->message = NULL;
    advance(session);
}

static void on_shown(struct session *session, const struct policy_result *result)
{
    struct receive_reception *reception = session->reception;
    struct error error;

    if (is_refused(session, result))
        return;
    if (reception->connection->params->trace_supplemental && reception_add_supplemental(reception, &error)) {
        diag_error(&session->scope, &error, "cannot add the supplemental trace header");
        refusef(session, 451, "4.3.0 the message cannot be prepared now; try again later");
        return;
    }
    relay_check(session, address_domain(span_of(message_sender(reception->message))),
                message_recipient_domain(reception->message), on_relay);
}

/* ---- smtp_server_data(msg, conn_meta), ..._split_transaction, ..._message_received ---- */

static int push_message(lua_State *L, void *ctx)
{
    struct session *session = ctx;

    policy_push_object(L, MESSAGE_CLASS, session->reception->message);
    return 1 + session_push_connection(L, session);
}

/* Every message will have a body of its own, since each gets a trace header of its own. */
static bool charge(struct receive_reception *reception)
{
    uint64_t bytes = message_body_bytes(reception->message);

    if (!limits_take_bytes(bytes))
        return false;
    reception->charged_bytes += bytes;
    return true;
}

static void show_next(struct session *session)
{
    struct receive_reception *reception = session->reception;
    bool first = buf_len(&reception->ids) == 0;
    struct smtp_reply refusal;

    reception->message = message_of_link(list_take_first(&reception->pending));
    /* again: headers were removed since, and policy may have put another text there */
    if (reception_check_first_line(bytes_span(message_body(reception->message)), &refusal)) {
        refuse(session, &refusal);
        return;
    }
    if (!charge(reception)) {
        refusef(session, 452, "4.3.1 too much mail is coming in just now; try again later");
        return;
    }
    if (buf_appendf(&reception->ids, "%s%s", first ? "OK ids=" : " ", message_id(reception->message)) ||
        reception_add_trace(reception)) {
        refusef(session, 452, "4.3.1 no memory for the message");
        return;
    }
    session_ask(session, POLICY_EVENT_SMTP_MESSAGE_RECEIVED, push_message, on_shown);
}

/* A handler that does not wait is done before its call returns: going on from there would nest
 * as deep as there are recipients. So whoever is done only says so, and this loop goes on. */
static void advance(struct session *session)
{
    struct receive_reception *reception = session->reception;

    reception->advance_wanted = true;
    if (reception->is_advancing)
        return;
    while (session->reception == reception && reception->advance_wanted) {
        reception->advance_wanted = false;
        reception->is_advancing = true;
        if (list_is_empty(&reception->pending)) {
            store(session);
            return;
        }
        show_next(session);
        if (session->reception == reception)
            reception->is_advancing = false;
    }
}

static void on_split(struct session *session, const struct policy_result *result)
{
    struct error error;

    if (is_refused(session, result))
        return;
    if (reception_split(session->reception, result, &error)) {
        diag_error(&session->scope, &error, "smtp_server_split_transaction");
        refusef(session, 451, "4.3.0 the server cannot decide about this now; try again later");
        return;
    }
    advance(session);
}

static void on_data(struct session *session, const struct policy_result *result)
{
    if (is_refused(session, result))
        return;
    if (message_recipient_count(session->reception->message) == 0) {
        refusef(session, 451, "4.3.0 the message was left without recipients");
        return;
    }
    session_ask(session, POLICY_EVENT_SMTP_SPLIT_TRANSACTION, push_message, on_split);
}

static void on_late(void *ctx)
{
    struct session *session = ctx;

    session_cancel_ask(session);
    session->waiting = WAITING_NOT;
    diag(DIAG_WARN, &session->scope, "data_processing_timeout exceeded");
    refusef(session, 451, "4.4.5 data_processing_timeout exceeded");
    session_resume_soon(session);
}

static void on_budget(struct session *session, const struct smtp_reply *refusal)
{
    if (refusal) {
        refuse(session, refusal);
        return;
    }
    timer_start(&session->reception->processing, session->connection->params->data_processing_timeout_ms);
    session_ask(session, POLICY_EVENT_SMTP_DATA, push_message, on_data);
}

void session_end_of_data(struct session *session)
{
    struct smtp_reply refusal;

    session_set_command(session, SPAN_LIT("DATA"));
    session->reception = reception_new(session, on_late);
    if (reception_make_message(session->reception, session->transaction, &refusal) ||
        identity_judge_message(session, session->reception->message, &refusal)) {
        refuse(session, &refusal);
        return;
    }
    budget_message(session, session->reception->message, on_budget);
}
