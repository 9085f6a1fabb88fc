/* SPDX-License-Identifier: Apache-2.0
 *
 * Plain data between Lua and JSON. Lua has one kind of table where JSON has two: keys 1..n
 * make an array, strings an object; what a table's content cannot show (an empty array,
 * one with nulls) is kept as a mark in its metatable.
 *
 * Reading a table must not raise while JSON values are held, so it uses only those calls
 * of the Lua API that cannot, and reports faults as a struct error.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "policy/policy_private.h"

#define DEEPEST 64
#define PATH_BYTES 200

/* ---- marks ---- */

static const char array_mark; /* its address is the registry's key of the metatable */

void policy_mark_array(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_mark) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &array_mark);
    }
    lua_setmetatable(L, index);
}

bool policy_is_array(lua_State *L, int index)
{
    bool same;

    if (!lua_getmetatable(L, index))
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_mark);
    same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* ---- to Lua ---- */

static void push_array(lua_State *L, const json_t *array)
{
    size_t count = json_array_size(array);
    bool has_null = false;

    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(array, i);

        has_null |= json_is_null(item);
        policy_push_json(L, item);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    if (count == 0 || has_null)
        policy_mark_array(L, -1);
}

static void push_object(lua_State *L, const json_t *object)
{
    lua_createtable(L, 0, (int)json_object_size(object));
    for (void *it = json_object_iter((json_t *)object); it; it = json_object_iter_next((json_t *)object, it)) {
        lua_pushlstring(L, json_object_iter_key(it), json_object_iter_key_len(it));
        policy_push_json(L, json_object_iter_value(it));
        lua_rawset(L, -3);
    }
}

void policy_push_json(lua_State *L, const json_t *value)
{
    luaL_checkstack(L, 6, "JSON is nested too deeply");
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        push_object(L, value);
        break;
    case JSON_ARRAY:
        push_array(L, value);
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        lua_pushinteger(L, json_integer_value(value));
        break;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(value));
        break;
    default:
        lua_pushnil(L);
    }
}

/* ---- from Lua ---- */

/* Where the reader is: one per table that it is in. */
struct place {
    const struct place *outer;
    const void *table;
    const char *key; /* NULL: `number` */
    lua_Integer number;
    int depth;
};

static size_t path_text(const struct place *place, char *out, size_t room)
{
    size_t used;
    int more;

    if (!place)
        return (size_t)snprintf(out, room, "the value");
    used = path_text(place->outer, out, room);
    if (used >= room)
        return used;
    if (place->key)
        more = snprintf(out + used, room - used, ".%.40s", place->key);
    else
        more = snprintf(out + used, room - used, "[%lld]", (long long)place->number);
    return used + (size_t)more;
}

static json_t *refuse(const struct place *place, const char *what, struct error *error)
{
    char path[PATH_BYTES];

    path_text(place, path, sizeof path);
    error_set(error, ERROR_PERM, "%s %s", path, what);
    return NULL;
}

static json_t *read_value(lua_State *L, int index, const struct place *place, struct error *error);

/* What kind of table it is, by its keys. */
struct shape {
    lua_Integer count;
    lua_Integer highest;
    bool has_integers;
    bool has_strings;
    bool has_others;
};

static struct shape shape_of(lua_State *L, int index)
{
    struct shape shape = {0};

    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        shape.count++;
        if (lua_isinteger(L, -1) && lua_tointeger(L, -1) > 0) {
            shape.has_integers = true;
            if (lua_tointeger(L, -1) > shape.highest)
                shape.highest = lua_tointeger(L, -1);
        } else if (lua_type(L, -1) == LUA_TSTRING) {
            shape.has_strings = true;
        } else {
            shape.has_others = true;
        }
    }
    return shape;
}

static json_t *read_array(lua_State *L, int index, lua_Integer count, struct place *place, struct error *error)
{
    json_t *array = json_array();

    for (lua_Integer i = 1; i <= count; i++) {
        json_t *item;

        place->key = NULL;
        place->number = i;
        lua_rawgeti(L, index, i);
        item = read_value(L, lua_gettop(L), place, error);
        lua_pop(L, 1);
        if (json_array_append_new(array, item) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* The pair on the top of the stack. */
static int read_pair(lua_State *L, json_t *object, struct place *place, struct error *error)
{
    size_t len;
    const char *key = lua_tolstring(L, -2, &len);
    json_t *item;

    place->key = key;
    if (!span_is_utf8(span_make(key, len))) {
        refuse(place->outer, "has a key that is not UTF-8", error);
        return -1;
    }
    item = read_value(L, lua_gettop(L), place, error);
    return item ? json_object_setn_new_nocheck(object, key, len, item) : -1;
}

static json_t *read_object(lua_State *L, int index, struct place *place, struct error *error)
{
    json_t *object = json_object();

    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (read_pair(L, object, place, error) < 0) {
            lua_pop(L, 2);
            json_decref(object);
            return NULL;
        }
        lua_pop(L, 1);
    }
    return object;
}

/* A marked array may have holes; this keeps t[1000000000] from making a billion nulls. */
static bool is_dense_enough(const struct shape *shape) { return shape->highest <= shape->count * 2 + 64; }

static json_t *read_table(lua_State *L, int index, const struct place *outer, struct error *error)
{
    struct place place = {.outer = outer, .table = lua_topointer(L, index), .depth = outer ? outer->depth + 1 : 1};
    struct shape shape;

    for (const struct place *at = outer; at; at = at->outer) {
        if (at->table == place.table)
            return refuse(outer, "contains itself", error);
    }
    if (place.depth > DEEPEST || !lua_checkstack(L, 8))
        return refuse(outer, "is nested too deeply", error);
    shape = shape_of(L, index);
    if (shape.has_others || (shape.has_integers && shape.has_strings))
        return refuse(outer, "has keys that are neither 1..n nor all strings", error);
    if (policy_is_array(L, index) && !shape.has_strings && is_dense_enough(&shape))
        return read_array(L, index, shape.highest, &place, error);
    if (!shape.has_integers)
        return read_object(L, index, &place, error);
    if (shape.highest != shape.count)
        return refuse(outer, "is an array with holes", error);
    return read_array(L, index, shape.count, &place, error);
}

static json_t *read_number(lua_State *L, int index, const struct place *place, struct error *error)
{
    if (lua_isinteger(L, index))
        return json_integer(lua_tointeger(L, index));
    if (!isfinite(lua_tonumber(L, index)))
        return refuse(place, "is not a finite number", error);
    return json_real(lua_tonumber(L, index));
}

static json_t *read_string(lua_State *L, int index, const struct place *place, struct error *error)
{
    size_t len;
    const char *data = lua_tolstring(L, index, &len);

    if (!span_is_utf8(span_make(data, len)))
        return refuse(place, "is not UTF-8", error);
    return json_stringn_nocheck(data, len);
}

static json_t *read_value(lua_State *L, int index, const struct place *place, struct error *error)
{
    char what[64];

    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TNONE:
        return json_null();
    case LUA_TBOOLEAN:
        return json_boolean(lua_toboolean(L, index));
    case LUA_TNUMBER:
        return read_number(L, index, place, error);
    case LUA_TSTRING:
        return read_string(L, index, place, error);
    case LUA_TTABLE:
        return read_table(L, index, place, error);
    default:
        snprintf(what, sizeof what, "is a %s", lua_typename(L, lua_type(L, index)));
        return refuse(place, what, error);
    }
}

json_t *policy_to_json(lua_State *L, int index)
{
    struct error error = {0};
    json_t *value;
    int top;

    luaL_checkstack(L, 8, NULL);
    top = lua_gettop(L);
    value = read_value(L, lua_absindex(L, index), NULL, &error);
    lua_settop(L, top);
    if (!value)
        luaL_error(L, "%s, and cannot be plain data", error.sentence);
    return value;
}
