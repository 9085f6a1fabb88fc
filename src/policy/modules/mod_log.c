/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.log_error and its sisters: the arguments, joined as print does, on the diagnostic
 * log with the policy's file and line. Credentials of the running call are masked.
 */
#include <lauxlib.h>

#include "base/buf.h"
#include "log/diag.h"
#include "policy/binding.h"
#include "policy/modules/modules.h"

#define TEXT_LIMIT_BYTES 8192

/* On the top of the stack: the text that the log line gets. Everything that can raise is
 * done here, before there is a buffer to lose. */
static void push_joined(lua_State *L)
{
    int count = lua_gettop(L);
    luaL_Buffer text;

    luaL_checkstack(L, count + LUA_MINSTACK, NULL);
    for (int i = 1; i <= count; i++)
        luaL_tolstring(L, i, NULL);
    luaL_buffinit(L, &text);
    luaL_where(L, 1);
    luaL_addvalue(&text);
    for (int i = 1; i <= count; i++) {
        if (i > 1)
            luaL_addchar(&text, '\t');
        lua_pushvalue(L, count + i);
        luaL_addvalue(&text);
    }
    luaL_pushresult(&text);
}

static void write_line(lua_State *L, enum diag_level level)
{
    struct span joined;
    struct buf text;
    const char *line;

    joined.data = lua_tolstring(L, -1, &joined.len);
    buf_init(&text, TEXT_LIMIT_BYTES);
    if (buf_append_span(&text, span_head(joined, TEXT_LIMIT_BYTES / 2)) < 0)
        buf_clear(&text);
    policy_scrub(L, &text);
    line = buf_cstr(&text);
    diag(level, NULL, "%s", line ? line : "");
    buf_done(&text);
}

static int log_at(lua_State *L, enum diag_level level)
{
    if (!diag_is_on(level))
        return 0;
    push_joined(L);
    write_line(L, level);
    return 0;
}

static int l_log_trace(lua_State *L) { return log_at(L, DIAG_TRACE); }
static int l_log_debug(lua_State *L) { return log_at(L, DIAG_DEBUG); }
static int l_log_info(lua_State *L) { return log_at(L, DIAG_INFO); }
static int l_log_warn(lua_State *L) { return log_at(L, DIAG_WARN); }
static int l_log_error(lua_State *L) { return log_at(L, DIAG_ERROR); }

/* A filter is "kumod=debug,lua(my_module)=trace" there. Here there is one level: the most
 * talkative that the filter names. */
static int l_set_filter(lua_State *L)
{
    struct span rest;
    struct span part;
    bool found = false;
    enum diag_level lowest = DIAG_ERROR;

    rest.data = luaL_checklstring(L, 1, &rest.len);
    while (span_split(&rest, ',', &part)) {
        struct span word = span_trim(span_from(part, span_find(part, '=') < part.len ? span_find(part, '=') + 1 : 0));
        char name[16] = "";
        enum diag_level level;

        memcpy(name, word.data, word.len < sizeof name ? word.len : 0);
        if (diag_level_parse(name, &level) == 0) {
            found = true;
            lowest = level < lowest ? level : lowest;
        }
    }
    if (!found)
        return luaL_argerror(L, 1, "no level in it: trace, debug, info, warn or error");
    diag_set_level(lowest);
    return 0;
}

void mod_log_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"log_trace", l_log_trace},
                                         {"log_debug", l_log_debug},
                                         {"log_info", l_log_info},
                                         {"log_warn", l_log_warn},
                                         {"log_error", l_log_error},
                                         {"set_diagnostic_log_filter", l_set_filter},
                                         {NULL, NULL}};

    lua_getglobal(L, "kumo");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
