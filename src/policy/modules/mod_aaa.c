/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.aaa.configure_acct_log: where logins are recorded. Access rules for the HTTP listener, the rest of kumo.aaa, are
 * not here: using one of its other functions is an error that names it, like anything else of the manual that is not.
 */
#include <lauxlib.h>

#include "log/segment.h"
#include "policy/modules/house.h"
#include "policy/modules/modules.h"

#define FUNCTION "kumo.aaa.configure_acct_log"

static int l_configure_acct_log(lua_State *L)
{
    void *ctx;
    const struct house_ops *house = house_get(L, FUNCTION, &ctx);

    return house_open_log(L, FUNCTION, log_config_from_acct_json, house->configure_acct_log, ctx);
}

static int l_missing(lua_State *L)
{
    return luaL_error(L, "kumo.aaa.%s is not available in Gatepost %s", luaL_tolstring(L, 2, NULL), GATEPOST_VERSION);
}

void mod_aaa_open(lua_State *L)
{
    lua_getglobal(L, "kumo");
    lua_newtable(L);
    lua_pushcfunction(L, l_configure_acct_log);
    lua_setfield(L, -2, "configure_acct_log");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_missing);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "aaa");
    lua_pop(L, 1);
}
