/* SPDX-License-Identifier: Apache-2.0
 *
 * The table `kumo` itself: the answers a handler may raise, and what it can learn about
 * the program and its machine.
 */
#include <lauxlib.h>
#include <sched.h>
#include <string.h>

#include "policy/binding.h"
#include "policy/modules/modules.h"

/* A refusal that is not one would let the client believe that its mail was taken. */
static int check_code(lua_State *L, int lowest)
{
    lua_Integer code = luaL_checkinteger(L, 1);

    luaL_argcheck(L, code >= lowest && code <= 599, 1, "not a reply code that can refuse");
    return (int)code;
}

static struct span check_text(lua_State *L)
{
    struct span text;

    text.data = luaL_checklstring(L, 2, &text.len);
    return text;
}

static int l_reject(lua_State *L)
{
    int code = check_code(L, 400);

    policy_raise_reply(L, code, check_text(L), POLICY_STAY);
}

static int l_disconnect(lua_State *L)
{
    static const char *const modes[] = {"ForceDisconnect", "FollowWith421", "If421", NULL};
    enum policy_disconnect how = POLICY_CLOSE;
    int code = check_code(L, 200);
    int mode = luaL_checkoption(L, 3, "ForceDisconnect", modes);

    if (mode == 1 && code != 421)
        how = POLICY_CLOSE_AFTER_421;
    else if (mode == 2 && code != 421)
        how = POLICY_STAY;
    if (how == POLICY_STAY)
        luaL_argcheck(L, code >= 400, 1, "not a reply code that can refuse");
    policy_raise_reply(L, code, check_text(L), how);
}

static int l_available_parallelism(lua_State *L)
{
    cpu_set_t cpus;

    lua_pushinteger(L, sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1);
    return 1;
}

static void push_frame(lua_State *L, lua_Debug *ar)
{
    lua_getinfo(L, "nSl", ar);
    lua_newtable(L);
    lua_pushstring(L, ar->what);
    lua_setfield(L, -2, "what");
    lua_pushstring(L, ar->source);
    lua_setfield(L, -2, "source");
    lua_pushstring(L, ar->short_src);
    lua_setfield(L, -2, "short_src");
    lua_pushstring(L, ar->name ? ar->name : "");
    lua_setfield(L, -2, "name");
    lua_pushinteger(L, ar->currentline);
    lua_setfield(L, -2, "curr_line");
}

/* kumo.traceback(level): the frames from there outwards, innermost first. */
static int l_traceback(lua_State *L)
{
    lua_Integer level = luaL_optinteger(L, 1, 1);
    lua_Debug ar;

    luaL_argcheck(L, level >= 0 && level < 10000, 1, "not a level");
    lua_newtable(L);
    for (lua_Integer i = 1; i <= 100 && lua_getstack(L, (int)(level + i - 1), &ar); i++) {
        push_frame(L, &ar);
        lua_rawseti(L, -2, i);
    }
    return 1;
}

void mod_kumo_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"reject", l_reject},
                                         {"disconnect", l_disconnect},
                                         {"available_parallelism", l_available_parallelism},
                                         {"traceback", l_traceback},
                                         {NULL, NULL}};

    lua_getglobal(L, "kumo");
    luaL_setfuncs(L, functions, 0);
    lua_pushliteral(L, GATEPOST_VERSION);
    lua_setfield(L, -2, "version");
    lua_pop(L, 1);
}
