/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.dns: which resolver the daemon asks. configure_resolver and
 * configure_unbound_resolver take { name_servers = { "ip", "ip:port" } };
 * configure_test_resolver takes a list of zone texts and asks nobody.
 */
#include "policy/modules/house.h"
#include "policy/modules/modules.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/cidr.h"
#include "base/must.h"

#define SERVERS_LIMIT 16

/* "ip" or "ip:port". */
static bool is_server(const char *text)
{
    struct sockaddr_storage address;
    struct ip ip;

    return !ip_parse(span_of(text), &ip) || !sockaddr_parse(span_of(text), &address, NULL);
}

static size_t check_servers(lua_State *L, int index, const char **servers)
{
    size_t count = (size_t)lua_rawlen(L, index);

    if (count == 0 || count > SERVERS_LIMIT)
        return (size_t)luaL_error(L, "name_servers must hold 1 to %d addresses", SERVERS_LIMIT);
    for (size_t i = 0; i < count; i++) {
        /* the table keeps the string alive after the pop */
        if (lua_rawgeti(L, index, (lua_Integer)i + 1) != LUA_TSTRING || !is_server(lua_tostring(L, -1)))
            return (size_t)luaL_error(L, "name_servers[%d] must be 'IP' or 'IP:PORT'", (int)i + 1);
        servers[i] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    return count;
}

static void check_keys(lua_State *L)
{
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";

        if (!span_eq(span_of(key), SPAN_LIT("name_servers")) && !span_eq(span_of(key), SPAN_LIT("options")))
            luaL_error(L, "unknown key '%s': this resolver takes name_servers", key);
        lua_pop(L, 1);
    }
}

static int l_configure_resolver(lua_State *L)
{
    void *ctx;
    const struct house_ops *house = house_get(L, "kumo.dns.configure_resolver", &ctx);
    const char *servers[SERVERS_LIMIT];
    struct error error;
    size_t count;

    luaL_checktype(L, 1, LUA_TTABLE);
    check_keys(L);
    if (lua_getfield(L, 1, "name_servers") != LUA_TTABLE)
        return luaL_error(L, "name_servers must be a list of addresses");
    count = check_servers(L, -1, servers);
    if (house->configure_resolver(ctx, servers, count, NULL, &error))
        return luaL_error(L, "%s", error.sentence);
    return 0;
}

static int l_configure_test_resolver(lua_State *L)
{
    void *ctx;
    const struct house_ops *house = house_get(L, "kumo.dns.configure_test_resolver", &ctx);
    lua_Integer count;
    luaL_Buffer text;
    struct error error;

    luaL_checktype(L, 1, LUA_TTABLE);
    count = luaL_len(L, 1);
    luaL_buffinit(L, &text);
    for (lua_Integer i = 1; i <= count; i++) {
        if (lua_rawgeti(L, 1, i) != LUA_TSTRING)
            return luaL_error(L, "zone %d must be a string", (int)i);
        luaL_addvalue(&text);
        luaL_addchar(&text, '\n');
    }
    luaL_pushresult(&text);
    if (house->configure_resolver(ctx, NULL, 0, lua_tostring(L, -1), &error))
        return luaL_error(L, "%s", error.sentence);
    return 0;
}

void mod_dns_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"configure_resolver", l_configure_resolver},
        {"configure_unbound_resolver", l_configure_resolver},
        {"configure_test_resolver", l_configure_test_resolver},
        {NULL, NULL},
    };

    lua_getglobal(L, "kumo");
    luaL_newlib(L, functions);
    lua_setfield(L, -2, "dns");
    lua_pop(L, 1);
}
