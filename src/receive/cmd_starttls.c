/* SPDX-License-Identifier: Apache-2.0
 *
 * STARTTLS (RFC 3207), and the handshake that implicit TLS begins with. The awkward truth is
 * CVE-2011-0411: what somebody in the middle wrote behind STARTTLS, in clear, must not run as
 * if the client had said it under TLS. Here it ends the connection, and so does a handshake
 * that fails: going on in clear is what that somebody would want.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "metrics/metrics.h"
#include "receive/budget.h"
#include "receive/receive_private.h"
#include "receive/transaction.h"
#include "tls/tls.h"

static void note_tls(struct session *session)
{
    struct receive_connection *connection = session->connection;
    const char *subject = tls_peer_subject(session->socket);

    connection->tls_protocol = mem_strdup(tls_protocol(session->socket));
    connection->tls_cipher = mem_strdup(tls_cipher(session->socket));
    connection->tls_peer_subject = subject ? mem_strdup(subject) : NULL;
}

/* RFC 3207, section 4.2: nothing that was learned in clear counts any more. */
static void forget_clear_text(struct session *session)
{
    session_drop_transaction(session);
    session_unregister(session);
    budget_log_out(session);
    receive_connection_forget(session->connection);
    relay_forget(session);
    session->lines = smtp_line_reader_make(session->lines.limit_bytes);
}

static void on_handshake(void *ctx, const struct error *error)
{
    struct session *session = ctx;

    if (session->state == SESSION_CLOSED)
        return;
    metrics_count(error ? METRIC_TLS_HANDSHAKES_FAILED : METRIC_TLS_HANDSHAKES);
    if (error) {
        diag(DIAG_INFO, &session->scope, "TLS handshake failed: %s", error->sentence);
        session_close(session, "the TLS handshake failed");
        return;
    }
    session->last_input_ms = loop_now_ms(session->listener->loop);
    note_tls(session);
    forget_clear_text(session);
    if (session->connection->is_greeted)
        session_enter(session, SESSION_COMMAND);
    else
        session_greet(session);
    session_resume_soon(session);
}

static bool has_text_behind(struct session *session)
{
    char probe;

    return session_has_bytes_behind(session) || socket_read(session->socket, &probe, 1) > 0;
}

void session_start_tls(struct session *session)
{
    struct error error;

    session_enter(session, SESSION_HANDSHAKE);
    if (tls_accept(session->socket, receive_params_tls_server(session->connection->params), on_handshake, session,
                   &error)) {
        diag_error(&session->scope, &error, "cannot begin a TLS handshake");
        session_close(session, "no TLS handshake");
    }
}

static void begin(struct session *session)
{
    if (has_text_behind(session)) {
        diag(DIAG_WARN, &session->scope, "text was sent behind STARTTLS, before the handshake: closing");
        session_close(session, "text behind STARTTLS");
        return;
    }
    session_start_tls(session);
}

void cmd_starttls(struct session *session, const struct smtp_command *command)
{
    struct smtp_reply reply;

    (void)command;
    if (tls_is_on(session->socket)) {
        session_junk(session, 503, "5.5.1 TLS is on already");
        return;
    }
    smtp_reply_set(&reply, 220, SPAN_LIT("2.0.0 ready to start TLS"));
    if (has_text_behind(session)) {
        begin(session); /* closes: not even told that it may go on */
        return;
    }
    session_reply_then(session, &reply, begin);
}
