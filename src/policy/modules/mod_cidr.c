/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.cidr.make_map: a table whose keys are IP addresses and blocks; the smallest block
 * that holds an address gives its value. What is asked for may be written as connection
 * metadata has it: "ip", "ip:port", "[ip]", "[ip]:port". Shared between VMs as
 * kumo.domain_map is.
 */
#include "policy/modules/modules.h"

#include <jansson.h>
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cidr.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "policy/policy.h"
#include "policy/shared.h"

#define CLASS "cidr map"
#define KEY_BYTES 18
#define PREFIXES 129

struct cidr_map {
    struct policy_shared shared;
    atomic_bool frozen;
    struct map values;          /* family, prefix length, masked address -> struct entry */
    unsigned used[2][PREFIXES]; /* how many blocks have this prefix length, by family */
};

struct entry {
    struct cidr cidr;
    json_t *value;
};

static void free_entry(void *object)
{
    struct entry *entry = object;

    json_decref(entry->value);
    free(entry);
}

static void free_map(struct policy_shared *shared)
{
    struct cidr_map *map = CONTAINER_OF(shared, struct cidr_map, shared);

    map_done(&map->values, free_entry);
    free(map);
}

static void freeze_map(struct policy_shared *shared)
{
    atomic_store(&CONTAINER_OF(shared, struct cidr_map, shared)->frozen, true);
}

static const struct policy_shared_class map_class = {.name = CLASS, .free = free_map, .freeze = freeze_map};

static struct cidr_map *check_map(lua_State *L) { return policy_check_object(L, 1, CLASS); }

static struct span key_of(const struct ip *ip, unsigned prefix_bits, char key[KEY_BYTES])
{
    size_t whole = prefix_bits / 8;

    memset(key, 0, KEY_BYTES);
    key[0] = ip->family == AF_INET6;
    key[1] = (char)(unsigned char)prefix_bits;
    memcpy(key + 2, ip->bytes, whole);
    if (prefix_bits % 8)
        key[2 + whole] = (char)(ip->bytes[whole] & (unsigned char)(0xff00u >> (prefix_bits % 8)));
    return span_make(key, KEY_BYTES);
}

static const struct entry *find(const struct cidr_map *map, const struct ip *ip)
{
    const unsigned *used = map->used[ip->family == AF_INET6];
    char key[KEY_BYTES];

    for (int bits = ip->family == AF_INET6 ? 128 : 32; bits >= 0; bits--) {
        const struct entry *entry = used[bits] ? map_find(&map->values, key_of(ip, (unsigned)bits, key)) : NULL;

        if (entry)
            return entry;
    }
    return NULL;
}

static int parse_asked(struct span text, struct ip *ip_out)
{
    struct sockaddr_storage address;
    struct error ignored;

    if (text.len > 2 && text.data[0] == '[' && text.data[text.len - 1] == ']')
        return ip_parse(span_make(text.data + 1, text.len - 2), ip_out);
    if (!ip_parse(text, ip_out))
        return 0;
    if (sockaddr_parse(text, &address, &ignored) || (address.ss_family != AF_INET && address.ss_family != AF_INET6))
        return -1;
    *ip_out = ip_of_sockaddr((struct sockaddr *)&address);
    return 0;
}

static int l_index(lua_State *L)
{
    const struct cidr_map *map = check_map(L);
    const struct entry *entry;
    struct ip ip;
    size_t len;
    const char *text;

    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    text = lua_tolstring(L, 2, &len);
    if (parse_asked(span_make(text, len), &ip))
        return 0;
    entry = find(map, &ip);
    if (!entry)
        return 0;
    policy_push_json(L, entry->value);
    return 1;
}

static void remove_entry(struct cidr_map *map, struct span key)
{
    struct entry *entry = map_remove(&map->values, key);

    if (!entry)
        return;
    map->used[entry->cidr.base.family == AF_INET6][entry->cidr.prefix_bits]--;
    free_entry(entry);
}

static void set(lua_State *L, struct cidr_map *map, int key, int value)
{
    char bytes[KEY_BYTES];
    struct entry *entry;
    struct cidr cidr;
    struct ip ip;
    json_t *json;
    size_t len;
    const char *text = lua_type(L, key) == LUA_TSTRING ? lua_tolstring(L, key, &len) : NULL;

    if (text && cidr_parse(span_make(text, len), &cidr)) {
        if (parse_asked(span_make(text, len), &ip))
            text = NULL;
        else
            cidr = (struct cidr){ip, ip.family == AF_INET6 ? 128 : 32};
    }
    if (!text)
        luaL_error(L, "kumo.cidr: a key is an address or a block such as '10.0.0.0/24'");
    json = lua_isnil(L, value) ? NULL : policy_to_json(L, value);
    remove_entry(map, key_of(&cidr.base, cidr.prefix_bits, bytes));
    if (!json)
        return;
    entry = mem_zalloc(sizeof *entry);
    *entry = (struct entry){cidr, json};
    map_put(&map->values, key_of(&cidr.base, cidr.prefix_bits, bytes), entry);
    map->used[cidr.base.family == AF_INET6][cidr.prefix_bits]++;
}

static int l_newindex(lua_State *L)
{
    struct cidr_map *map = check_map(L);

    if (atomic_load(&map->frozen))
        return luaL_error(L, "kumo.cidr: this map was cached by kumo.memoize and cannot be changed");
    set(L, map, 2, 3);
    return 0;
}

static int l_make_map(lua_State *L)
{
    struct cidr_map *map;
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

void mod_cidr_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"__index", l_index}, {"__newindex", l_newindex}, {NULL, NULL}};

    luaL_newmetatable(L, CLASS);
    luaL_setfuncs(L, methods, 0);
    lua_pop(L, 1);
    lua_getglobal(L, "kumo");
    luaL_getsubtable(L, -1, "cidr");
    lua_pushcfunction(L, l_make_map);
    lua_setfield(L, -2, "make_map");
    lua_pop(L, 2);
}
