/* SPDX-License-Identifier: Apache-2.0
 *
 * The standard libraries as a policy has them. What could end the process, block it in a
 * shell, run outside of the budgets or break the VM from within is taken out or fenced:
 *   - no os.exit, os.execute, io.popen, os.setlocale; no native libraries; no bytecode;
 *   - no __gc in a policy's metatables, because finalizers run with the hook off;
 *   - a handler's own coroutine cannot be had, yielded or closed by the policy: it belongs
 *     to the engine, and waiting is what it is suspended for.
 */
#include <lualib.h>
#include <string.h>

#include "policy/policy_private.h"

static void drop_field(lua_State *L, const char *library, const char *name)
{
    lua_getglobal(L, library);
    lua_pushnil(L);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* Puts `fn` in the place of a library function, which it gets as its upvalue. */
static void wrap_field(lua_State *L, const char *library, const char *name, lua_CFunction fn)
{
    lua_getglobal(L, library);
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, fn, 1);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* ---- base ---- */

static int call_wrapped(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static int sandbox_setmetatable(lua_State *L)
{
    if (lua_type(L, 2) == LUA_TTABLE) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "__gc is not available to policies: use a <close> variable");
        lua_pop(L, 1);
    }
    return call_wrapped(L);
}

static int sandbox_load(lua_State *L)
{
    const char *mode = luaL_optstring(L, 3, "t");

    if (strchr(mode, 'b'))
        return luaL_error(L, "load: binary chunks are not available to policies");
    if (lua_gettop(L) < 3)
        lua_settop(L, 3);
    lua_pushliteral(L, "t");
    lua_replace(L, 3);
    return call_wrapped(L);
}

/* A message handler runs where the error is raised. If that is the hook that stops a
 * runaway, hooks are off, and the policy's own handler could run for ever. */
static int guarded_handler(lua_State *L)
{
    const struct budget *budget = thread_of(L)->state->budget;

    if (budget && budget->spent)
        return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static int on_wrapped_done(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L);
}

static int sandbox_xpcall(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, guarded_handler, 1);
    lua_replace(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, on_wrapped_done);
    return lua_gettop(L);
}

/* ---- functions of the libraries that can run long without an instruction ---- */

#define LONGEST_MOVE 10000000

static int sandbox_rep(lua_State *L)
{
    size_t len;

    luaL_checklstring(L, 1, &len);
    if (len == 0 && lua_isnoneornil(L, 3)) {
        lua_pushliteral(L, "");
        return 1;
    }
    return call_wrapped(L);
}

static int sandbox_move(lua_State *L)
{
    lua_Integer first = luaL_checkinteger(L, 2);
    lua_Integer last = luaL_checkinteger(L, 3);

    if (last >= first && (lua_Unsigned)last - (lua_Unsigned)first >= LONGEST_MOVE)
        return luaL_error(L, "table.move: more than %d elements", LONGEST_MOVE);
    return call_wrapped(L);
}

/* ---- coroutine ---- */

static bool is_policys_own(lua_State *L)
{
    struct policy_thread *thread = thread_of(L);

    return !thread->call && L != thread->state->L;
}

/* Outside of coroutines that the policy made: a dead one, and true for "the main one". */
static int sandbox_running(lua_State *L)
{
    if (is_policys_own(L)) {
        lua_pushthread(L);
        lua_pushboolean(L, false);
    } else {
        lua_pushvalue(L, lua_upvalueindex(1));
        lua_pushboolean(L, true);
    }
    return 2;
}

static int sandbox_isyieldable(lua_State *L)
{
    if (lua_isthread(L, 1))
        return call_wrapped(L);
    lua_pushboolean(L, is_policys_own(L) && lua_isyieldable(L));
    return 1;
}

static int sandbox_yield(lua_State *L)
{
    if (!is_policys_own(L))
        return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

/* A coroutine that dies of an error out of a hook is left with its hooks off, and then
 * runs its <close> variables. The error has to meet a protected call first, which switches
 * them on again. */
static int on_body_done(lua_State *L, int status, lua_KContext ctx)
{
    (void)ctx;
    if (status != LUA_OK && status != LUA_YIELD)
        return lua_error(L);
    return lua_gettop(L);
}

static int protected_body(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    return on_body_done(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, on_body_done), 0);
}

/* coroutine.create and coroutine.wrap */
static int sandbox_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_pushcclosure(L, protected_body, 1);
    return call_wrapped(L);
}

static void fence_coroutines(lua_State *L)
{
    lua_getglobal(L, "coroutine");
    lua_newthread(L);
    lua_pushcclosure(L, sandbox_running, 1);
    lua_setfield(L, -2, "running");
    lua_pop(L, 1);
    wrap_field(L, "coroutine", "create", sandbox_create);
    wrap_field(L, "coroutine", "wrap", sandbox_create);
    wrap_field(L, "coroutine", "isyieldable", sandbox_isyieldable);
    wrap_field(L, "coroutine", "yield", sandbox_yield);
}

/* ---- package ---- */

static void add_policy_dir(luaL_Buffer *path, const char *policy_path)
{
    const char *slash = strrchr(policy_path, '/');
    size_t len = slash ? (size_t)(slash - policy_path) : 1;
    const char *dir = slash ? policy_path : ".";

    if (slash == policy_path)
        len = 0; /* the root: "/?.lua" */
    luaL_addlstring(path, dir, len);
    luaL_addstring(path, "/?.lua;");
    luaL_addlstring(path, dir, len);
    luaL_addstring(path, "/?/init.lua;");
}

static void set_package_path(lua_State *L, const struct policy *policy)
{
    luaL_Buffer path;

    lua_getglobal(L, "package");
    luaL_buffinit(L, &path);
    if (policy->path)
        add_policy_dir(&path, policy->path);
    if (policy->lua_path) {
        luaL_addstring(&path, policy->lua_path);
        luaL_addstring(&path, ";");
    }
    luaL_addstring(&path, "/usr/local/share/lua/5.4/?.lua;/usr/local/share/lua/5.4/?/init.lua;");
    luaL_addstring(&path, "/usr/share/lua/5.4/?.lua;/usr/share/lua/5.4/?/init.lua");
    luaL_pushresult(&path);
    lua_setfield(L, -2, "path");
    lua_pushliteral(L, "");
    lua_setfield(L, -2, "cpath");
    lua_pop(L, 1);
}

/* Leaves the searchers for package.preload and for Lua files. */
static void drop_native_searchers(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i > 2; i--) {
        lua_pushnil(L);
        lua_rawseti(L, -2, i);
    }
    lua_pop(L, 2);
    drop_field(L, "package", "loadlib");
}

/* ---- all of it ---- */

static const luaL_Reg libraries[] = {
    {LUA_GNAME, luaopen_base},        {LUA_LOADLIBNAME, luaopen_package}, {LUA_COLIBNAME, luaopen_coroutine},
    {LUA_TABLIBNAME, luaopen_table},  {LUA_IOLIBNAME, luaopen_io},        {LUA_OSLIBNAME, luaopen_os},
    {LUA_STRLIBNAME, luaopen_string}, {LUA_MATHLIBNAME, luaopen_math},    {LUA_UTF8LIBNAME, luaopen_utf8},
};

void sandbox_open(lua_State *L, const struct policy *policy)
{
    lua_pushboolean(L, true);
    lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
        lua_pop(L, 1);
    }
    drop_field(L, "os", "exit");
    drop_field(L, "os", "execute");
    drop_field(L, "os", "setlocale");
    drop_field(L, "io", "popen");
    drop_field(L, "string", "dump");
    wrap_field(L, "_G", "setmetatable", sandbox_setmetatable);
    wrap_field(L, "_G", "xpcall", sandbox_xpcall);
    wrap_field(L, "_G", "load", sandbox_load);
    wrap_field(L, "string", "rep", sandbox_rep);
    wrap_field(L, "table", "move", sandbox_move);
    fence_coroutines(L);
    set_package_path(L, policy);
    drop_native_searchers(L);
}
