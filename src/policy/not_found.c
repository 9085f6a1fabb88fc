/* SPDX-License-Identifier: Apache-2.0
 *
 * An error that says no more than "there is no such secret or user". A stranger who tries
 * names must get the answer he gets for a wrong password, and must not fill the log with
 * tracebacks: so this error is a value of its own, told apart from a store that fails.
 */
#include <string.h>

#include "log/diag.h"
#include "policy/policy_private.h"

#define NOT_FOUND_CLASS "gatepost.not_found"

static int not_found_tostring(lua_State *L)
{
    lua_pushstring(L, luaL_checkudata(L, 1, NOT_FOUND_CLASS));
    return 1;
}

void policy_raise_not_found(lua_State *L, const char *text)
{
    size_t size = strlen(text) + 1;

    memcpy(lua_newuserdatauv(L, size, 0), text, size);
    if (luaL_newmetatable(L, NOT_FOUND_CLASS)) {
        lua_pushcfunction(L, not_found_tostring);
        lua_setfield(L, -2, "__tostring");
        lua_pushliteral(L, NOT_FOUND_CLASS);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    lua_error(L);
    __builtin_unreachable();
}

bool not_found_report(struct policy_call *call, struct policy_result *result)
{
    const char *text = luaL_testudata(call->L, -1, NOT_FOUND_CLASS);

    if (!text)
        return false;
    result->outcome = POLICY_FAILED;
    result->not_found = true;
    error_set(&result->error, ERROR_PERM, "%s", text);
    diag(DIAG_DEBUG, NULL, "policy: %s: %s", call->what, text);
    return true;
}
