/* SPDX-License-Identifier: Apache-2.0
 *
 * See house.h. The pair lives in the VM's registry.
 */
#include "policy/modules/house.h"

#include <lauxlib.h>
#include <stdint.h>

static const char ops_key = 'o';
static const char ctx_key = 'c';

void house_set(lua_State *L, const struct house_ops *ops, void *ctx)
{
    /* an ops table is constant and never written through this pointer */
    lua_pushlightuserdata(L, (void *)(uintptr_t)ops);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &ops_key);
    lua_pushlightuserdata(L, ctx);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &ctx_key);
}

const struct house_ops *house_get(lua_State *L, const char *function, void **ctx_out)
{
    const struct house_ops *ops;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &ops_key);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &ctx_key);
    ops = lua_touserdata(L, -2);
    *ctx_out = lua_touserdata(L, -1);
    lua_pop(L, 2);
    if (!ops)
        luaL_error(L, "%s works only inside kumo.on('init', ...)", function);
    return ops;
}
