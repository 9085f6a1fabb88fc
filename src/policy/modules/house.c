/* SPDX-License-Identifier: Apache-2.0
 *
 * See house.h.
 */
#include "policy/modules/house.h"

#include <lauxlib.h>

#include "policy/policy.h"

const struct house_ops *house_get(lua_State *L, const char *function, void **ctx_out)
{
    const struct house_owner *owner = policy_vm_owner(policy_vm_of(L));

    if (!owner)
        luaL_error(L, "%s works only inside kumo.on('init', ...)", function);
    *ctx_out = owner->ctx;
    return owner->ops;
}
