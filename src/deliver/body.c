/* SPDX-License-Identifier: Apache-2.0
 *
 * The text of a message on its way out, a piece at a time as the peer takes it: what waits in
 * the socket stays small however large the message is.
 */
#include "base/must.h"
#include "deliver/deliver_private.h"

#define PIECE_BYTES 32768
#define WAITING_BYTES 65536 /* in the socket, before we wait for it to drain */

static struct span text_of(const struct message *message) { return bytes_span(message_body(message)); }

bool body_is_8bit(const struct message *message) { return !span_is_ascii(text_of(message)); }

/* Whoever sent it said SMTPUTF8; what counts is whether anything in envelope or header makes
 * that necessary (RFC 6531, section 3.5 leaves the choice to us). */
bool body_needs_utf8(const struct message *message)
{
    struct span text = text_of(message);
    const char *end;

    if (!span_is_ascii(span_of(message_sender(message))))
        return true;
    for (size_t i = 0; i < message_recipient_count(message); i++)
        if (!span_is_ascii(span_of(message_recipient(message, i))))
            return true;
    if (!message_is_smtputf8(message) || text.len == 0)
        return false;
    end = memmem(text.data, text.len, "\r\n\r\n", 4);
    return !span_is_ascii(span_head(text, end ? (size_t)(end - text.data) : text.len));
}

/* Encodes and sends the next piece, and the end behind the last. */
static int send_piece(struct deliver_session *session)
{
    struct transaction *transaction = session->transaction;
    struct span rest = span_from(text_of(transaction->message), transaction->encoded);
    struct span piece = span_head(rest, PIECE_BYTES);
    struct buf out;
    int status;

    buf_init(&out, 2 * PIECE_BYTES + 8);
    status = piece.len > 0 ? smtp_data_encode(&transaction->encoder, piece, &out) : 0;
    if (status == 0 && piece.len == rest.len)
        status = smtp_data_encode_end(&transaction->encoder, &out);
    if (status == 0)
        status = socket_write(session->socket, buf_span(&out).data, buf_len(&out));
    if (status == 0)
        transaction->encoded += piece.len;
    buf_done(&out);
    return status;
}

void body_send(struct deliver_session *session)
{
    size_t len = text_of(session->transaction->message).len;
    bool is_whole = false;

    deliver_session_enter(session, STATE_BODY);
    while (!is_whole && socket_unsent_bytes(session->socket) < WAITING_BYTES) {
        is_whole = len - session->transaction->encoded <= PIECE_BYTES;
        if (send_piece(session)) {
            session_lost_because(session, "the connection broke");
            return;
        }
    }
    if (is_whole)
        deliver_session_enter(session, STATE_DOT);
}
