/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking policy, and what its answers mean by default: a reject is the answer to give, an
 * error is a temporary failure that tells the client nothing, silence is consent.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "receive/receive_private.h"

static void on_done(void *ctx, const struct policy_result *result)
{
    struct session *session = ctx;
    session_policy_fn *then = session->then_policy;

    session->call = NULL;
    session->waiting = WAITING_NOT;
    session->then_policy = NULL;
    then(session, result);
    session_resume_soon(session);
}

void session_ask(struct session *session, enum policy_event event, policy_push_fn *push, session_policy_fn *then)
{
    static const struct policy_result unhandled = {.outcome = POLICY_UNHANDLED};
    struct policy_call *call;

    MUST(session->waiting == WAITING_NOT);
    if (session->state == SESSION_CLOSED)
        return;
    if (!policy_handles(session->listener->vm, event)) {
        then(session, &unhandled);
        return;
    }
    session->waiting = WAITING_POLICY;
    session->then_policy = then;
    call = policy_call(session->listener->vm, event, push, on_done, session);
    /* on_done may have run already, and its `then` may have asked the next question */
    if (call)
        session->call = call;
}

void session_cancel_ask(struct session *session)
{
    policy_call_cancel(session->call);
    session->call = NULL;
    session->then_policy = NULL;
}

int session_push_connection(lua_State *L, struct session *session)
{
    policy_push_object(L, RECEIVE_CONNECTION_CLASS, session->connection);
    return 1;
}

/* ---- addresses: the userdata is the text itself, with a NUL (policy/modules/mod_address.c) ---- */

#define ADDRESS_CLASS "EnvelopeAddress"

void session_push_address(lua_State *L, const char *mailbox)
{
    size_t bytes = strlen(mailbox) + 1;

    memcpy(lua_newuserdatauv(L, bytes, 0), mailbox, bytes);
    luaL_setmetatable(L, ADDRESS_CLASS);
}

struct span session_address_text(lua_State *L, int index)
{
    size_t len;
    const char *text = luaL_testudata(L, index, ADDRESS_CLASS);

    if (text)
        return span_make(text, lua_rawlen(L, index) - 1);
    text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &len) : NULL;
    return text ? span_make(text, len) : (struct span){NULL, 0};
}

struct span address_domain(struct span mailbox)
{
    for (size_t i = mailbox.len; i > 0; i--)
        if (mailbox.data[i - 1] == '@')
            return span_from(mailbox, i);
    return SPAN_LIT("");
}

bool session_refused(struct session *session, const struct policy_result *result)
{
    switch (result->outcome) {
    case POLICY_UNHANDLED:
    case POLICY_RETURNED:
        return false;
    case POLICY_REJECTED:
        session_reply(session, &result->reply, SESSION_COMMAND);
        return true;
    case POLICY_DISCONNECT:
        if (result->follow_with_421 && result->reply.code != 421)
            session_reply_421_close(session, &result->reply);
        else
            session_reply_close(session, &result->reply);
        return true;
    case POLICY_FAILED:
        session_replyf(session, 451, "4.3.0 the server cannot decide about this now; try again later");
        return true;
    }
    return false;
}

/* ---- results as data: reading a Lua value may raise, so it is done under protection ---- */

static int to_json(lua_State *L)
{
    json_t **out = lua_touserdata(L, 2);

    *out = policy_to_json(L, 1);
    return 0;
}

json_t *session_result_json(const struct policy_result *result, struct error *error)
{
    lua_State *L = result->L;
    json_t *value = NULL;

    if (result->outcome != POLICY_RETURNED || result->count < 1 || lua_isnil(L, result->first))
        return json_null();
    if (!lua_checkstack(L, 4)) {
        error_set(error, ERROR_TEMP, "the Lua stack is full");
        return NULL;
    }
    lua_pushcfunction(L, to_json);
    lua_pushvalue(L, result->first);
    lua_pushlightuserdata(L, &value);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        const char *why = lua_tostring(L, -1);

        error_set(error, ERROR_PERM, "%s", why ? why : "the result of a handler is no data");
        lua_pop(L, 1);
        return NULL;
    }
    return value;
}
