/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers. Each goes through smtp_server_rewrite_response when policy handles it; then it is
 * on its way, the refusals are put on record, and the session goes on in its next state.
 * Answers to pipelined commands leave together: the socket gathers what is written in a turn.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "receive/receive_private.h"
#include "receive/transaction.h"

#define LONG_LINE_BYTES 480

static void record_rejection(struct session *session, const struct smtp_reply *reply)
{
    const struct receive_ops *ops = session->listener->ops;
    const struct transaction *transaction = session->transaction;

    if (!ops->rejected || reply->code < 400)
        return;
    ops->rejected(session->listener->ctx, &(struct receive_rejection){
                                              .connection = session->connection,
                                              .reply = reply,
                                              .command = session->command,
                                              .sender = transaction ? transaction->sender : NULL,
                                              .recipients = transaction ? transaction->recipients : NULL,
                                              .recipient_count = transaction ? transaction->recipient_count : 0,
                                          });
}

static int send_bytes(struct session *session, struct span bytes)
{
    return socket_write(session->socket, bytes.data, bytes.len);
}

static void send_reply(struct session *session, const struct smtp_reply *reply)
{
    struct buf wire;
    int failed;

    buf_init(&wire, 64 * 1024);
    failed = smtp_reply_write(reply, &wire) || send_bytes(session, buf_span(&wire));
    buf_done(&wire);
    if (failed)
        session_close(session, "the client does not read our answers");
}

/* What follows once the answer has been written. */
static void go_on(struct session *session)
{
    session_then_fn *then = session->then_reply;

    session->then_reply = NULL;
    if (session->state == SESSION_CLOSED)
        return;
    if (session->close_after_reply) {
        session_close(session, "we said goodbye");
        return;
    }
    if (then) {
        then(session);
        return;
    }
    session_enter(session, session->after_reply);
}

static void finish_reply(struct session *session, const struct smtp_reply *reply)
{
    if (reply->code == 421) /* perhaps by policy's word */
        session->close_after_reply = true;
    /* however long we took, the client's own time begins now */
    session->last_input_ms = loop_now_ms(session->listener->loop);
    record_rejection(session, reply);
    send_reply(session, reply);
    if (session->state != SESSION_CLOSED)
        go_on(session);
}

/* ---- smtp_server_rewrite_response(status, text, command, conn_meta) ---- */

static int push_rewrite(lua_State *L, void *ctx)
{
    struct session *session = ctx;
    const struct smtp_reply *reply = session->rewriting;

    lua_pushinteger(L, reply->code);
    if (reply->enhanced_class)
        lua_pushfstring(L, "%d.%d.%d %s", reply->enhanced_class, reply->enhanced_subject, reply->enhanced_detail,
                        reply->text);
    else
        lua_pushstring(L, reply->text);
    lua_pushstring(L, session->command); /* nil when there was none */
    return 3 + session_push_connection(L, session);
}

static bool is_final_code(lua_Integer code) { return code >= 200 && code <= 599 && (code < 300 || code >= 400); }

static void take_rewritten(struct session *session, const struct policy_result *result)
{
    struct smtp_reply *reply = session->rewriting;
    int code = reply->code;
    size_t len;
    const char *text;

    if (result->outcome != POLICY_RETURNED)
        return; /* errors, and kumo.reject too, leave the answer as it was */
    /* an answer that asks for more (354) has to stay one, or both sides would talk at once */
    if (result->count >= 1 && lua_isinteger(result->L, result->first) && is_final_code(code) &&
        is_final_code(lua_tointeger(result->L, result->first)))
        code = (int)lua_tointeger(result->L, result->first);
    if (result->count >= 2 && lua_type(result->L, result->first + 1) == LUA_TSTRING) {
        text = lua_tolstring(result->L, result->first + 1, &len);
        smtp_reply_set(reply, code, span_make(text, len));
    } else {
        reply->code = code;
    }
}

static void on_rewritten(struct session *session, const struct policy_result *result)
{
    struct smtp_reply reply;

    take_rewritten(session, result);
    reply = *session->rewriting;
    free(session->rewriting);
    session->rewriting = NULL;
    finish_reply(session, &reply);
}

static void answer(struct session *session, const struct smtp_reply *reply)
{
    MUST(!session->rewriting && session->waiting == WAITING_NOT);
    if (session->state == SESSION_CLOSED)
        return;
    /* decided before policy finds other words: whoever said 421 may have left the session in no state to go on */
    if (reply->code == 421)
        session->close_after_reply = true;
    if (!policy_handles(session->listener->vm, POLICY_EVENT_SMTP_REWRITE_RESPONSE)) {
        finish_reply(session, reply);
        return;
    }
    session->rewriting = mem_alloc(sizeof *reply);
    *session->rewriting = *reply;
    session_ask(session, POLICY_EVENT_SMTP_REWRITE_RESPONSE, push_rewrite, on_rewritten);
}

/* ---- the doors ---- */

void session_reply(struct session *session, const struct smtp_reply *reply, enum session_state next)
{
    session->after_reply = next;
    answer(session, reply);
}

void session_replyf(struct session *session, int code, const char *format, ...)
{
    struct smtp_reply reply;
    va_list args;

    va_start(args, format);
    smtp_reply_vsetf(&reply, code, format, args);
    va_end(args);
    session_reply(session, &reply, SESSION_COMMAND);
}

void session_reply_close(struct session *session, const struct smtp_reply *reply)
{
    session->close_after_reply = true;
    session_reply(session, reply, SESSION_COMMAND);
}

void session_turn_away(struct session *session, const char *text)
{
    struct smtp_reply reply;

    smtp_reply_set(&reply, 421, span_of(text));
    send_reply(session, &reply);
    session_close(session, "turned away");
}

static void say_421(struct session *session)
{
    session_replyf_close(session, 421, "%s disconnecting due to previous error", session->connection->params->hostname);
}

void session_reply_421_close(struct session *session, const struct smtp_reply *reply)
{
    session_reply_then(session, reply, say_421);
}

void session_replyf_close(struct session *session, int code, const char *format, ...)
{
    struct smtp_reply reply;
    va_list args;

    va_start(args, format);
    smtp_reply_vsetf(&reply, code, format, args);
    va_end(args);
    session_reply_close(session, &reply);
}

void session_reply_then(struct session *session, const struct smtp_reply *reply, session_then_fn *then)
{
    session->then_reply = then;
    session_reply(session, reply, SESSION_COMMAND);
}

/* Lines of a success, broken at spaces, that a struct smtp_reply has no room for. */
static void send_long(struct session *session, int code, struct span text)
{
    struct buf wire;

    buf_init(&wire, WRITE_LIMIT_BYTES);
    while (text.len > 0) {
        size_t len = text.len < LONG_LINE_BYTES ? text.len : LONG_LINE_BYTES;

        while (len < text.len && len > 1 && text.data[len] != ' ')
            len--;
        if (buf_appendf(&wire, "%d%c%.*s\r\n", code, len < text.len ? '-' : ' ', (int)len, text.data))
            break;
        text = span_from(text, len < text.len ? len + 1 : len);
    }
    if (send_bytes(session, buf_span(&wire)))
        session_close(session, "the client does not read our answers");
    buf_done(&wire);
}

void session_reply_text(struct session *session, int code, struct span text)
{
    struct smtp_reply reply;

    if (text.len < SMTP_REPLY_TEXT_BYTES || policy_handles(session->listener->vm, POLICY_EVENT_SMTP_REWRITE_RESPONSE)) {
        smtp_reply_set(&reply, code, text);
        session_reply(session, &reply, SESSION_COMMAND);
        return;
    }
    session->after_reply = SESSION_COMMAND;
    send_long(session, code, text);
    go_on(session);
}
