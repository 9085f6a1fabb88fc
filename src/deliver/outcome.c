/* SPDX-License-Identifier: Apache-2.0
 *
 * What a failure means, and for whom: one recipient, one message, or the whole site. All
 * such judgement is in this file.
 *
 * A reply to RCPT speaks for the recipient, one to MAIL, DATA or end of data for the message,
 * and one before the first MAIL for the host. A host that refuses all mail for good (a 5xx
 * greeting) says nothing about the other hosts of the site; only when all that were reached
 * say so, and none was out of reach, is the mail bounced. Our credentials being refused is
 * our operator's affair, and never bounces anything.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "deliver/deliver_private.h"

enum deliver_verdict outcome_of_reply(const struct smtp_reply *reply)
{
    if (smtp_reply_is_success(reply))
        return DELIVER_OK;
    return smtp_reply_is_permanent(reply) ? DELIVER_PERMANENT : DELIVER_TRANSIENT;
}

/* Some servers say 552 for "too many recipients" (RFC 5321, section 4.5.3.1.10), which the
 * next attempt mends; a full mailbox (5.2.2) it does not. */
enum deliver_verdict outcome_of_rcpt_reply(const struct smtp_reply *reply)
{
    bool too_many = reply->code == 552 &&
                    (reply->enhanced_class == 0 || (reply->enhanced_subject == 5 && reply->enhanced_detail == 3));

    return too_many ? DELIVER_TRANSIENT : outcome_of_reply(reply);
}

/* RFC 3463's 5.1.* but for what is about the sender's address or the way (5.1.7 to 5.1.9). Where the peer has no such
 * codes, what RFC 5321 has for mailboxes, and only of RCPT: elsewhere they mean anything. */
bool deliver_refutes_recipient(const struct smtp_reply *reply, const char *command)
{
    int detail = reply->enhanced_detail;

    if (!smtp_reply_is_permanent(reply))
        return false;
    if (reply->enhanced_class)
        return reply->enhanced_class == 5 && reply->enhanced_subject == 1 && detail != 5 && (detail < 7 || detail > 9);
    return !strcmp(command, "RCPT TO") && (reply->code == 550 || reply->code == 551 || reply->code == 553);
}

const struct smtp_reply *deliver_reply_to_waiting(const struct deliver_outcome *outcome)
{
    for (size_t i = 0; outcome->recipients && i < outcome->recipient_count; i++)
        if (outcome->recipients[i].verdict == DELIVER_TRANSIENT)
            return outcome->recipients[i].reply;
    return &outcome->reply;
}

bool outcome_closes(const struct smtp_reply *reply) { return reply->code == 421; }

/* ---- the site ---- */

static bool is_refusal(enum deliver_state state, const struct smtp_reply *reply)
{
    return smtp_reply_is_permanent(reply) && (state == STATE_BANNER || state == STATE_EHLO || state == STATE_HELO);
}

void outcome_note_site(struct site_reason *reason, enum deliver_state state, const struct smtp_reply *reply)
{
    bool refusal = is_refusal(state, reply);

    if (refusal && reason->reply && !reason->is_refusal)
        return; /* there was hope, and this does not take it away */
    if (!reason->reply)
        reason->reply = mem_alloc(sizeof *reply);
    *reason->reply = *reply;
    reason->is_refusal = refusal;
}

void outcome_of_walk(const struct walk *walk, struct smtp_reply *reply_out)
{
    const struct smtp_reply *reply = walk->reason.reply;

    if (walk->saw_ourselves && walk->tries == 0)
        smtp_reply_setf(reply_out, 554, "5.4.6 mail for this domain loops back to this server");
    else if (reply && smtp_reply_is_permanent(reply) && !walk->reason.is_refusal)
        smtp_reply_setf(reply_out, 451, "4.4.0 no host could be used; the last said: %d %s", reply->code, reply->text);
    else if (reply)
        *reply_out = *reply;
    else if (walk->saw_other_family)
        smtp_reply_setf(reply_out, 451, "4.4.4 no host has an address of the source address's family");
    else if (walk->saw_skipped)
        smtp_reply_setf(reply_out, 550, "5.4.4 every host of this domain is to be skipped");
    else
        smtp_reply_setf(reply_out, 451, "4.4.4 no host of this domain has an address");
}

/* ---- the message ---- */

/* A mailbox that would end the command it stands in must never be sent. */
static bool is_sendable(const char *mailbox, size_t limit)
{
    size_t len = 0;

    for (; mailbox[len]; len++)
        if ((unsigned char)mailbox[len] < 0x20 || mailbox[len] == 0x7f || len > limit)
            return false;
    return true;
}

#define MAILBOX_LIMIT 1024

static bool has_unsendable_recipient(const struct message *message)
{
    for (size_t i = 0; i < message_recipient_count(message); i++)
        if (!is_sendable(message_recipient(message, i), MAILBOX_LIMIT))
            return true;
    return false;
}

bool outcome_forbids(const struct transaction *transaction, const struct smtp_capabilities *capabilities,
                     struct smtp_reply *reply_out)
{
    const struct message *message = transaction->message;
    size_t bytes = message_body_bytes(message);

    if (transaction->count == 0)
        smtp_reply_setf(reply_out, 554, "5.5.1 the message has no recipient");
    else if (!is_sendable(message_sender(message), MAILBOX_LIMIT))
        smtp_reply_setf(reply_out, 553, "5.1.7 the sender's address cannot be sent");
    else if (has_unsendable_recipient(message))
        smtp_reply_setf(reply_out, 553, "5.1.3 a recipient's address cannot be sent");
    else if (capabilities->size && capabilities->size_limit > 0 && bytes > capabilities->size_limit)
        smtp_reply_setf(reply_out, 552, "5.3.4 the message has %zu octets, the server takes %llu", bytes,
                        (unsigned long long)capabilities->size_limit);
    else if (transaction->is_utf8 && !capabilities->smtputf8)
        smtp_reply_setf(reply_out, 550, "5.6.7 the message needs SMTPUTF8, which the server does not offer");
    else if (transaction->is_8bit && !capabilities->eightbitmime)
        smtp_reply_setf(reply_out, 554, "5.6.3 the message is 8-bit, which the server does not take");
    else
        return false;
    return true;
}
