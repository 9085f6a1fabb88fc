/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.make_queue_config, make_egress_pool, make_egress_source, make_egress_path: a table in,
 * a checked object out, which event handlers return and kumo.memoize may keep. Faults are
 * raised where the policy made the call, with the key at fault. The password of a smart host
 * may be any key source; it is loaded here, once per call, and the handler may wait for it.
 */
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "base/span.h"
#include "policy/modules/modules.h"
#include "policy/policy.h"
#include "queue/egress.h"
#include "route/route.h"

struct maker {
    const char *function; /* under `kumo` */
    struct policy_shared_class class;
    void *(*make)(const json_t *params, struct error *error);
};

/* ---- the four kinds ---- */

static void free_value(struct policy_shared *shared, void (*unref)(void *route))
{
    struct egress_value *value = (struct egress_value *)shared;

    unref(value->route);
    free(value);
}

#define KIND(kind)                                                                                                     \
    static void *make_##kind(const json_t *params, struct error *error) { return route_##kind##_new(params, error); }  \
    static void unref_##kind(void *route)                                                                              \
    {                                                                                                                  \
        struct route_##kind *gone = route;                                                                             \
        route_##kind##_unref(&gone);                                                                                   \
    }                                                                                                                  \
    static void free_##kind(struct policy_shared *shared) { free_value(shared, unref_##kind); }

KIND(queue_config)
KIND(pool)
KIND(source)
KIND(path)

static const struct maker makers[] = {
    {"make_queue_config", {EGRESS_QUEUE_CONFIG, free_queue_config, NULL}, make_queue_config},
    {"make_egress_pool", {EGRESS_POOL, free_pool, NULL}, make_pool},
    {"make_egress_source", {EGRESS_SOURCE, free_source, NULL}, make_source},
    {"make_egress_path", {EGRESS_PATH, free_path, NULL}, make_path},
};

/* ---- a table in, an object out ---- */

/* `params` is released. No frame of ours holds anything when the error is raised. */
static struct egress_value *value_of(const struct maker *maker, json_t *params, struct error *error)
{
    void *route = maker->make(params, error);
    struct egress_value *value = NULL;

    json_decref(params);
    if (route) {
        value = mem_zalloc(sizeof *value);
        policy_shared_init(&value->shared, &maker->class);
        value->route = route;
    }
    return value;
}

static int make(lua_State *L, const struct maker *maker)
{
    struct error error = {0};
    struct egress_value *value = value_of(maker, policy_to_json(L, 1), &error);
    struct policy_shared *shared = (struct policy_shared *)value;

    if (!value)
        return luaL_error(L, "kumo.%s: %s", maker->function, error.sentence);
    policy_push_shared(L, shared);
    policy_shared_unref(&shared);
    return 1;
}

static int l_make(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    return make(L, &makers[lua_tointeger(L, lua_upvalueindex(1))]);
}

/* ---- the path, whose password may have to be fetched ---- */

#define PASSWORD "smtp_auth_plain_password"

/* Stack: params, a copy of it, what kumo.secrets.load returned. */
static int make_with_password(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lua_setfield(L, 2, PASSWORD);
    lua_replace(L, 1);
    return make(L, &makers[ctx]);
}

/* A copy, so that the operator's table never holds the password. */
static void copy_table(lua_State *L, int index)
{
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
}

static int l_make_path(lua_State *L)
{
    int maker = (int)lua_tointeger(L, lua_upvalueindex(1));

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (lua_getfield(L, 1, PASSWORD) == LUA_TNIL) {
        lua_settop(L, 1);
        return make(L, &makers[maker]);
    }
    lua_settop(L, 1);
    copy_table(L, 1);
    lua_getglobal(L, "kumo");
    lua_getfield(L, -1, "secrets");
    lua_getfield(L, -1, "load");
    lua_replace(L, 3);
    lua_settop(L, 3);
    lua_getfield(L, 1, PASSWORD);
    lua_callk(L, 1, 1, maker, make_with_password);
    return make_with_password(L, LUA_OK, maker);
}

/* ---- registration ---- */

static int l_tostring(lua_State *L)
{
    lua_pushstring(L, lua_tostring(L, lua_upvalueindex(1)));
    return 1;
}

/* The engine may have made the class already, with what it needs in it. */
static void add_class(lua_State *L, const char *name)
{
    luaL_newmetatable(L, name);
    lua_pushstring(L, name);
    lua_pushcclosure(L, l_tostring, 1);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);
}

void mod_egress_open(lua_State *L)
{
    lua_getglobal(L, "kumo");
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
        add_class(L, makers[i].class.name);
        lua_pushinteger(L, (lua_Integer)i);
        lua_pushcclosure(L, makers[i].make == make_path ? l_make_path : l_make, 1);
        lua_setfield(L, -2, makers[i].function);
    }
    lua_pop(L, 1);
}
