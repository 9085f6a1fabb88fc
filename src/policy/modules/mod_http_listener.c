/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.start_http_listener: where operators and monitors may ask the daemon.
 */
#include "policy/modules/house.h"
#include "policy/modules/modules.h"

#include <jansson.h>
#include <lauxlib.h>

#include "admin/admin.h"
#include "policy/policy.h"

#define FUNCTION "kumo.start_http_listener"

static int l_start_http_listener(lua_State *L)
{
    void *ctx;
    const struct house_ops *house = house_get(L, FUNCTION, &ctx);
    struct admin_params params;
    struct error error;
    json_t *table;
    int status;

    luaL_checktype(L, 1, LUA_TTABLE);
    table = policy_to_json(L, 1);
    status = admin_params_from_json(table, &params, &error);
    json_decref(table);
    if (status == 0)
        status = house->start_http_listener(ctx, &params, &error);
    return status < 0 ? luaL_error(L, FUNCTION ": %s", error.sentence) : 0;
}

void mod_http_listener_open(lua_State *L)
{
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_start_http_listener);
    lua_setfield(L, -2, "start_http_listener");
    lua_pop(L, 1);
}
