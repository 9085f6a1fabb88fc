/* SPDX-License-Identifier: Apache-2.0
 *
 * How handlers end other than by returning: an answer that the policy raised
 * (kumo.reject, kumo.disconnect), or a fault, which is logged here, once, with its
 * traceback and without any credential.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "log/diag.h"
#include "metrics/metrics.h"
#include "policy/policy_private.h"

#define REPLY_CLASS "gatepost.reply"
#define FAULT_TEXT_BYTES 16384
#define TRACEBACK_RESERVE_BYTES (4 * FAULT_TEXT_BYTES)
/* For a __tostring in the policy's own error objects. */
#define DESCRIBE_LIMIT_MS 100
#define DESCRIBE_INSTRUCTIONS 10000000

/* The error value of kumo.reject and kumo.disconnect. */
struct raised_reply {
    int code;
    enum policy_disconnect how;
    size_t len;
    char text[];
};

/* ---- raised answers ---- */

void policy_raise_reply(lua_State *L, int code, struct span text, enum policy_disconnect how)
{
    struct raised_reply *raised = lua_newuserdatauv(L, sizeof *raised + text.len, 0);

    raised->code = code;
    raised->how = how;
    raised->len = text.len;
    memcpy(raised->text, text.data, text.len);
    luaL_setmetatable(L, REPLY_CLASS);
    lua_error(L);
    __builtin_unreachable();
}

static int reply_tostring(lua_State *L)
{
    const struct raised_reply *raised = luaL_checkudata(L, 1, REPLY_CLASS);

    lua_pushfstring(L, "%d ", raised->code);
    lua_pushlstring(L, raised->text, raised->len);
    lua_concat(L, 2);
    return 1;
}

static int reply_index(lua_State *L)
{
    const struct raised_reply *raised = luaL_checkudata(L, 1, REPLY_CLASS);
    const char *name = luaL_checkstring(L, 2);

    if (!strcmp(name, "code"))
        lua_pushinteger(L, raised->code);
    else if (!strcmp(name, "message"))
        lua_pushlstring(L, raised->text, raised->len);
    else
        lua_pushnil(L);
    return 1;
}

void fault_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"__tostring", reply_tostring}, {"__index", reply_index}, {NULL, NULL}};

    luaL_newmetatable(L, REPLY_CLASS);
    luaL_setfuncs(L, methods, 0);
    lua_pushliteral(L, REPLY_CLASS);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

static void take_reply(struct policy_call *call, const struct raised_reply *raised, struct policy_result *result)
{
    struct buf text;

    buf_init(&text, SMTP_REPLY_TEXT_BYTES * 4);
    if (buf_append(&text, raised->text, raised->len < text.limit_bytes ? raised->len : text.limit_bytes) < 0)
        buf_clear(&text);
    secrets_scrub(call, &text);
    smtp_reply_set(&result->reply, raised->code, buf_span(&text));
    buf_done(&text);
    result->outcome = raised->how == POLICY_STAY ? POLICY_REJECTED : POLICY_DISCONNECT;
    result->follow_with_421 = raised->how == POLICY_CLOSE_AFTER_421;
}

/* ---- faults ---- */

static int describe(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* Replaces the error value on the top of the state's main stack by its text. It may be an
 * object with a __tostring of the policy's, so that runs under a budget as well. */
static void describe_top(struct policy_state *state)
{
    lua_State *L = state->L;
    struct budget *former = state->budget;
    struct budget budget;

    if (lua_type(L, -1) == LUA_TSTRING)
        return;
    lua_pushcfunction(L, describe);
    lua_insert(L, -2);
    budget_start(&budget, DESCRIBE_LIMIT_MS, DESCRIBE_INSTRUCTIONS);
    state->budget = &budget;
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        lua_pop(L, 1);
        lua_pushliteral(L, "(an error object that does not convert to a string)");
    }
    state->budget = former;
    budget_watch(L);
}

static void take_text(struct buf *text, struct span from)
{
    buf_init(text, FAULT_TEXT_BYTES);
    if (buf_append_span(text, span_head(from, FAULT_TEXT_BYTES)) < 0)
        buf_clear(text);
}

/* Called for every error of a handler, at the place where it is raised; the error value is
 * at index 1. Memory may be what is missing, so there is a reserve for it. That is not
 * taken back if making the text fails, which does not matter: resuming does. */
void fault_take_traceback(struct policy_call *call, lua_State *L)
{
    struct policy_state *state = call->thread.state;

    if (luaL_testudata(L, 1, REPLY_CLASS))
        return;
    state->reserve_bytes = TRACEBACK_RESERVE_BYTES;
    luaL_traceback(L, L, NULL, 1);
    free(call->traceback);
    call->traceback = mem_strdup(lua_tostring(L, -1));
    lua_pop(L, 1);
    state->reserve_bytes = 0;
}

void fault_drop_traceback(struct policy_call *call)
{
    free(call->traceback);
    call->traceback = NULL;
}

/* One event, one line. */
static void flatten(struct buf *text)
{
    char *data = text->data ? text->data + text->start : NULL;

    for (size_t i = 0; i < buf_len(text); i++) {
        if (data[i] == '\n')
            data[i] = i + 1 < buf_len(text) && data[i + 1] == '\t' ? ';' : ' ';
        else if (data[i] == '\t')
            data[i] = ' ';
    }
}

static void scrub_message(const struct policy_call *call, struct buf *message)
{
    secrets_scrub(call, message);
    if (!secrets_hide_short(call, message))
        return;
    buf_clear(message);
    if (buf_append_span(message, SPAN_LIT("(text withheld: it may hold a credential)")) < 0)
        buf_clear(message);
}

static const char *text_or_empty(struct buf *text)
{
    const char *cstr = buf_cstr(text);

    return cstr ? cstr : "";
}

static void log_fault(struct policy_call *call, struct buf *message, struct buf *traceback)
{
    flatten(traceback);
    diag(DIAG_ERROR, NULL, "policy: %s failed: %s; %s", call->what, text_or_empty(message), text_or_empty(traceback));
    metrics_count(METRIC_POLICY_ERRORS);
}

static void take_message(struct policy_call *call, struct buf *message)
{
    struct policy_state *state = call->thread.state;
    struct span text;

    lua_xmove(call->L, state->L, 1);
    describe_top(state);
    text.data = lua_tolstring(state->L, -1, &text.len);
    take_text(message, text);
    lua_pop(state->L, 1);
    scrub_message(call, message);
}

static void take_fault(struct policy_call *call, struct policy_result *result)
{
    struct buf message;
    struct buf traceback;

    take_message(call, &message);
    take_text(&traceback, span_of(call->traceback ? call->traceback : "no traceback"));
    secrets_scrub(call, &traceback);
    log_fault(call, &message, &traceback);
    error_set(&result->error, ERROR_TEMP, "%s", text_or_empty(&message));
    result->outcome = POLICY_FAILED;
    buf_done(&message);
    buf_done(&traceback);
}

void fault_report(struct policy_call *call, struct policy_result *result)
{
    const struct raised_reply *raised = call->budget.spent ? NULL : luaL_testudata(call->L, -1, REPLY_CLASS);

    if (raised)
        take_reply(call, raised, result);
    else if (call->budget.spent || !not_found_report(call, result))
        take_fault(call, result);
}

void fault_of_load(struct policy_state *state, struct error *error)
{
    describe_top(state);
    error_set(error, ERROR_PERM, "%s", lua_tostring(state->L, -1));
    lua_settop(state->L, 0);
}
