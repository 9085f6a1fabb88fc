/* SPDX-License-Identifier: Apache-2.0
 *
 * Scripted conversations with a real listener over loopback, policy and TLS included, on one
 * loop. A script is lines: "C: text" is sent with CRLF ("C> text" as it is, with \r \n \0 \t
 * escapes), "S: text" must be the next line of the server's ("*" at its end: whatever follows),
 * "TLS" makes a handshake, "EOF" waits for the end, "HALF" ends the client's side. Consecutive
 * client lines leave in one write.
 */
#ifndef GATEPOST_TESTS_RECEIVE_TALK_H
#define GATEPOST_TESTS_RECEIVE_TALK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "log/diag.h"
#include "loop/listener.h"
#include "loop/socket.h"
#include "policy/await.h"
#include "policy/binding.h"
#include "policy/modules/modules.h"
#include "policy/policy.h"
#include "receive/receive.h"
#include "tls/tls.h"

#define TALK_MESSAGES 64

struct talk {
    struct loop *loop;
    struct policy *policy;
    struct policy_vm *vm;
    struct receive_params *params;
    struct receive_share *share;
    struct receive_listener *listener;
    struct sockaddr_storage address;

    struct socket *client;
    struct tls_client *tls;
    struct buf from_server;
    struct buf to_server;
    bool ended;
    int handshake; /* 1: done, -1: failed */

    /* the house */
    struct message *stored[TALK_MESSAGES];
    size_t stored_count;
    bool hold; /* keep the reception instead of answering */
    struct receive_reception *held;
    const char *store_failure;
    const char *not_accepting;
    int rejections;
    char last_rejected[SMTP_REPLY_TEXT_BYTES + 512];
};

/* ---- Lua for the tests: kumo.on, kumo.reject, kumo.sleep ---- */

static inline int talk_on(lua_State *L)
{
    policy_on(L, luaL_checkstring(L, 1), 2);
    return 0;
}

static inline int talk_reject(lua_State *L)
{
    policy_raise_reply(L, (int)luaL_checkinteger(L, 1), span_of(luaL_checkstring(L, 2)),
                       (enum policy_disconnect)luaL_optinteger(L, 3, POLICY_STAY));
}

struct talk_nap {
    struct await await;
    struct timer timer;
    uint64_t ms;
};

static inline void talk_nap_over(void *ctx) { await_finish(&((struct talk_nap *)ctx)->await); }

static inline void talk_nap_start(struct await *await, struct loop *loop)
{
    struct talk_nap *nap = CONTAINER_OF(await, struct talk_nap, await);

    timer_init(&nap->timer, loop, talk_nap_over, nap);
    timer_start(&nap->timer, nap->ms);
}

static inline void talk_nap_run(struct await *await) { (void)await; }

static inline int talk_nap_finish(struct await *await, lua_State *L)
{
    (void)await;
    (void)L;
    return 0;
}

static inline void talk_nap_cancel(struct await *await)
{
    struct talk_nap *nap = CONTAINER_OF(await, struct talk_nap, await);

    timer_stop(&nap->timer);
    await_finish(await);
}

static inline void talk_nap_free(struct await *await) { free(CONTAINER_OF(await, struct talk_nap, await)); }

static inline int talk_sleep(lua_State *L)
{
    static const struct await_ops ops = {talk_nap_start, talk_nap_run, talk_nap_finish, talk_nap_cancel, talk_nap_free};
    struct talk_nap *nap = mem_zalloc(sizeof *nap);

    nap->await.ops = &ops;
    nap->ms = (uint64_t)luaL_optinteger(L, 1, 1);
    return await(L, &nap->await);
}

static inline void talk_modules(lua_State *L)
{
    static const luaL_Reg functions[] = {{"on", talk_on}, {"reject", talk_reject}, {"sleep", talk_sleep}, {NULL, NULL}};

    lua_getglobal(L, "kumo");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
    mod_address_open(L);
    mod_headers_open(L);
    mod_message_open(L);
    mod_connection_open(L);
    mod_listener_open(L);
}

/* ---- the house ---- */

static inline void talk_store(void *ctx, struct receive_reception *reception, struct list *messages)
{
    struct talk *talk = ctx;
    struct list_node *node;
    struct smtp_reply reply;

    while ((node = list_take_first(messages))) {
        MUST(talk->stored_count < TALK_MESSAGES);
        talk->stored[talk->stored_count++] = message_of_link(node);
    }
    if (talk->hold) {
        talk->held = reception;
        return;
    }
    if (talk->store_failure)
        smtp_reply_set(&reply, 451, span_of(talk->store_failure));
    receive_stored(reception, talk->store_failure ? &reply : NULL);
}

static inline bool talk_accepts(void *ctx, struct smtp_reply *why_not_out)
{
    struct talk *talk = ctx;

    if (talk->not_accepting)
        smtp_reply_set(why_not_out, 452, span_of(talk->not_accepting));
    return !talk->not_accepting;
}

static inline void talk_rejected(void *ctx, const struct receive_rejection *rejection)
{
    struct talk *talk = ctx;

    talk->rejections++;
    snprintf(talk->last_rejected, sizeof talk->last_rejected, "%d %s|%.300s", rejection->reply->code,
             rejection->reply->text, rejection->command ? rejection->command : "");
}

static const struct receive_ops talk_ops = {.store = talk_store, .accepts = talk_accepts, .rejected = talk_rejected};

/* ---- open and close ---- */

static inline void talk_open(struct talk *talk, const char *lua, const char *params)
{
    struct policy_options options = {.text = lua, .add_modules = talk_modules};
    struct error error = {0};
    json_t *table = json_loads(params, 0, NULL);
    int fd;

    *talk = (struct talk){0};
    assert_non_null(table);
    diag_set_level(getenv("TALK_TRACE") ? DIAG_TRACE : DIAG_ERROR);
    talk->loop = loop_new("talk", NULL);
    talk->policy = policy_new(&options, &error);
    assert_non_null(talk->policy);
    talk->vm = policy_vm_new(talk->policy, talk->loop, &error);
    if (!talk->vm)
        fail_msg("%s", error.sentence);
    json_object_set_new(table, "listen", json_string("127.0.0.1:0"));
    if (!json_object_get(table, "hostname"))
        json_object_set_new(table, "hostname", json_string("mx.test"));
    talk->params = receive_params_new(table, &error);
    if (!talk->params)
        fail_msg("%s", error.sentence);
    json_decref(table);
    talk->share = receive_share_new();
    fd = listener_bind((struct sockaddr *)&talk->params->listen, &talk->address, &error);
    assert_true(fd >= 0);
    talk->listener = receive_listener_new(talk->loop, fd, talk->vm, talk->params, talk->share, &talk_ops, talk, &error);
    assert_non_null(talk->listener);
    buf_init(&talk->from_server, 16 << 20);
    buf_init(&talk->to_server, 64 << 20);
}

static inline void talk_hang_up(struct talk *talk)
{
    socket_close(talk->client);
    talk->client = NULL;
    talk->ended = false;
    buf_clear(&talk->from_server);
    buf_clear(&talk->to_server);
}

static inline void talk_close(struct talk *talk)
{
    talk_hang_up(talk);
    tls_client_unref(&talk->tls);
    receive_listener_free(talk->listener);
    for (int i = 0; i < 20; i++)
        loop_turn(talk->loop, false);
    policy_vm_free(talk->vm);
    policy_free(talk->policy);
    receive_params_unref(&talk->params);
    receive_share_unref(&talk->share);
    for (size_t i = 0; i < talk->stored_count; i++)
        message_free(talk->stored[i]);
    loop_turn(talk->loop, false);
    loop_free(talk->loop);
    buf_done(&talk->from_server);
    buf_done(&talk->to_server);
}

/* Turns the loop until no session is left. */
static inline void talk_settle(struct talk *talk)
{
    while (receive_listener_sessions(talk->listener) > 0)
        loop_turn(talk->loop, true);
}

/* ---- the client ---- */

static inline void talk_readable(void *ctx)
{
    struct talk *talk = ctx;
    char bytes[65536];
    ssize_t got;

    while ((got = socket_read(talk->client, bytes, sizeof bytes)) > 0)
        MUST(buf_append(&talk->from_server, bytes, (size_t)got) == 0);
    if (got < 0) {
        talk->ended = true;
        socket_pause(talk->client);
    }
}

static inline void talk_connect(struct talk *talk)
{
    static const struct socket_handler handler = {.on_readable = talk_readable};
    struct error error;

    talk_hang_up(talk);
    talk->client = socket_connect(talk->loop, (struct sockaddr *)&talk->address, NULL, &handler, talk, &error);
    assert_non_null(talk->client);
    socket_set_write_limit(talk->client, 64 << 20);
}

static inline void talk_flush(struct talk *talk)
{
    struct span bytes = buf_span(&talk->to_server);

    if (bytes.len > 0)
        (void)!socket_write(talk->client, bytes.data, bytes.len);
    buf_clear(&talk->to_server);
}

static inline void talk_handshake_done(void *ctx, const struct error *error)
{
    ((struct talk *)ctx)->handshake = error ? -1 : 1;
}

static inline void talk_tls(struct talk *talk)
{
    struct tls_client_config config = {.verify = TLS_VERIFY_NONE};
    struct error error;

    if (!talk->tls)
        talk->tls = tls_client_new(&config, &error);
    assert_non_null(talk->tls);
    talk->handshake = 0;
    assert_int_equal(tls_connect(talk->client, talk->tls, "mx.test", talk_handshake_done, talk, &error), 0);
    while (!talk->handshake && !talk->ended)
        loop_turn(talk->loop, true);
    assert_int_equal(talk->handshake, 1);
}

static inline bool talk_take_line(struct talk *talk, char *line, size_t room)
{
    struct span text = buf_span(&talk->from_server);
    size_t end = span_find(text, '\n');

    if (end == text.len)
        return false;
    MUST(end > 0 && text.data[end - 1] == '\r'); /* every line of the server's ends with CRLF */
    snprintf(line, room, "%.*s", (int)end - 1, text.data);
    buf_consume(&talk->from_server, end + 1);
    return true;
}

static inline void talk_expect(struct talk *talk, struct span wanted)
{
    char line[4096];

    talk_flush(talk);
    while (!talk_take_line(talk, line, sizeof line)) {
        if (talk->ended)
            fail_msg("end of the connection where '%.*s' was expected", SPAN_ARG(wanted));
        loop_turn(talk->loop, true);
    }
    if (wanted.len > 0 && wanted.data[wanted.len - 1] == '*') {
        if (!span_starts_with(span_of(line), span_head(wanted, wanted.len - 1)))
            fail_msg("'%s' where '%.*s' was expected", line, SPAN_ARG(wanted));
    } else if (!span_eq(span_of(line), wanted)) {
        fail_msg("'%s' where '%.*s' was expected", line, SPAN_ARG(wanted));
    }
}

static inline void talk_expect_end(struct talk *talk)
{
    talk_flush(talk);
    while (!talk->ended)
        loop_turn(talk->loop, true);
    if (buf_len(&talk->from_server) > 0)
        fail_msg("'%.*s' where the end was expected", SPAN_ARG(buf_span(&talk->from_server)));
}

static inline void talk_send_escaped(struct talk *talk, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '\\' && i + 1 < text.len) {
            char e = text.data[++i];

            c = e == 'r' ? '\r' : e == 'n' ? '\n' : e == '0' ? '\0' : e == 't' ? '\t' : e;
        }
        MUST(buf_append(&talk->to_server, &c, 1) == 0);
    }
}

static inline void talk_step(struct talk *talk, struct span line)
{
    if (span_starts_with(line, SPAN_LIT("C: ")))
        MUST(buf_appendf(&talk->to_server, "%.*s\r\n", SPAN_ARG(span_from(line, 3))) == 0);
    else if (span_starts_with(line, SPAN_LIT("C> ")))
        talk_send_escaped(talk, span_from(line, 3));
    else if (span_starts_with(line, SPAN_LIT("S: ")))
        talk_expect(talk, span_from(line, 3));
    else if (span_eq(line, SPAN_LIT("TLS")))
        talk_tls(talk);
    else if (span_eq(line, SPAN_LIT("EOF")))
        talk_expect_end(talk);
    else if (span_eq(line, SPAN_LIT("HALF"))) {
        talk_flush(talk);
        socket_flush(talk->client);
        shutdown(socket_fd(talk->client), SHUT_WR);
    } else if (line.len > 0)
        fail_msg("not a step: '%.*s'", SPAN_ARG(line));
}

/* On the connection there is. */
static inline void talk_go_on(struct talk *talk, const char *script)
{
    struct span rest = span_of(script);
    struct span line;

    while (span_split(&rest, '\n', &line))
        talk_step(talk, line);
    talk_flush(talk);
}

/* On a new one. */
static inline void talk_run(struct talk *talk, const char *script)
{
    talk_connect(talk);
    talk_go_on(talk, script);
}

static inline struct span talk_body(const struct talk *talk, size_t index)
{
    return bytes_span(message_body(talk->stored[index]));
}

#endif
