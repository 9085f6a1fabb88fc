/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.domain_map: a table whose keys are domains, where "*.example.com" stands for every
 * name below example.com, though not for example.com itself. The exact name wins, then the
 * nearest parent's wildcard. Case does not matter. It may live in kumo.memoize's cache; from
 * then on several threads read it, and it cannot be changed any more.
 */
#include "policy/modules/modules.h"

#include <jansson.h>
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "policy/policy.h"
#include "policy/shared.h"

#define CLASS "domain map"
#define DOMAIN_LIMIT_BYTES 1024

struct domain_map {
    struct policy_shared shared;
    atomic_bool frozen;
    struct map values; /* lower-case domain -> json_t */
};

static void free_value(void *value) { json_decref(value); }

static void free_map(struct policy_shared *shared)
{
    struct domain_map *map = CONTAINER_OF(shared, struct domain_map, shared);

    map_done(&map->values, free_value);
    free(map);
}

static void freeze_map(struct policy_shared *shared)
{
    atomic_store(&CONTAINER_OF(shared, struct domain_map, shared)->frozen, true);
}

static const struct policy_shared_class map_class = {.name = CLASS, .free = free_map, .freeze = freeze_map};

static struct domain_map *check_map(lua_State *L) { return policy_check_object(L, 1, CLASS); }

/* Lower case into `out`; an empty span when the name is longer than any domain. */
static struct span lower(struct span domain, char out[DOMAIN_LIMIT_BYTES])
{
    if (domain.len > DOMAIN_LIMIT_BYTES)
        return span_make(out, 0);
    for (size_t i = 0; i < domain.len; i++)
        out[i] = ascii_lower(domain.data[i]);
    return span_make(out, domain.len);
}

/* Puts '*' over the byte before each dot in turn: "a.b.c" asks for "*.b.c", then "*.c". */
static const json_t *find_wildcard(const struct domain_map *map, char *domain, size_t len)
{
    const json_t *value = NULL;

    for (size_t dot = 1; !value && dot < len; dot++) {
        char before = domain[dot - 1];

        if (domain[dot] != '.')
            continue;
        domain[dot - 1] = '*';
        value = map_find(&map->values, span_make(domain + dot - 1, len - dot + 1));
        domain[dot - 1] = before;
    }
    return value;
}

static int l_index(lua_State *L)
{
    const struct domain_map *map = check_map(L);
    char bytes[DOMAIN_LIMIT_BYTES];
    struct span domain;
    const json_t *value;
    size_t len;

    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    domain.data = lua_tolstring(L, 2, &len);
    domain = lower(span_make(domain.data, len), bytes);
    value = map_find(&map->values, domain);
    if (!value)
        value = find_wildcard(map, bytes, domain.len);
    if (!value)
        return 0;
    policy_push_json(L, value);
    return 1;
}

static void set(lua_State *L, struct domain_map *map, int key, int value)
{
    char bytes[DOMAIN_LIMIT_BYTES];
    struct span domain;
    size_t len;
    const char *text;

    if (lua_type(L, key) != LUA_TSTRING)
        luaL_error(L, "kumo.domain_map: a key is a domain, not a %s", luaL_typename(L, key));
    text = lua_tolstring(L, key, &len);
    domain = lower(span_make(text, len), bytes);
    if (len > DOMAIN_LIMIT_BYTES)
        luaL_error(L, "kumo.domain_map: a key is longer than %d bytes", DOMAIN_LIMIT_BYTES);
    if (lua_isnil(L, value))
        json_decref(map_remove(&map->values, domain));
    else
        json_decref(map_put(&map->values, domain, policy_to_json(L, value)));
}

static int l_newindex(lua_State *L)
{
    struct domain_map *map = check_map(L);

    if (atomic_load(&map->frozen))
        return luaL_error(L, "kumo.domain_map: this map was cached by kumo.memoize and cannot be changed");
    set(L, map, 2, 3);
    return 0;
}

/* pairs() goes over a copy, as plain data. */
static int l_pairs(lua_State *L)
{
    const struct domain_map *map = check_map(L);
    struct map_cursor cursor = {0};
    struct span key;
    void *value;

    lua_getglobal(L, "next");
    lua_createtable(L, 0, (int)map->values.count); /* next copy */
    while (map_next(&map->values, &cursor, &key, &value)) {
        lua_pushlstring(L, key.data, key.len);
        policy_push_json(L, value);
        lua_rawset(L, -3);
    }
    lua_pushnil(L);
    return 3;
}

static int l_new(lua_State *L)
{
    struct domain_map *map;
    struct policy_shared *shared;

    if (!lua_isnoneornil(L, 1))
        luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    map = mem_zalloc(sizeof *map);
    policy_shared_init(&map->shared, &map_class);
    map_init(&map->values);
    policy_push_shared(L, &map->shared); /* seed map */
    shared = &map->shared;
    policy_shared_unref(&shared);
    if (lua_isnil(L, 1))
        return 1;
    lua_pushnil(L); /* seed map key */
    while (lua_next(L, 1)) {
        set(L, map, 3, 4); /* seed map key value */
        lua_pop(L, 1);
    }
    return 1;
}

void mod_domain_map_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"__index", l_index}, {"__newindex", l_newindex}, {"__pairs", l_pairs}, {NULL, NULL}};

    luaL_newmetatable(L, CLASS);
    luaL_setfuncs(L, methods, 0);
    lua_pop(L, 1);
    lua_getglobal(L, "kumo");
    luaL_getsubtable(L, -1, "domain_map");
    lua_pushcfunction(L, l_new);
    lua_setfield(L, -2, "new");
    lua_pop(L, 2);
}
