/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffers and parsed headers that the collector frees, so that a Lua error cannot leak them.
 */
#include "policy/modules/mod_message_private.h"

#define BUF_CLASS "gatepost.scratch.buf"
#define HEADERS_CLASS "gatepost.scratch.headers"

static int gc_buf(lua_State *L)
{
    buf_done(lua_touserdata(L, 1));
    return 0;
}

static int gc_headers(lua_State *L)
{
    headers_done(lua_touserdata(L, 1));
    return 0;
}

static void add_class(lua_State *L, const char *class, lua_CFunction gc)
{
    luaL_newmetatable(L, class);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

void scratch_open(lua_State *L)
{
    add_class(L, BUF_CLASS, gc_buf);
    add_class(L, HEADERS_CLASS, gc_headers);
}

struct buf *scratch_buf(lua_State *L, size_t limit_bytes)
{
    struct buf *buf = lua_newuserdatauv(L, sizeof *buf, 0);

    buf_init(buf, limit_bytes);
    luaL_setmetatable(L, BUF_CLASS);
    return buf;
}

struct headers *scratch_headers(lua_State *L, const struct message *message)
{
    struct headers *headers = lua_newuserdatauv(L, sizeof *headers, 0);
    struct error error;

    *headers = (struct headers){0};
    luaL_setmetatable(L, HEADERS_CLASS);
    if (!message_body(message))
        luaL_error(L, "the message's data is not in memory");
    if (headers_parse(bytes_span(message_body(message)), headers, &error))
        raise_error(L, &error);
    return headers;
}
