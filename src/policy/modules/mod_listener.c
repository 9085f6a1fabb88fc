/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.start_esmtp_listener and kumo.make_listener_domain. Parameters are checked whole, here
 * and now, so that a mistake names its key and the policy's line.
 */
#include <jansson.h>
#include <lauxlib.h>
#include <string.h>

#include "policy/modules/house.h"
#include "policy/modules/modules.h"
#include "policy/policy.h"
#include "policy/shared.h"
#include "receive/domain.h"
#include "receive/params.h"

#define NESTING_MAX 6

/* ---- key sources that only kumo.secrets can read (Vault, events) become key_data ---- */

static bool has_field(lua_State *L, int index, const char *name)
{
    bool has = lua_getfield(L, index, name) != LUA_TNIL;

    lua_pop(L, 1);
    return has;
}

static bool is_remote_source(lua_State *L, int index)
{
    return lua_istable(L, index) && (has_field(L, index, "vault_path") || has_field(L, index, "event_name"));
}

/* Replaces the source at the top by {key_data = its content}. */
static void load_source(lua_State *L)
{
    lua_createtable(L, 0, 1);                                /* source, made */
    lua_getglobal(L, "kumo");                                /* source, made, kumo */
    luaL_argcheck(L, lua_istable(L, -1), 1, "kumo is gone"); /* an operator may have overwritten it */
    lua_getfield(L, -1, "secrets");
    lua_getfield(L, -1, "load"); /* source, made, kumo, secrets, load */
    lua_pushvalue(L, -5);
    lua_call(L, 1, 1); /* source, made, kumo, secrets, text */
    lua_setfield(L, -4, "key_data");
    lua_pop(L, 2);
    lua_remove(L, -2); /* made */
}

static void copy_resolved(lua_State *L, int index, int depth);

/* Replaces the value at the top by its copy. */
static void copy_value(lua_State *L, int depth)
{
    if (is_remote_source(L, lua_gettop(L))) {
        load_source(L);
    } else if (lua_istable(L, -1)) {
        copy_resolved(L, lua_gettop(L), depth + 1);
        lua_remove(L, -2);
    }
}

/* Pushes a copy of the table at `index`; the operator's own table is not written. */
static void copy_resolved(lua_State *L, int index, int depth)
{
    luaL_argcheck(L, depth < NESTING_MAX, 1, "tables are nested too deeply");
    luaL_checkstack(L, 12, "parameters");
    lua_newtable(L); /* copy */
    lua_pushnil(L);
    while (lua_next(L, index)) { /* copy, key, value */
        copy_value(L, depth);
        lua_pushvalue(L, -2); /* copy, key, value, key */
        lua_insert(L, -2);    /* copy, key, key, value */
        lua_rawset(L, -4);
    }
}

/* ---- kumo.start_esmtp_listener { ... } ---- */

static int l_start_esmtp_listener(lua_State *L)
{
    void *house;
    const struct house_ops *ops = house_get(L, "kumo.start_esmtp_listener", &house);
    struct receive_params *params;
    struct error error;
    json_t *table;
    int failed;

    luaL_checktype(L, 1, LUA_TTABLE);
    copy_resolved(L, 1, 0);
    table = policy_to_json(L, -1);
    /* nothing from here to the last line can raise */
    params = receive_params_new(table, &error);
    json_decref(table);
    failed = params ? ops->start_esmtp_listener(house, params, &error) : -1;
    receive_params_unref(&params);
    return failed ? luaL_error(L, "kumo.start_esmtp_listener: %s", error.sentence) : 0;
}

/* ---- kumo.make_listener_domain { ... } ---- */

static int l_make_listener_domain(lua_State *L)
{
    struct receive_domain *domain;
    struct policy_shared *shared;
    struct error error;
    json_t *table;

    luaL_checktype(L, 1, LUA_TTABLE);
    table = policy_to_json(L, 1);
    domain = receive_domain_new(table, &error);
    json_decref(table);
    if (!domain)
        return luaL_error(L, "kumo.make_listener_domain: %s", error.sentence);
    shared = &domain->shared;
    policy_push_shared(L, shared);
    policy_shared_unref(&shared); /* the userdata has a reference of its own */
    return 1;
}

/* domain:relays_from_everybody(), since a client says of its sender's domain what it likes */
static int l_relays_from_everybody(lua_State *L)
{
    const struct receive_domain *domain = policy_check_object(L, 1, RECEIVE_DOMAIN_CLASS);

    lua_pushboolean(L, receive_cidrs_everybody(&domain->relay_from) != NULL);
    return 1;
}

static const luaL_Reg methods[] = {{"relays_from_everybody", l_relays_from_everybody}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"start_esmtp_listener", l_start_esmtp_listener},
    {"make_listener_domain", l_make_listener_domain},
    {NULL, NULL},
};

void mod_listener_open(lua_State *L)
{
    luaL_newmetatable(L, RECEIVE_DOMAIN_CLASS);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_getglobal(L, "kumo");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
