/* SPDX-License-Identifier: Apache-2.0
 *
 * A session's birth, its states with their time limits, and its end. The awkward truth is
 * time: a state has one timer, and what the timer means (an idle client, a line without end, a
 * transaction that drags on, a trickle of data) is decided when it fires.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "metrics/metrics.h"
#include "receive/budget.h"
#include "receive/receive_private.h"
#include "receive/transaction.h"
#include "tls/tls.h"

#define RATE_CHECK_MS 5000
#define EOF_GRACE_MS 500 /* for the answers to what a client sent before it ended its side */

static const char *const phrases[SESSION_STATE_COUNT] = {
    [SESSION_PROXY] = "waiting for the PROXY header",
    [SESSION_HANDSHAKE] = "in the TLS handshake",
    [SESSION_GREETING] = "before the greeting",
    [SESSION_COMMAND] = "waiting for a command",
    [SESSION_AUTH] = "waiting for a SASL response",
    [SESSION_DATA] = "receiving data; there is no message yet",
    [SESSION_BDAT] = "receiving a chunk; there is no message yet",
    [SESSION_CLOSED] = "closed",
};

/* ---- time ---- */

/* When the client has been at it for too long, whatever it does meanwhile; UINT64_MAX: no such end. */
static uint64_t deadline_of(const struct session *session)
{
    const struct receive_params *params = session->connection->params;
    uint64_t deadline = UINT64_MAX;

    if (session->state == SESSION_AUTH)
        deadline = session_auth_began_ms(session) + params->auth_timeout_ms;
    if (session->line_began_ms && session->line_began_ms + params->client_timeout_ms < deadline)
        deadline = session->line_began_ms + params->client_timeout_ms;
    if (session->transaction && session->transaction->began_ms + params->transaction_deadline_ms < deadline)
        deadline = session->transaction->began_ms + params->transaction_deadline_ms;
    if (session->state == SESSION_BDAT && session->chunk_began_ms + params->transaction_deadline_ms < deadline)
        deadline = session->chunk_began_ms + params->transaction_deadline_ms;
    return deadline;
}

static bool is_receiving(const struct session *session)
{
    return session->state == SESSION_DATA || session->state == SESSION_BDAT;
}

/* A client may be slow for a while, not for all of a message. A chunk that is only dropped may have no transaction. */
static bool is_too_slow(const struct session *session, uint64_t now_ms)
{
    const struct transaction *transaction = session->transaction;
    const struct receive_params *params = session->connection->params;
    uint64_t elapsed_ms;

    if (!is_receiving(session) || !transaction || !transaction->data_began_ms)
        return false;
    elapsed_ms = now_ms - transaction->data_began_ms;
    return elapsed_ms > params->data_rate_grace_ms &&
           transaction->data_bytes * 1000 / elapsed_ms < params->min_data_rate;
}

static uint64_t rate_check_ms(const struct session *session)
{
    uint64_t grace_ms = session->connection->params->data_rate_grace_ms;

    return grace_ms < RATE_CHECK_MS ? grace_ms : RATE_CHECK_MS;
}

static uint64_t idle_limit_of(const struct session *session)
{
    const struct receive_params *params = session->connection->params;

    return session->state == SESSION_HANDSHAKE || session->state == SESSION_PROXY ? params->handshake_timeout_ms
                                                                                  : params->client_timeout_ms;
}

static void say_timeout(struct session *session)
{
    if (session->state == SESSION_HANDSHAKE || session->state == SESSION_PROXY) {
        session_close(session, "timeout");
        return;
    }
    session_drop_transaction(session);
    session_replyf_close(session, 421, "4.4.2 %s timeout: closing the connection",
                         session->connection->params->hostname);
}

static void on_timeout(void *ctx)
{
    struct session *session = ctx;
    uint64_t now_ms = loop_now_ms(session->listener->loop);

    if (session->is_at_eof) {
        session_close(session, "the client has gone away");
        return;
    }
    if (session->waiting != WAITING_NOT)
        return; /* our turn, not the client's: armed again after the answer */
    if (now_ms >= session->last_input_ms + idle_limit_of(session) || now_ms >= deadline_of(session) ||
        is_too_slow(session, now_ms)) {
        diag(DIAG_INFO, &session->scope, "timeout while %s", phrases[session->state]);
        say_timeout(session);
        return;
    }
    session_arm_timeout(session);
}

/* Cheap enough for every turn: the timer is moved only when it would fire too late. */
void session_arm_timeout(struct session *session)
{
    uint64_t now_ms = loop_now_ms(session->listener->loop);
    uint64_t due_ms = session->last_input_ms + idle_limit_of(session);
    uint64_t deadline = deadline_of(session);

    if (session->state == SESSION_CLOSED)
        return;
    if (session->is_at_eof)
        due_ms = now_ms + EOF_GRACE_MS;
    if (deadline < due_ms)
        due_ms = deadline;
    if (is_receiving(session) && now_ms + rate_check_ms(session) < due_ms)
        due_ms = now_ms + rate_check_ms(session);
    if (timer_is_running(&session->timeout) && session->timeout.node.key <= due_ms)
        return;
    timer_start(&session->timeout, due_ms > now_ms ? due_ms - now_ms : 0);
}

void session_enter(struct session *session, enum session_state state)
{
    if (session->state == SESSION_CLOSED)
        return;
    if (diag_is_on(DIAG_TRACE))
        diag(DIAG_TRACE, &session->scope, "now %s", phrases[state]);
    session->state = state;
    if (state != SESSION_CLOSED)
        session_arm_timeout(session);
}

/* ---- end ---- */

void session_drop_transaction(struct session *session)
{
    transaction_free(session->transaction);
    session->transaction = NULL;
}

static void reap(struct deferred *deferred)
{
    struct session *session = CONTAINER_OF(deferred, struct session, reaper);

    session_drop_input(session); /* not earlier: it may have been closed for a line in there */
    free(session);
}

static void leave_listener(struct session *session)
{
    struct receive_listener *listener = session->listener;

    list_remove(&listener->sessions, &session->node);
    atomic_fetch_sub_explicit(&listener->share->connections, 1, memory_order_relaxed);
    metrics_add(METRIC_SMTPD_CONNECTIONS, -1);
    if (listener->stopping && list_is_empty(&listener->sessions) && listener->on_drained) {
        void (*on_drained)(void *ctx) = listener->on_drained;

        listener->on_drained = NULL;
        on_drained(listener->drained_ctx);
    }
}

static void drop_command(struct session *session)
{
    free(session->command);
    free(session->ehlo_asked);
    free(session->rcpt_asked);
    free(session->held_reply);
    free(session->chunk_refusal);
    free(session->rewriting);
    session->command = session->ehlo_asked = session->rcpt_asked = NULL;
    session->held_reply = session->chunk_refusal = session->rewriting = NULL;
}

void session_close(struct session *session, const char *why)
{
    if (session->state == SESSION_CLOSED)
        return;
    diag(DIAG_DEBUG, &session->scope, "closed: %s", why);
    session_enter(session, SESSION_CLOSED);
    session_cancel_ask(session);
    session_abandon_welcome(session);
    session_abandon_auth(session);
    session_unregister(session);
    budget_log_out(session);
    timer_stop(&session->timeout);
    timer_stop(&session->delay);
    loop_undefer(session->listener->loop, &session->resume);
    socket_close_after_write(session->socket, CLOSE_LINGER_MS);
    session->socket = NULL;
    session_abandon_reception(session);
    session_drop_transaction(session);
    relay_memory_free(session->relay_memory);
    session->relay_memory = NULL;
    drop_command(session);
    receive_connection_unref(&session->connection);
    leave_listener(session);
    loop_defer(session->listener->loop, &session->reaper);
}

/* ---- birth ---- */

static void on_delay_over(void *ctx)
{
    struct session *session = ctx;
    session_then_fn *then = session->then_delay;

    session->waiting = WAITING_NOT;
    session->then_delay = NULL;
    then(session);
    session_resume_soon(session);
}

void session_delay(struct session *session, uint64_t delay_ms, session_then_fn *then)
{
    MUST(session->waiting == WAITING_NOT);
    if (session->state == SESSION_CLOSED)
        return;
    if (delay_ms == 0) {
        then(session);
        return;
    }
    session->waiting = WAITING_DELAY;
    session->then_delay = then;
    timer_start(&session->delay, delay_ms);
}

void session_use_params(struct session *session, struct receive_params *params)
{
    receive_params_unref(&session->connection->params);
    session->connection->params = params;
    receive_connection_changed(session->connection);
    session->lines.limit_bytes = params->line_length_hard_limit + CR_LF_BYTES;
}

static void describe_to_logs(struct session *session)
{
    receive_connection_from(session->connection, session->peer_text);
    diag_scope_init(&session->scope, NULL);
    diag_scope_add(&session->scope, "peer", session->peer_text);
}

static void init_session(struct session *session, struct receive_listener *listener)
{
    session->listener = listener;
    session->state = SESSION_GREETING;
    buf_init(&session->input, INPUT_LIMIT_BYTES);
    timer_init(&session->timeout, listener->loop, on_timeout, session);
    timer_init(&session->delay, listener->loop, on_delay_over, session);
    list_node_init(&session->reaper.node);
    list_node_init(&session->resume.node);
    session->reaper.run = reap;
    session->last_input_ms = loop_now_ms(listener->loop);
}

void session_open(struct session *session)
{
    if (session->listener->params->tls_mode == RECEIVE_TLS_IMPLICIT)
        session_start_tls(session);
    else
        session_greet(session);
}

static void begin(struct session *session)
{
    struct receive_connection *connection = session->connection;

    session_use_params(session,
                       receive_params_for(session->listener->params, &connection->local_ip, &connection->remote_ip));
    describe_to_logs(session);
    if (connection->params->require_proxy_protocol) {
        session->line_began_ms = session->last_input_ms; /* a header that trickles in ends too */
        session_enter(session, SESSION_PROXY);
    } else {
        session_welcome(session, session_open);
    }
}

void session_start(struct receive_listener *listener, int fd, const struct sockaddr *remote)
{
    struct session *session = mem_zalloc(sizeof *session);
    struct sockaddr_storage local = {.ss_family = AF_INET};
    socklen_t len = sizeof local;
    struct error error;

    getsockname(fd, (struct sockaddr *)&local, &len);
    init_session(session, listener);
    session->socket = socket_new(listener->loop, fd, &session_socket_handler, session, &error);
    if (!session->socket) {
        diag_error(NULL, &error, "cannot serve a client");
        atomic_fetch_sub_explicit(&listener->share->connections, 1, memory_order_relaxed);
        free(session);
        return;
    }
    socket_set_write_limit(session->socket, WRITE_LIMIT_BYTES);
    session->connection = receive_connection_new(listener->params, remote, (struct sockaddr *)&local);
    list_push_back(&listener->sessions, &session->node);
    metrics_count(METRIC_SMTPD_CONNECTIONS_TOTAL);
    metrics_add(METRIC_SMTPD_CONNECTIONS, 1);
    begin(session);
}
