/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.digest: sha256 and its sisters, over all of their arguments. The result is an object
 * with the bytes in every encoding as a field.
 */
#include <lauxlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "policy/modules/modules.h"
#include "policy/modules/radix.h"

#define DIGEST_CLASS "kumo.digest"

static const struct {
    const char *name;
    enum crypto_hash hash;
} algorithms[] = {
    {"sha1", CRYPTO_SHA1},         {"sha224", CRYPTO_SHA224},     {"sha256", CRYPTO_SHA256},
    {"sha384", CRYPTO_SHA384},     {"sha512", CRYPTO_SHA512},     {"sha512_256", CRYPTO_SHA512_256},
    {"sha3_256", CRYPTO_SHA3_256}, {"sha3_384", CRYPTO_SHA3_384}, {"sha3_512", CRYPTO_SHA3_512},
};

struct digest {
    size_t len;
    unsigned char bytes[CRYPTO_DIGEST_MOST_BYTES];
};

static struct span bytes_of(lua_State *L)
{
    const struct digest *digest = luaL_checkudata(L, 1, DIGEST_CLASS);

    return span_make((const char *)digest->bytes, digest->len);
}

static int digest_tostring(lua_State *L)
{
    radix_push_encoded(L, radix_find("hex"), bytes_of(L));
    return 1;
}

static int digest_index(lua_State *L)
{
    struct span bytes = bytes_of(L);
    const char *field = luaL_checkstring(L, 2);
    const struct radix *radix = radix_find(field);

    if (radix)
        radix_push_encoded(L, radix, bytes);
    else if (!strcmp(field, "bytes"))
        lua_pushlstring(L, bytes.data, bytes.len);
    else
        return luaL_error(L, "a digest has no field '%s'", field);
    return 1;
}

/* What is not a string counts as its JSON. */
static void stringify(lua_State *L, int index)
{
    if (lua_type(L, index) == LUA_TSTRING)
        return;
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    lua_replace(L, index);
}

static int l_digest(lua_State *L)
{
    int count = lua_gettop(L);
    struct digest *digest;
    struct span data;

    luaL_argcheck(L, count > 0, 1, "nothing to digest");
    for (int i = 1; i <= count; i++)
        stringify(L, i);
    lua_concat(L, count);
    data.data = lua_tolstring(L, -1, &data.len);
    digest = lua_newuserdatauv(L, sizeof *digest, 0);
    digest->len = crypto_digest((enum crypto_hash)lua_tointeger(L, lua_upvalueindex(1)), data, digest->bytes);
    luaL_setmetatable(L, DIGEST_CLASS);
    return 1;
}

static void make_class(lua_State *L)
{
    static const luaL_Reg methods[] = {{"__tostring", digest_tostring}, {"__index", digest_index}, {NULL, NULL}};

    luaL_newmetatable(L, DIGEST_CLASS);
    luaL_setfuncs(L, methods, 0);
    lua_pushliteral(L, DIGEST_CLASS);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

void mod_digest_open(lua_State *L)
{
    make_class(L);
    lua_getglobal(L, "kumo");
    lua_newtable(L);
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
        lua_pushinteger(L, (lua_Integer)algorithms[i].hash);
        lua_getfield(L, -3, "json_encode");
        lua_pushcclosure(L, l_digest, 2);
        lua_setfield(L, -2, algorithms[i].name);
    }
    lua_setfield(L, -2, "digest");
    lua_pop(L, 1);
}
