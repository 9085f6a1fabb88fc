/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.encode: base64_encode, hex_decode and their sisters, one pair of functions per
 * encoding.
 */
#include <lauxlib.h>

#include "policy/modules/modules.h"
#include "policy/modules/radix.h"

static struct span check_span(lua_State *L, int index)
{
    struct span span;

    span.data = luaL_checklstring(L, index, &span.len);
    return span;
}

static int l_encode(lua_State *L)
{
    radix_push_encoded(L, lua_touserdata(L, lua_upvalueindex(1)), check_span(L, 1));
    return 1;
}

static int l_decode(lua_State *L)
{
    const struct radix *radix = lua_touserdata(L, lua_upvalueindex(1));

    if (!radix_push_decoded(L, radix, check_span(L, 1)))
        return luaL_argerror(L, 1, lua_pushfstring(L, "not %s", radix->name));
    return 1;
}

static void add(lua_State *L, const struct radix *radix, const char *suffix, lua_CFunction function)
{
    lua_pushfstring(L, "%s%s", radix->name, suffix);
    lua_pushlightuserdata(L, (void *)radix);
    lua_pushcclosure(L, function, 1);
    lua_rawset(L, -3);
}

void mod_encode_open(lua_State *L)
{
    lua_getglobal(L, "kumo");
    lua_newtable(L);
    for (const struct radix *radix = radixes; radix->name; radix++) {
        add(L, radix, "_encode", l_encode);
        add(L, radix, "_decode", l_decode);
    }
    lua_setfield(L, -2, "encode");
    lua_pop(L, 1);
}
