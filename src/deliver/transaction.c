/* SPDX-License-Identifier: Apache-2.0
 *
 * One message: MAIL, RCPTs, DATA, end of data. Where the peer offers PIPELINING the commands
 * leave together and the replies are matched to them in order (RFC 2920); else one at a time.
 *
 * The awkward truth: once the end of data is on its way and no reply has come, nobody knows
 * whether the peer has the message. It is tried again, and may then arrive twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "deliver/deliver_private.h"

#define WINDOW 100 /* commands on the way before the first reply is waited for */

static size_t data_command(const struct transaction *transaction) { return transaction->count + 1; }

/* ---- replies that recipients share ---- */

static const struct smtp_reply *save(struct transaction *transaction, const struct smtp_reply *reply)
{
    struct saved_reply *last = transaction->replies;

    if (last && last->reply.code == reply->code && last->reply.enhanced_class == reply->enhanced_class &&
        last->reply.enhanced_subject == reply->enhanced_subject &&
        last->reply.enhanced_detail == reply->enhanced_detail && strcmp(last->reply.text, reply->text) == 0)
        return &last->reply;
    last = mem_alloc(sizeof *last);
    last->next = transaction->replies;
    last->reply = *reply;
    transaction->replies = last;
    return &last->reply;
}

static void decide(struct deliver_recipient *recipient, enum deliver_verdict verdict, const struct smtp_reply *reply,
                   const char *command)
{
    *recipient = (struct deliver_recipient){.verdict = verdict, .reply = reply, .command = command};
}

static void decide_rest(struct transaction *transaction, enum deliver_verdict verdict, const struct smtp_reply *reply,
                        const char *command)
{
    const struct smtp_reply *saved = save(transaction, reply);

    for (size_t i = 0; i < transaction->count; i++)
        if (!transaction->recipients[i].reply)
            decide(&transaction->recipients[i], verdict, saved, command);
}

/* ---- beginning and end ---- */

static struct transaction *transaction_new(struct message *message)
{
    struct transaction *transaction = mem_zalloc(sizeof *transaction);

    MUST(message_is_loaded(message));
    transaction->message = message;
    transaction->count = message_recipient_count(message);
    /* a message for nobody still needs one verdict */
    transaction->recipients = mem_zalloc((transaction->count + 1) * sizeof *transaction->recipients);
    transaction->is_8bit = body_is_8bit(message);
    transaction->is_utf8 = body_needs_utf8(message);
    return transaction;
}

static void transaction_free(struct transaction *transaction)
{
    while (transaction->replies) {
        struct saved_reply *next = transaction->replies->next;

        free(transaction->replies);
        transaction->replies = next;
    }
    free(transaction->recipients);
    free(transaction);
}

static bool all_share(const struct transaction *transaction)
{
    const struct deliver_recipient *first = &transaction->recipients[0];

    for (size_t i = 1; i < transaction->count; i++)
        if (transaction->recipients[i].reply != first->reply || transaction->recipients[i].verdict != first->verdict)
            return false;
    return true;
}

static const char *text_or_empty(const char *text) { return text ? text : ""; }

static void describe_peer(struct deliver_session *session, struct deliver_outcome *outcome)
{
    outcome->peer_name = walk_host(session)->name;
    memcpy(outcome->peer_address, session->peer_address, sizeof outcome->peer_address);
    memcpy(outcome->source_address, session->source_address, sizeof outcome->source_address);
    outcome->tls_cipher = text_or_empty(tls_cipher(session->socket));
    outcome->tls_protocol = text_or_empty(tls_protocol(session->socket));
    outcome->tls_peer_subject = text_or_empty(tls_peer_subject(session->socket));
}

void transaction_finish(struct deliver_session *session, enum deliver_verdict verdict, const struct smtp_reply *reply,
                        const char *command)
{
    struct transaction *transaction = session->transaction;
    const struct deliver_recipient *first = &transaction->recipients[0];
    struct deliver_outcome outcome = {0};

    session->transaction = NULL;
    if (verdict == DELIVER_UNTRIED) /* all of it is done anew, so what some were told does not count */
        memset(transaction->recipients, 0, transaction->count * sizeof *transaction->recipients);
    decide_rest(transaction, verdict, reply, command);
    if (transaction->count == 0)
        decide(&transaction->recipients[0], verdict, save(transaction, reply), command);
    outcome.verdict = first->verdict;
    outcome.reply = *first->reply;
    outcome.command = first->command;
    outcome.recipients = all_share(transaction) ? NULL : transaction->recipients;
    outcome.recipient_count = transaction->count;
    describe_peer(session, &outcome);
    session->telling++;
    session->handler->on_outcome(session->ctx, session, transaction->message, &outcome);
    session->telling--;
    transaction_free(transaction);
}

bool transaction_is_untouched(const struct deliver_session *session)
{
    return session->transaction->answered == 0 && session->state == STATE_MAIL;
}

/* The conversation about this message is over; the connection is good for the next one. */
static void go_on(struct deliver_session *session, bool must_reset)
{
    if (session->state == STATE_ENDED)
        return;
    session->done++;
    if (!must_reset)
        session_ready(session);
    else if (session_send(session, "RSET\r\n") == 0)
        deliver_session_enter(session, STATE_RSET);
}

/* ---- the envelope ---- */

static int send_mail(struct deliver_session *session)
{
    const struct transaction *transaction = session->transaction;
    const struct smtp_capabilities *peer = &session->capabilities;
    char size[40] = "";

    if (peer->size)
        snprintf(size, sizeof size, " SIZE=%zu", message_body_bytes(transaction->message));
    return session_send(session, "MAIL FROM:<%s>%s%s%s\r\n", message_sender(transaction->message), size,
                        transaction->is_8bit ? " BODY=8BITMIME" : "", transaction->is_utf8 ? " SMTPUTF8" : "");
}

static int send_command(struct deliver_session *session)
{
    struct transaction *transaction = session->transaction;
    size_t command = transaction->sent++;

    if (command == 0)
        return send_mail(session);
    if (command == data_command(transaction))
        return session_send(session, "DATA\r\n");
    return session_send(session, "RCPT TO:<%s>\r\n", message_recipient(transaction->message, command - 1));
}

/* Would the next command still make sense, as far as is known? */
static bool has_command(const struct transaction *transaction)
{
    if (transaction->sent == 0)
        return true;
    if (transaction->answered > 0 && !transaction->mail_accepted)
        return false;
    if (transaction->sent < data_command(transaction))
        return true;
    return transaction->sent == data_command(transaction) &&
           (transaction->accepted > 0 || transaction->answered < data_command(transaction));
}

static enum deliver_state state_of_command(const struct transaction *transaction, size_t command)
{
    if (command == 0)
        return STATE_MAIL;
    return command == data_command(transaction) ? STATE_DATA : STATE_RCPT;
}

/* Sends what the window allows. False when the connection broke. */
static bool send_envelope(struct deliver_session *session)
{
    struct transaction *transaction = session->transaction;
    size_t window = session->capabilities.pipelining ? WINDOW : 1;

    while (has_command(transaction) && transaction->sent - transaction->answered < window)
        if (send_command(session))
            return false;
    return true;
}

void transaction_start(struct deliver_session *session, struct message *message)
{
    struct smtp_reply reply;

    session->transaction = transaction_new(message);
    if (outcome_forbids(session->transaction, &session->capabilities, &reply)) {
        transaction_finish(session, DELIVER_PERMANENT, &reply, "");
        return;
    }
    deliver_session_enter(session, STATE_MAIL);
    send_envelope(session);
}

size_t transaction_expected(const struct deliver_session *session)
{
    const struct transaction *transaction = session->transaction;

    return session->state == STATE_DOT ? 1 : transaction->sent - transaction->answered;
}

/* ---- replies ---- */

/* All that was sent is answered, and nothing is left to send: DATA was not accepted. */
static void envelope_over(struct deliver_session *session, const struct smtp_reply *reply)
{
    bool must_reset = session->transaction->mail_accepted;

    transaction_finish(session, outcome_of_reply(reply), reply, "DATA");
    go_on(session, must_reset);
}

static void on_mail_reply(struct transaction *transaction, const struct smtp_reply *reply)
{
    transaction->mail_accepted = smtp_reply_is_success(reply);
    if (!transaction->mail_accepted)
        decide_rest(transaction, outcome_of_reply(reply), reply, "MAIL FROM");
}

static void on_rcpt_reply(struct transaction *transaction, size_t index, const struct smtp_reply *reply)
{
    if (!transaction->mail_accepted)
        return; /* refused as a whole already */
    if (smtp_reply_is_success(reply))
        transaction->accepted++;
    else
        decide(&transaction->recipients[index], outcome_of_rcpt_reply(reply), save(transaction, reply), "RCPT TO");
}

/* 354: the text may follow. If it is for nobody (all were refused while DATA was under way)
 * an empty one follows, whose fate does not matter. */
static void on_go_ahead(struct deliver_session *session)
{
    if (session->transaction->accepted > 0)
        body_send(session);
    else if (session_send(session, ".\r\n") == 0)
        deliver_session_enter(session, STATE_DOT);
}

static void on_envelope_reply(struct deliver_session *session, const struct smtp_reply *reply)
{
    struct transaction *transaction = session->transaction;
    size_t command = transaction->answered;
    bool is_data = command == data_command(transaction);

    if ((reply->code >= 300 && reply->code < 400) != is_data && reply->code < 400) {
        session_lost_because(session, "the server's reply was out of place");
        return;
    }
    transaction->answered++;
    if (is_data && reply->code < 400) {
        on_go_ahead(session);
        return;
    }
    if (command == 0)
        on_mail_reply(transaction, reply);
    else if (!is_data)
        on_rcpt_reply(transaction, command - 1, reply);
    if (!send_envelope(session))
        return;
    if (transaction->answered == transaction->sent)
        envelope_over(session, reply);
    else
        deliver_session_enter(session, state_of_command(transaction, transaction->answered));
}

static void on_dot_reply(struct deliver_session *session, const struct smtp_reply *reply)
{
    if (reply->code >= 300 && reply->code < 400) {
        session_lost_because(session, "the server's reply was out of place");
        return;
    }
    transaction_finish(session, outcome_of_reply(reply), reply, ".");
    go_on(session, false);
}

/* A reply before the end of data was sent: a refusal counts, but the connection is in the
 * middle of a text and of no more use. Nothing can have been accepted yet. */
static void on_early_reply(struct deliver_session *session, const struct smtp_reply *reply)
{
    if (reply->code < 400) {
        session_lost_because(session, "the server answered before the end of data");
        return;
    }
    transaction_finish(session, outcome_of_reply(reply), reply, ".");
    if (session->state == STATE_ENDED)
        return;
    session->done++;
    session_end(session, DELIVER_END_SPENT, reply);
}

void transaction_on_reply(struct deliver_session *session, const struct smtp_reply *reply)
{
    switch (session->state) {
    case STATE_RSET:
        if (smtp_reply_is_success(reply))
            session_ready(session);
        else
            session_lost(session, reply);
        break;
    case STATE_BODY:
        on_early_reply(session, reply);
        break;
    case STATE_DOT:
        on_dot_reply(session, reply);
        break;
    default:
        on_envelope_reply(session, reply);
    }
}
