/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.configure_local_logs: where disposition records are kept. Each call adds a log with
 * a directory of its own.
 */
#include "policy/modules/house.h"
#include "policy/modules/modules.h"

#include <jansson.h>
#include <lauxlib.h>

#include "log/segment.h"
#include "policy/policy.h"

#define FUNCTION "kumo.configure_local_logs"

/* No Lua error may be raised while the config is held: it would leak. */
static int configure(const struct house_ops *house, void *ctx, const json_t *params, struct error *error)
{
    struct log_config config;
    int status;

    if (log_config_from_json(params, &config, error) < 0)
        return -1;
    status = house->configure_local_logs(ctx, &config, error);
    log_config_done(&config);
    return status;
}

static int l_configure_local_logs(lua_State *L)
{
    void *ctx;
    const struct house_ops *house = house_get(L, FUNCTION, &ctx);
    struct error error;
    json_t *params;
    int status;

    luaL_checktype(L, 1, LUA_TTABLE);
    params = policy_to_json(L, 1);
    status = configure(house, ctx, params, &error);
    json_decref(params);
    return status < 0 ? luaL_error(L, FUNCTION ": %s", error.sentence) : 0;
}

void mod_local_logs_open(lua_State *L)
{
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_configure_local_logs);
    lua_setfield(L, -2, "configure_local_logs");
    lua_pop(L, 1);
}
