/* SPDX-License-Identifier: Apache-2.0
 *
 * Methods of the message class: its data as a whole, conformance, and results of
 * authentication checks written into it.
 */
#include <jansson.h>

#include "base/clock.h"
#include "message/conformance.h"
#include "message/edit.h"
#include "policy/modules/mod_message_private.h"

static struct span check_data(lua_State *L, const struct message *message)
{
    if (!message_body(message))
        luaL_error(L, "the message's data is not in memory");
    return bytes_span(message_body(message));
}

static int l_get_data(lua_State *L)
{
    push_span(L, check_data(L, check_message(L)));
    return 1;
}

static void set_body(lua_State *L, struct message *message, struct span data)
{
    struct bytes *body = bytes_copy(data);

    if (!body)
        luaL_error(L, "no memory for a message of %d bytes", (int)data.len);
    message_set_body(message, body);
}

static int l_set_data(lua_State *L)
{
    struct message *message = check_message(L);

    set_body(L, message, check_span(L, 2));
    return 0;
}

static int l_size(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)message_body_bytes(check_message(L)));
    return 1;
}

/* What is changed here is saved before the message is answered for or tried again, every
 * write is synced, and the queue itself drops from memory what waits long: these four have
 * nothing to add, and are kept for policies that call them. */
static int l_accept(lua_State *L)
{
    check_message(L);
    return 0;
}

/* ---- conformance ---- */

static unsigned check_labels(lua_State *L, int index)
{
    struct error error;
    unsigned flags;

    if (lua_isnoneornil(L, index))
        return 0;
    if (conformance_parse(check_span(L, index), &flags, &error))
        raise_error(L, &error);
    return flags;
}

static const char *host_for_ids(const struct message *message)
{
    const char *hostname = json_string_value(message_meta_get(message, "hostname"));

    return hostname && header_check_name(span_of(hostname), NULL) == 0 ? hostname : "localhost";
}

static void check_settings(lua_State *L, int index)
{
    if (lua_isnoneornil(L, index))
        return;
    luaL_checktype(L, index, LUA_TTABLE);
    lua_getfield(L, index, "detect_encoding");
    if (lua_toboolean(L, -1))
        luaL_error(L, "check_fix_conformance: detect_encoding is not available in this version");
    lua_pop(L, 1);
}

static int l_check_fix_conformance(lua_State *L)
{
    struct message *message = check_message(L);
    unsigned checks = check_labels(L, 2);
    unsigned fixes = check_labels(L, 3);
    struct span data = check_data(L, message);
    struct error error;
    struct buf *out;
    unsigned issues;

    lua_settop(L, 4); /* so that scratch is not taken for an argument */
    check_settings(L, 4);
    out = scratch_buf(L, MESSAGE_DATA_LIMIT);
    if (conformance_check(data, &issues, &error))
        return raise_error(L, &error);
    if (issues & checks) {
        if (buf_appendf(out, "Message has conformance issues: ") || conformance_format(issues & checks, out))
            return luaL_error(L, "no memory");
        push_span(L, buf_span(out));
        return 1;
    }
    if (issues & fixes) {
        if (conformance_fix(data, issues & fixes, message_id(message), host_for_ids(message), clock_wall_ms(), out,
                            &error))
            return raise_error(L, &error);
        set_body(L, message, buf_span(out));
    }
    lua_pushnil(L);
    return 1;
}

/* ---- Authentication-Results (RFC 8601) ---- */

/* A token as it is, other text quoted. Raises for what could break out of its place. */
static void add_value(lua_State *L, struct buf *out, struct span value)
{
    bool is_token = value.len > 0;
    int failed = 0;

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];

        if (c < ' ' || c == 0x7f)
            luaL_error(L, "an authentication result holds a control character");
        if (strchr(" ()<>,;:\\\"[]?=", c))
            is_token = false;
    }
    if (is_token) {
        failed = buf_append_span(out, value);
    } else {
        failed = buf_append(out, "\"", 1);
        for (size_t i = 0; i < value.len && !failed; i++)
            failed = (strchr("\\\"", value.data[i]) && buf_append(out, "\\", 1)) || buf_append(out, &value.data[i], 1);
        failed = failed || buf_append(out, "\"", 1);
    }
    if (failed)
        luaL_error(L, "the authentication results are too long");
}

/* "\r\n\t name=value": `value` at the top of the stack, popped. */
static void add_pair(lua_State *L, struct buf *out, const char *name)
{
    struct span value = check_span(L, -1);

    if (header_check_name(span_of(name), NULL))
        luaL_error(L, "an authentication result has a bad name");
    if (buf_appendf(out, "\r\n\t%s=", name))
        luaL_error(L, "the authentication results are too long");
    add_value(L, out, value);
    lua_pop(L, 1);
}

/* The result at the top: { method=, result=, reason=, props={} }. */
static void add_result(lua_State *L, struct buf *out)
{
    luaL_checktype(L, -1, LUA_TTABLE);
    if (buf_append(out, ";", 1))
        luaL_error(L, "the authentication results are too long");
    lua_getfield(L, -1, "method");
    lua_getfield(L, -2, "result");
    add_pair(L, out, luaL_checkstring(L, -2));
    lua_pop(L, 1);
    if (lua_getfield(L, -1, "reason") != LUA_TNIL)
        add_pair(L, out, "reason");
    else
        lua_pop(L, 1);
    if (lua_getfield(L, -1, "props") == LUA_TTABLE) {
        lua_pushnil(L);
        while (lua_next(L, -2)) {
            if (lua_type(L, -2) != LUA_TSTRING)
                luaL_error(L, "an authentication result has a bad name");
            add_pair(L, out, lua_tostring(L, -2));
        }
    }
    lua_pop(L, 1);
}

static int l_add_authentication_results(lua_State *L)
{
    struct message *message = check_message(L);
    struct span server = check_span(L, 2);
    struct buf *out;
    struct error error;
    lua_Integer count;

    luaL_checktype(L, 3, LUA_TTABLE);
    out = scratch_buf(L, HEADER_TEXT_LIMIT);
    if (buf_appendf(out, "Authentication-Results: "))
        return luaL_error(L, "no memory");
    add_value(L, out, server);
    count = (lua_Integer)lua_rawlen(L, 3);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, 3, i);
        add_result(L, out);
        lua_pop(L, 1);
    }
    if (count == 0 && buf_append(out, "; none", 6))
        return luaL_error(L, "no memory");
    if (buf_append(out, "\r\n", 2))
        return luaL_error(L, "no memory");
    if (message_prepend_lines(message, buf_span(out), &error))
        return raise_error(L, &error);
    return 0;
}

void message_add_data_methods(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"get_data", l_get_data},
        {"set_data", l_set_data},
        {"size", l_size},
        {"save", l_accept},
        {"shrink", l_accept},
        {"shrink_data", l_accept},
        {"set_force_sync", l_accept},
        {"check_fix_conformance", l_check_fix_conformance},
        {"add_authentication_results", l_add_authentication_results},
        {NULL, NULL},
    };

    luaL_setfuncs(L, methods, 0);
}
