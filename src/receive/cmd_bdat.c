/* SPDX-License-Identifier: Apache-2.0
 *
 * BDAT (RFC 3030): a chunk of announced length, taken as it is. The awkward truth: a client
 * that pipelines has sent the chunk's bytes before it hears whether BDAT is welcome, so they
 * are read and dropped even where it is refused. Never are they read as commands.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "receive/receive_private.h"
#include "receive/transaction.h"

/* A chunk without a transaction has to be eaten too; it hangs on the session. */
static void end_dropped(struct session *session)
{
    struct smtp_reply reply = *session->chunk_refusal;

    free(session->chunk_refusal);
    session->chunk_refusal = NULL;
    /* after a chunk was refused the message can no more become whole */
    session_drop_transaction(session);
    session_reply(session, &reply, SESSION_COMMAND);
}

static void end_chunk(struct session *session)
{
    session_enter(session, SESSION_COMMAND);
    if (session->chunk_refusal) {
        end_dropped(session);
    } else if (session->transaction->chunk_is_last) {
        session_end_of_data(session);
    } else {
        session_replyf(session, 250, "2.0.0 chunk received");
    }
}

static void refuse_chunk(struct session *session, int code, const char *text)
{
    if (session->chunk_refusal)
        return;
    session->chunk_refusal = mem_alloc(sizeof *session->chunk_refusal);
    smtp_reply_set(session->chunk_refusal, code, span_of(text));
}

static void keep_bytes(struct session *session, struct span bytes)
{
    struct transaction *transaction = session->transaction;

    if (buf_append_span(&transaction->body, bytes))
        refuse_chunk(session, 452, "4.3.1 no memory for the message");
    else if (!transaction_charge(transaction))
        refuse_chunk(session, 452, "4.3.1 too much mail is coming in just now; try again later");
}

size_t session_take_chunk(struct session *session, struct span input)
{
    struct span bytes = span_head(input, (size_t)(session->chunk_left < input.len ? session->chunk_left : input.len));

    session->chunk_left -= bytes.len;
    if (session->transaction)
        session->transaction->data_bytes += bytes.len; /* also of what is dropped: it comes fast enough */
    if (!session->chunk_refusal)
        keep_bytes(session, bytes);
    if (session->chunk_left == 0)
        end_chunk(session);
    return bytes.len;
}

static void judge_chunk(struct session *session, uint64_t size, bool last)
{
    struct transaction *transaction = session->transaction;
    uint64_t limit = session->connection->params->max_message_size;

    if (!transaction) {
        refuse_chunk(session, 503, "5.5.1 MAIL comes first");
    } else if (transaction->recipient_count == 0) {
        refuse_chunk(session, 554, "5.5.1 no valid recipients");
    } else if (size > limit || buf_len(&transaction->body) > limit - size) {
        refuse_chunk(session, 552, "5.3.4 the message is too big");
    } else {
        if (!transaction->uses_bdat)
            transaction->data_began_ms = loop_now_ms(session->listener->loop);
        transaction->uses_bdat = true;
        transaction->chunk_is_last = last;
    }
}

void session_chunk_unknown(struct session *session)
{
    session_replyf_close(session, 501, "5.5.4 BDAT needs a size, and may have LAST");
}

void cmd_bdat(struct session *session, const struct smtp_command *command)
{
    uint64_t size;
    bool last;

    if (smtp_bdat_parse(command->args, &size, &last)) {
        session_chunk_unknown(session);
        return;
    }
    judge_chunk(session, size, last);
    session->chunk_left = size;
    session->chunk_began_ms = loop_now_ms(session->listener->loop);
    if (size == 0)
        end_chunk(session);
    else
        session_enter(session, SESSION_BDAT);
}
