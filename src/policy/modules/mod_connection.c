/* SPDX-License-Identifier: Apache-2.0
 *
 * The connection as policy sees it: conn_meta:get_meta, :set_meta, :auth_info. The object is
 * lent to a handler for the time of its call; kept for longer, it raises an error.
 */
#include <jansson.h>
#include <lauxlib.h>

#include "policy/modules/modules.h"
#include "policy/policy.h"
#include "receive/connection.h"

static struct receive_connection *check_connection(lua_State *L)
{
    return policy_check_object(L, 1, RECEIVE_CONNECTION_CLASS);
}

/* Pushing may raise when memory is gone, and the value would then be leaked; it is given to
 * the collector first. */
static void release_json(void *value) { json_decref(value); }

#define HELD_CLASS "connectionmeta value"

static int push_and_release(lua_State *L, json_t *value)
{
    if (!value) {
        lua_pushnil(L);
        return 1;
    }
    policy_push_owned(L, HELD_CLASS, value, release_json);
    policy_push_json(L, value);
    return 1;
}

static int l_get_meta(lua_State *L)
{
    struct receive_connection *connection = check_connection(L);

    return push_and_release(L, receive_connection_get_meta(connection, luaL_checkstring(L, 2)));
}

static int l_set_meta(lua_State *L)
{
    struct receive_connection *connection = check_connection(L);
    const char *key = luaL_checkstring(L, 2);
    struct error error;

    luaL_checkany(L, 3);
    if (receive_connection_set_meta(connection, key, policy_to_json(L, 3), &error))
        return luaL_error(L, "%s", error.sentence);
    return 0;
}

static int l_auth_info(lua_State *L)
{
    const struct receive_connection *connection = check_connection(L);

    return push_and_release(L, connection->auth ? auth_info_to_json(connection->auth) : NULL);
}

static int l_tostring(lua_State *L)
{
    struct receive_connection *connection = check_connection(L);
    char from[SOCKADDR_TEXT_BYTES];

    receive_connection_from(connection, from);
    lua_pushfstring(L, "connection from %s", from);
    return 1;
}

static const luaL_Reg methods[] = {
    {"get_meta", l_get_meta},
    {"set_meta", l_set_meta},
    {"auth_info", l_auth_info},
    {"__tostring", l_tostring},
    {NULL, NULL},
};

void mod_connection_open(lua_State *L)
{
    luaL_newmetatable(L, HELD_CLASS);
    lua_pop(L, 1);
    luaL_newmetatable(L, RECEIVE_CONNECTION_CLASS);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
