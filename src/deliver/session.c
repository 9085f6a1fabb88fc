/* SPDX-License-Identifier: Apache-2.0
 *
 * A session's birth, its hunger for messages, and its end. Everything that ends it goes
 * through session_end, which only marks and cleans up; the owner hears of it, and the memory
 * goes, from the loop, when nobody's stack holds the session any more.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "deliver/deliver_private.h"
#include "log/diag.h"

#define INPUT_LIMIT_BYTES 65536
#define BATCH 16 /* messages asked for at once: they wait in memory, with their bodies */
#define QUIT_LINGER_MS 5000

static void on_kick(struct deferred *deferred);

/* ---- birth ---- */

struct deliver_session *deliver_session_new(struct loop *loop, struct dns *dns, struct route_plan *plan,
                                            const struct deliver_handler *handler, void *ctx)
{
    struct deliver_session *session = mem_zalloc(sizeof *session);

    session->loop = loop;
    session->dns = dns;
    session->plan = route_plan_ref(plan);
    session->handler = handler;
    session->ctx = ctx;
    timer_init(&session->timer, loop, session_on_timer, session);
    list_node_init(&session->kick.node);
    session->kick.run = on_kick;
    buf_init(&session->input, INPUT_LIMIT_BYTES);
    list_init(&session->waiting);
    loop_defer(loop, &session->kick);
    return session;
}

/* ---- the socket ---- */

static void on_readable(void *ctx) { session_read(ctx); }

static void on_drained(void *ctx)
{
    struct deliver_session *session = ctx;

    if (session->state == STATE_CONNECTING)
        greeting_start(session);
    else if (session->state == STATE_BODY)
        body_send(session);
}

const struct socket_handler *deliver_session_socket_handler(void)
{
    static const struct socket_handler handler = {.on_readable = on_readable, .on_drained = on_drained};

    return &handler;
}

void session_close_socket(struct deliver_session *session)
{
    socket_close(session->socket);
    session->socket = NULL;
    buf_release(&session->input);
}

int session_send(struct deliver_session *session, const char *format, ...)
{
    char line[2048];
    va_list args;
    int len;
    int status;

    va_start(args, format);
    len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    MUST(len > 0 && (size_t)len < sizeof line); /* what goes in has been measured */
    status = socket_write(session->socket, line, (size_t)len);
    secret_wipe(line, (size_t)len);
    if (status)
        session_lost_because(session, "the connection broke");
    return status;
}

/* ---- ready for mail ---- */

/* False when the session ended inside the callback. */
static bool ask(struct deliver_session *session)
{
    size_t left = session->plan->path->max_deliveries_per_connection - session->done;

    session->is_hungry = true;
    session->telling++;
    session->handler->on_hungry(session->ctx, session, left < BATCH ? left : BATCH);
    session->telling--;
    return session->state != STATE_ENDED;
}

static void quit(struct deliver_session *session, enum deliver_end end)
{
    if (session->socket && socket_write(session->socket, "QUIT\r\n", 6) == 0) {
        socket_close_after_write(session->socket, QUIT_LINGER_MS);
        session->socket = NULL;
    }
    session_end(session, end, NULL);
}

void session_ready(struct deliver_session *session)
{
    session->stands = true;
    deliver_session_enter(session, STATE_IDLE);
    while (session->state == STATE_IDLE) {
        struct list_node *node = list_first(&session->waiting);

        if (session->done >= session->plan->path->max_deliveries_per_connection) {
            quit(session, DELIVER_END_SPENT);
        } else if (node) {
            list_remove(&session->waiting, node);
            transaction_start(session, message_of_link(node));
        } else if (session->is_finishing) {
            quit(session, DELIVER_END_QUIET);
        } else if (session->is_hungry || !ask(session) || list_is_empty(&session->waiting)) {
            return;
        }
    }
}

void deliver_session_give(struct deliver_session *session, struct list *messages)
{
    if (list_is_empty(messages))
        return;
    list_splice(&session->waiting, messages);
    session->is_hungry = false;
    if (session->state == STATE_IDLE || session->state == STATE_ENDED)
        loop_defer(session->loop, &session->kick);
}

void deliver_session_finish(struct deliver_session *session)
{
    session->is_finishing = true;
    if (session->state != STATE_ENDED && (session->state == STATE_IDLE || !session->stands))
        loop_defer(session->loop, &session->kick);
}

/* ---- when it goes wrong ---- */

void session_lost(struct deliver_session *session, const struct smtp_reply *reply)
{
    if (!session->stands) {
        walk_failed(session, reply);
        return;
    }
    if (session->transaction) {
        /* a server may close a connection that it finds idle for too long; that says nothing
         * about the message that came just then */
        bool is_stale = session->done > 0 && transaction_is_untouched(session);

        transaction_finish(session, is_stale ? DELIVER_UNTRIED : DELIVER_TRANSIENT, reply,
                           deliver_session_command(session));
        if (session->state == STATE_ENDED)
            return;
    }
    session_end(session, session->done > 0 ? DELIVER_END_SPENT : DELIVER_END_NEVER_STOOD, reply);
}

void session_lost_because(struct deliver_session *session, const char *happened)
{
    struct smtp_reply reply;

    smtp_reply_setf(&reply, 451, "4.4.2 %s while %s", happened, session_doing(session));
    session_lost(session, &reply);
}

void session_on_timer(void *ctx)
{
    struct deliver_session *session = ctx;

    if (session->state == STATE_IDLE) {
        quit(session, DELIVER_END_QUIET);
    } else {
        walk_stop(session);
        session_lost_because(session, "the time limit was reached");
    }
}

/* ---- the end ---- */

void session_end(struct deliver_session *session, enum deliver_end end, const struct smtp_reply *reply)
{
    MUST(!session->transaction);
    if (diag_is_on(DIAG_DEBUG))
        diag(DIAG_DEBUG, NULL, "delivery to %s ends after %zu messages%s%s", session->plan->ready_name, session->done,
             reply ? ": " : "", reply ? reply->text : "");
    deliver_session_enter(session, STATE_ENDED);
    session->end = end;
    if (reply) {
        session->end_reply = mem_alloc(sizeof *reply);
        *session->end_reply = *reply;
    }
    walk_stop(session);
    session_close_socket(session);
    loop_defer(session->loop, &session->kick);
}

static void give_back(struct deliver_session *session, struct message *message)
{
    struct deliver_outcome outcome = {.verdict = DELIVER_UNTRIED,
                                      .command = "",
                                      .peer_name = "",
                                      .tls_cipher = "",
                                      .tls_protocol = "",
                                      .tls_peer_subject = ""};

    if (session->end_reply)
        outcome.reply = *session->end_reply;
    session->handler->on_outcome(session->ctx, session, message, &outcome);
}

static void session_free(struct deliver_session *session)
{
    loop_undefer(session->loop, &session->kick);
    route_plan_unref(&session->plan);
    buf_done(&session->input);
    free(session->walk.reason.reply);
    free(session->end_reply);
    free(session);
}

/* Tells the owner, and goes. */
static void finale(struct deliver_session *session)
{
    struct list_node *node;

    session->telling++;
    while ((node = list_take_first(&session->waiting)))
        give_back(session, message_of_link(node));
    session->handler->on_end(session->ctx, session, session->end, session->end_reply);
    session_free(session);
}

void deliver_session_abort(struct deliver_session *session)
{
    if (session->transaction) {
        bool may_have_arrived = session->state == STATE_DOT;
        struct smtp_reply reply;

        smtp_reply_setf(&reply, 451, "4.3.2 we stopped while %s", session_doing(session));
        transaction_finish(session, may_have_arrived ? DELIVER_TRANSIENT : DELIVER_UNTRIED, &reply,
                           deliver_session_command(session));
    }
    if (session->state != STATE_ENDED)
        session_end(session, DELIVER_END_QUIET, NULL);
    if (session->telling == 0)
        finale(session);
}

/* ---- steps from the loop ---- */

static void on_kick(struct deferred *deferred)
{
    struct deliver_session *session = CONTAINER_OF(deferred, struct deliver_session, kick);

    if (session->state == STATE_ENDED)
        finale(session);
    else if (session->is_finishing && !session->stands)
        session_end(session, DELIVER_END_QUIET, NULL);
    else if (session->state == STATE_WALKING)
        walk_next(session);
    else if (session->state == STATE_IDLE)
        session_ready(session);
}
