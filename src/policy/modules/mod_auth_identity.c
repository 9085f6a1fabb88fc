/* SPDX-License-Identifier: Apache-2.0
 *
 * The guard's questions, for handlers (they stand in gatepost.auth):
 *
 *   auth:tenants(conn_meta)                 whose mail this connection's may be, the one first that holds unless a
 *                                           header chooses; nil when nothing names a tenant of theirs
 *   auth:may_use_tenant(conn_meta, tenant)  true, false, or nil likewise
 *   auth:may_send_as(conn_meta, address)    true, too, where nothing is held against anybody; "" is the null sender
 */
#include <lauxlib.h>

#include "gate/identity.h"
#include "policy/binding.h"
#include "policy/modules/modules.h"
#include "policy/policy.h"
#include "receive/connection.h"

#define LIST_CLASS "gatepost.auth.list"

static struct gate_who check_who(lua_State *L, int index)
{
    const struct receive_connection *connection = policy_check_object(L, index, RECEIVE_CONNECTION_CLASS);
    const struct gate_rules *rules = policy_vm_attached(policy_vm_of(L), GATE_RULES_KEY);
    const struct gate_login *login = connection->login;

    return (struct gate_who){.rules = rules   ? rules
                                      : login ? login->rules
                                              : NULL,
                             .login = login,
                             .info = connection->auth};
}

static void release_list(void *list) { json_decref((json_t *)list); }

static int l_tenants(lua_State *L)
{
    struct gate_who who = check_who(L, 2);
    json_t *list = gate_identity_tenants(&who);

    policy_push_owned(L, LIST_CLASS, list, release_list);
    if (json_array_size(list) == 0)
        lua_pushnil(L);
    else
        policy_push_json(L, list);
    return 1;
}

static int l_may_use_tenant(lua_State *L)
{
    struct gate_who who = check_who(L, 2);
    const char *tenant = luaL_checkstring(L, 3);
    json_t *list = gate_identity_tenants(&who);
    bool may = false;

    for (size_t i = 0; i < json_array_size(list); i++)
        may = may || !strcmp(json_string_value(json_array_get(list, i)), tenant);
    if (json_array_size(list) == 0)
        lua_pushnil(L);
    else
        lua_pushboolean(L, may);
    json_decref(list);
    return 1;
}

static int l_may_send_as(lua_State *L)
{
    struct gate_who who = check_who(L, 2);
    size_t len;
    const char *address = luaL_checklstring(L, 3, &len);

    lua_pushboolean(L, gate_identity_mode(&who) == GATE_IDENTITY_OFF ||
                           gate_identity_may_send_as(&who, span_make(address, len)));
    return 1;
}

void mod_auth_identity_add(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"tenants", l_tenants}, {"may_use_tenant", l_may_use_tenant}, {"may_send_as", l_may_send_as}, {NULL, NULL}};

    luaL_newmetatable(L, LIST_CLASS);
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
