/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.validation_failed(): what a validate_config handler has found wrong makes the program
 * end as failed, after the other handlers have had their look. Any other time nothing is
 * being validated, and the call says nothing, as KumoMTA has it.
 */
#include "policy/binding.h"
#include "policy/modules/house.h"
#include "policy/modules/modules.h"

static int l_validation_failed(lua_State *L)
{
    const struct house_owner *owner = policy_vm_owner(policy_vm_of(L));

    if (owner && owner->ops->validation_failed)
        owner->ops->validation_failed(owner->ctx);
    return 0;
}

void mod_validation_open(lua_State *L)
{
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_validation_failed);
    lua_setfield(L, -2, "validation_failed");
    lua_pop(L, 1);
}
