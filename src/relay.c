/* SPDX-License-Identifier: Apache-2.0
 *
 * A client connects and we receive its mail; the spool makes it safe, the queue gives it a
 * turn, and we deliver it onward. Read from top to bottom this file is that sentence: each
 * step is one small function that hands the message to the next room. Ownership travels
 * with the message from thread to thread, and no lock is held while it does.
 */
#include "relay.h"

#include "gate/budget.h"
#include "journal.h"
#include "log/diag.h"
#include "log/record.h"
#include "metrics/metrics.h"
#include "relay_private.h"

/* ---- a client wants to send: may it? ---- */

static bool may_receive(void *ctx, struct smtp_reply *why_not_out)
{
    struct worker *worker = ctx;

    if (atomic_load(&worker->relay->stopping))
        smtp_reply_setf(why_not_out, 421, "4.3.2 shutting down, try again later");
    else if (!spool_accepts(worker->relay->spool))
        smtp_reply_setf(why_not_out, 452, "4.3.1 no room to keep mail, try again later");
    else if (!record_accepts())
        smtp_reply_setf(why_not_out, 452, "4.3.1 the log is full, try again later");
    else
        return true;
    return false;
}

/* ---- its mail is here: make it safe ---- */

static void on_safe(void *ctx, struct worker *worker, struct list *messages, const struct error *error);

static void on_received(void *ctx, struct receive_reception *reception, struct list *messages)
{
    safekeeping_keep(ctx, messages, on_safe, reception);
}

static void refuse(struct receive_reception *reception, struct list *messages, const struct error *error)
{
    struct smtp_reply reply;
    struct message *message;

    diag_error(NULL, error, "mail could not be spooled");
    smtp_reply_setf(&reply, error->kind == ERROR_AGAIN ? 452 : 451, "4.3.0 mail could not be stored, try again later");
    receive_stored(reception, &reply);
    while ((message = relay_take_message(messages)))
        message_free(message);
}

/* It is on stable storage, or it is not: only now is the client told. */
static void on_safe(void *ctx, struct worker *worker, struct list *messages, const struct error *error)
{
    struct receive_reception *reception = ctx;

    if (error) {
        refuse(reception, messages, error);
        return;
    }
    for (struct list_node *node = list_first(messages); node; node = list_next(messages, node))
        journal_reception(message_of_link(node), receive_reception_connection(reception));
    metrics_add(METRIC_SMTPD_MESSAGES, (int64_t)messages->count);
    receive_stored(reception, NULL);
    turns_insert(worker, messages);
}

static void on_rejected(void *ctx, const struct receive_rejection *rejection)
{
    (void)ctx;
    journal_rejection(rejection);
}

/* ---- it waits its turn ---- */

static void on_turn(void *ctx, struct queue_ready *ready, uint64_t connection, struct route_plan *plan)
{
    (void)ready;
    connections_open(ctx, connection, plan);
}

static void on_given(void *ctx, uint64_t connection, struct list *messages)
{
    connections_give(ctx, connection, messages);
}

static void on_enough(void *ctx, uint64_t connection) { connections_finish(ctx, connection); }

static void on_wanted_back(void *ctx, struct message *message) { safekeeping_fetch(ctx, message); }

static void on_changed(void *ctx, struct message *message) { safekeeping_save(ctx, message); }

/* ---- it has been tried ---- */

static void count(enum deliver_verdict verdict)
{
    metrics_count(verdict == DELIVER_OK          ? METRIC_SMTPC_MESSAGES_DELIVERED
                  : verdict == DELIVER_PERMANENT ? METRIC_SMTPC_MESSAGES_FAILED
                                                 : METRIC_SMTPC_MESSAGES_TRANSIENT);
}

/* What delivery finds out about recipients is held against who wrote to them. A message that was put off to disk has
 * its metadata again before it is tried. */
static void note_invalid(const struct message *message, size_t recipients)
{
    if (recipients && message_is_loaded(message))
        gate_budget_note_invalid(message_meta_get(message, GATE_WATCHERS_META), recipients);
}

/* Recipients that fared differently: those that are settled leave the message, the others stay
 * in it. True when none stays. */
static bool settle_each(struct message *message, const struct route_plan *plan, const struct deliver_outcome *outcome)
{
    struct message *before = message_fork(message);
    size_t left = 0, invalid = 0;

    for (size_t i = 0; i < outcome->recipient_count; i++)
        message_add_recipient(before, span_of(message_recipient(message, i)));
    message_clear_recipients(message);
    for (size_t i = 0; i < outcome->recipient_count; i++) {
        const struct deliver_recipient *recipient = &outcome->recipients[i];
        struct deliver_outcome own = *outcome;

        own.verdict = recipient->verdict;
        own.reply = *recipient->reply;
        own.command = recipient->command;
        journal_outcome(message, message_recipient(before, i), plan, &own);
        count(recipient->verdict);
        invalid += deliver_refutes_recipient(recipient->reply, recipient->command);
        if (recipient->verdict == DELIVER_TRANSIENT) {
            message_add_recipient(message, span_of(message_recipient(before, i)));
            left++;
        }
    }
    note_invalid(message, invalid);
    message_free(before);
    return left == 0;
}

static bool settle_all(const struct message *message, const struct route_plan *plan,
                       const struct deliver_outcome *outcome)
{
    journal_outcome(message, NULL, plan, outcome);
    count(outcome->verdict);
    if (outcome->verdict == DELIVER_PERMANENT && deliver_refutes_recipient(&outcome->reply, outcome->command))
        note_invalid(message, message_recipient_count(message));
    return outcome->verdict != DELIVER_TRANSIENT;
}

bool relay_settle(struct relay *relay, struct message *message, const struct route_plan *plan,
                  const struct deliver_outcome *outcome)
{
    bool settled;

    if (outcome->verdict == DELIVER_UNTRIED)
        return false;
    message_set_attempts(message, message_attempts(message) + 1);
    settled = outcome->recipients ? settle_each(message, plan, outcome) : settle_all(message, plan, outcome);
    /* a crash before the spool's mark is on disk sends the message twice, and loses nothing */
    if (settled)
        safekeeping_forget(relay, message);
    return settled;
}

/* ---- or it will not be tried any more ---- */

static void on_given_up(void *ctx, struct message *message, const struct smtp_reply *reply, bool expired)
{
    struct turns *turns = ctx;

    if (!expired && deliver_refutes_recipient(reply, ""))
        note_invalid(message, message_recipient_count(message));
    journal_given_up(message, reply, expired);
    metrics_count(METRIC_SMTPC_MESSAGES_FAILED);
    safekeeping_forget(turns->relay, message);
}

static void on_put_off(void *ctx, const struct message *message, const struct smtp_reply *reply)
{
    (void)ctx;
    journal_put_off(message, reply);
}

static void on_discarded(void *ctx, struct message *message)
{
    struct turns *turns = ctx;

    safekeeping_forget(turns->relay, message);
}

/* ---- the doors' tables ---- */

const struct receive_ops *relay_receive_ops(void)
{
    static const struct receive_ops ops = {
        .accepts = may_receive,
        .store = on_received,
        .rejected = on_rejected,
    };

    return &ops;
}

const struct queue_ops *relay_queue_ops(void)
{
    static const struct queue_ops ops = {
        .connect = on_turn,
        .give = on_given,
        .finish = on_enough,
        .load = on_wanted_back,
        .save = on_changed,
        .bounce = on_given_up,
        .delayed = on_put_off,
        .discard = on_discarded,
    };

    return &ops;
}
