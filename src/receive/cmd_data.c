/* SPDX-License-Identifier: Apache-2.0
 *
 * DATA (RFC 5321, section 4.1.1.4): the text up to the one true end, un-stuffed into the
 * transaction's body. What is wrong with the text is said at its end, when the client listens
 * again; what is too big is read and dropped until then.
 */
#include "receive/receive_private.h"
#include "receive/transaction.h"

size_t session_take_data(struct session *session, struct span input)
{
    struct transaction *transaction = session->transaction;
    size_t used = input.len;
    enum smtp_data_progress progress = smtp_data_decode(&transaction->decoder, input, &transaction->body, &used);

    transaction->data_bytes += used;
    transaction_charge(transaction);
    if (progress == SMTP_DATA_DONE) {
        session_enter(session, SESSION_COMMAND);
        session_end_of_data(session);
    }
    return used;
}

void cmd_data(struct session *session, const struct smtp_command *command)
{
    struct transaction *transaction = session->transaction;
    struct smtp_reply reply;

    (void)command;
    if (transaction->uses_bdat) {
        session_junk(session, 503, "5.5.1 BDAT has begun this message");
        return;
    }
    if (transaction->recipient_count == 0) {
        session_junk(session, 554, "5.5.1 no valid recipients");
        return;
    }
    transaction->data_began_ms = loop_now_ms(session->listener->loop);
    smtp_reply_set(&reply, 354, SPAN_LIT("send the message; end it with a dot on a line of its own"));
    session_reply(session, &reply, SESSION_DATA);
}
