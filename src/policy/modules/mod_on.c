/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.on(event, function): registers a handler.
 */
#include <lauxlib.h>

#include "policy/binding.h"
#include "policy/modules/modules.h"

static int l_on(lua_State *L)
{
    const char *event = luaL_checkstring(L, 1);

    luaL_argcheck(L, *event != '\0', 1, "an event has a name");
    policy_on(L, event, 2);
    return 0;
}

void mod_on_open(lua_State *L)
{
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_on);
    lua_setfield(L, -2, "on");
    lua_pop(L, 1);
}
