/* SPDX-License-Identifier: Apache-2.0
 *
 * What the peer says, one whole reply at a time, under a ceiling. A peer that says more than
 * it was asked is not trusted any further: the surplus would be taken for the answer to the
 * next command.
 */
#include "deliver/deliver_private.h"

#define READ_BYTES 4096

static size_t expected_replies(const struct deliver_session *session)
{
    return session->transaction ? transaction_expected(session) : 1;
}

static void on_reply(struct deliver_session *session, const struct smtp_reply *reply, bool is_surplus)
{
    if (outcome_closes(reply))
        session_lost(session, reply);
    else if (!session_awaits_reply(session) || is_surplus)
        session_lost_because(session, "the server said more than it was asked");
    else if (session->transaction || session->state == STATE_RSET)
        transaction_on_reply(session, reply);
    else
        greeting_on_reply(session, reply);
}

/* Handles replies until one is incomplete or the connection is gone. */
static void handle_input(struct deliver_session *session)
{
    while (session->socket && buf_len(&session->input) > 0) {
        struct smtp_reply reply;
        size_t used = 0;
        bool is_surplus;

        switch (smtp_reply_parse(buf_span(&session->input), &reply, &used)) {
        case SMTP_REPLY_MORE:
            return;
        case SMTP_REPLY_BROKEN:
            session_lost_because(session, "the server's reply is not SMTP");
            return;
        case SMTP_REPLY_DONE:
            break;
        }
        if (session->state == STATE_EHLO && smtp_reply_is_success(&reply))
            smtp_capabilities_parse(span_head(buf_span(&session->input), used), &session->capabilities);
        is_surplus = buf_len(&session->input) > used && expected_replies(session) <= 1;
        buf_consume(&session->input, used);
        greeting_hush(session, &reply);
        on_reply(session, &reply, is_surplus);
    }
}

void session_read(struct deliver_session *session)
{
    while (session->socket) {
        char *room = buf_reserve(&session->input, READ_BYTES);
        ssize_t got;

        if (!room) {
            session_lost_because(session, "the server's reply has no end");
            return;
        }
        got = socket_read(session->socket, room, READ_BYTES);
        if (got == SOCKET_WAIT)
            break;
        if (got < 0) {
            session_lost_because(session, got == SOCKET_EOF ? "the server closed the connection"
                                                            : socket_error(session->socket)->sentence);
            return;
        }
        buf_commit(&session->input, (size_t)got);
        handle_input(session);
    }
    if (buf_len(&session->input) == 0)
        buf_release(&session->input);
}
