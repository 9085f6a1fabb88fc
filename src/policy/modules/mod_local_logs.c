/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.configure_local_logs: where disposition records are kept. Each call adds a log with
 * a directory of its own.
 */
#include "policy/modules/house.h"
#include "policy/modules/modules.h"

#include <lauxlib.h>

#include "log/segment.h"

#define FUNCTION "kumo.configure_local_logs"

static int l_configure_local_logs(lua_State *L)
{
    void *ctx;
    const struct house_ops *house = house_get(L, FUNCTION, &ctx);

    return house_open_log(L, FUNCTION, log_config_from_json, house->configure_local_logs, ctx);
}

void mod_local_logs_open(lua_State *L)
{
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_configure_local_logs);
    lua_setfield(L, -2, "configure_local_logs");
    lua_pop(L, 1);
}
