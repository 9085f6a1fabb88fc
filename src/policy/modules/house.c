/* SPDX-License-Identifier: Apache-2.0
 *
 * See house.h.
 */
#include "policy/modules/house.h"

#include <lauxlib.h>

#include "log/segment.h"
#include "policy/policy.h"

const struct house_ops *house_get(lua_State *L, const char *function, void **ctx_out)
{
    const struct house_owner *owner = policy_vm_owner(policy_vm_of(L));

    if (!owner)
        luaL_error(L, "%s works only inside kumo.on('init', ...)", function);
    *ctx_out = owner->ctx;
    return owner->ops;
}

/* No Lua error may be raised while the config is held: it would leak. */
static int read_and_open(const json_t *params, house_read_log_fn *read, house_open_log_fn *open, void *ctx,
                         struct error *error)
{
    struct log_config config;
    int status;

    if (read(params, &config, error) < 0)
        return -1;
    status = open(ctx, &config, error);
    log_config_done(&config);
    return status;
}

int house_open_log(lua_State *L, const char *function, house_read_log_fn *read, house_open_log_fn *open, void *ctx)
{
    struct error error;
    json_t *params;
    int status;

    luaL_checktype(L, 1, LUA_TTABLE);
    params = policy_to_json(L, 1);
    status = read_and_open(params, read, open, ctx, &error);
    json_decref(params);
    return status < 0 ? luaL_error(L, "%s: %s", function, error.sentence) : 0;
}
