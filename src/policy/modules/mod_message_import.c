/* SPDX-License-Identifier: Apache-2.0
 *
 * Methods of the message class: copying header fields into metadata. A client writes its
 * headers, so a field that would name the queue or say who somebody is must be asked for by
 * its name; the X- sweep cannot reach those, their keys would begin with x_.
 */
#include <jansson.h>

#include "message/edit.h"
#include "policy/modules/mod_message_private.h"

#define KEY_LIMIT 201

static char upper(char c) { return (char)(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c); }

enum transform { SNAKE_CASE, KEBAB_CASE, CAMEL_CASE, PASCAL_CASE };

/* The metadata key of a header name; false when the name is too long for one. */
static bool make_key(struct span name, enum transform transform, char key[KEY_LIMIT])
{
    bool capital = transform == PASCAL_CASE;
    size_t len = 0;

    if (name.len >= KEY_LIMIT || memchr(name.data, '\0', name.len) || !span_is_utf8(name))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.data[i]);

        if (transform == SNAKE_CASE || transform == KEBAB_CASE) {
            key[len++] = c == '-' && transform == SNAKE_CASE ? '_' : c;
        } else if (c == '-' || c == '_') {
            capital = true;
        } else {
            key[len++] = capital ? upper(c) : c;
            capital = false;
        }
    }
    key[len] = '\0';
    return len > 0;
}

static json_t *value_json(lua_State *L, const struct header *header, struct buf *scratch)
{
    json_t *value;

    buf_clear(scratch);
    if (header_decode(header->value, scratch))
        luaL_error(L, "a header is too long");
    value = json_stringn(buf_span(scratch).data, buf_len(scratch));
    if (!value)
        luaL_error(L, "a header cannot be made text");
    return value;
}

static void import_one(lua_State *L, struct message *message, const struct header *header, struct buf *scratch)
{
    char key[KEY_LIMIT];

    if (make_key(header->name, SNAKE_CASE, key))
        message_meta_set(message, key, value_json(L, header, scratch));
}

/* The first or the last field of that name. */
static const struct header *pick(const struct headers *headers, struct span name, bool first)
{
    const struct header *picked = headers_find(headers, name, NULL);

    while (picked && !first) {
        const struct header *next = headers_find(headers, name, picked);

        if (!next)
            break;
        picked = next;
    }
    return picked;
}

static void import_all_x(lua_State *L, struct message *message, const struct headers *headers, bool first,
                         struct buf *scratch)
{
    for (size_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[first ? headers->count - 1 - i : i];

        if (span_istarts_with(header->name, SPAN_LIT("X-")))
            import_one(L, message, header, scratch); /* later ones replace earlier ones */
    }
}

/* import_x_headers([NAMES [, FIRST]]); `true` as the last of NAMES means the same as FIRST. */
static int l_import_x_headers(lua_State *L)
{
    struct message *message = check_message(L);
    const struct headers *headers;
    struct buf *scratch;
    lua_Integer count;
    bool first;

    lua_settop(L, 3); /* so that scratch is not taken for an argument */
    first = lua_toboolean(L, 3);
    headers = scratch_headers(L, message);
    scratch = scratch_buf(L, 4 * HEADER_TEXT_LIMIT);
    if (!message_meta(message))
        return luaL_error(L, "the message's metadata is not in memory");
    if (!lua_istable(L, 2)) {
        import_all_x(L, message, headers, first, scratch);
        return 0;
    }
    count = (lua_Integer)lua_rawlen(L, 2);
    if (count > 0 && lua_rawgeti(L, 2, count) == LUA_TBOOLEAN) {
        first = lua_toboolean(L, -1);
        count--;
    }
    for (lua_Integer i = 1; i <= count; i++) {
        const struct header *header;

        lua_rawgeti(L, 2, i);
        header = pick(headers, check_span(L, -1), first);
        if (header)
            import_one(L, message, header, scratch);
        lua_pop(L, 1);
    }
    return 0;
}

/* ---- import_headers ---- */

enum match { MATCH_FIRST, MATCH_LAST, MATCH_ALL };

struct spec {
    struct span name; /* without its '*' */
    bool is_prefix;
    enum match match;
    enum transform transform;
    const char *target; /* NULL: made from the name */
    bool remove;
};

static int read_option(lua_State *L, const char *field, const char *fallback, const char *const *options)
{
    int option;

    lua_getfield(L, -1, field);
    option = luaL_checkoption(L, lua_gettop(L), fallback, options);
    lua_pop(L, 1);
    return option;
}

/* From the table at the top. Its strings live as long as that table does. */
static struct spec read_spec(lua_State *L)
{
    static const char *const matches[] = {"first", "last", "all", NULL};
    static const char *const transforms[] = {"snake_case", "kebab_case", "camel_case", "pascal_case", NULL};
    struct spec spec = {0};

    luaL_checktype(L, -1, LUA_TTABLE);
    lua_getfield(L, -1, "name");
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "import_headers: each entry needs a name");
    spec.name = check_span(L, -1);
    lua_pop(L, 1);
    spec.is_prefix = span_ends_with(spec.name, SPAN_LIT("*"));
    if (spec.is_prefix)
        spec.name.len--;
    if (spec.name.len == 0 || span_find(spec.name, '*') < spec.name.len)
        luaL_error(L, "import_headers: '*' may only stand at the end of a name");
    spec.match = (enum match)read_option(L, "match", "last", matches);
    spec.transform = (enum transform)read_option(L, "transform", "snake_case", transforms);
    lua_getfield(L, -1, "target");
    spec.target = lua_isnil(L, -1) ? NULL : luaL_checkstring(L, -1);
    lua_pop(L, 1);
    if (spec.target && (spec.is_prefix || !*spec.target || !span_is_utf8(span_of(spec.target))))
        luaL_error(L, "import_headers: a target needs an exact name");
    lua_getfield(L, -1, "remove");
    spec.remove = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return spec;
}

static bool spec_matches(const struct spec *spec, struct span name)
{
    return spec->is_prefix ? span_istarts_with(name, spec->name) : span_ieq(name, spec->name);
}

struct specs {
    struct spec *items;
    size_t count;
};

/* The first that matches wins. */
static const struct spec *find_spec(const struct specs *specs, struct span name)
{
    for (size_t i = 0; i < specs->count; i++)
        if (spec_matches(&specs->items[i], name))
            return &specs->items[i];
    return NULL;
}

static bool is_removed(const struct header *header, void *ctx)
{
    const struct spec *spec = find_spec(ctx, header->name);

    return spec && spec->remove;
}

/* `seen` are the keys this call has set already. */
static void capture(lua_State *L, struct message *message, const struct spec *spec, const struct header *header,
                    int seen, struct buf *scratch)
{
    char made[KEY_LIMIT];
    const char *key = spec->target;
    bool again;

    if (!key && !make_key(header->name, spec->transform, made))
        return;
    key = key ? key : made;
    again = lua_getfield(L, seen, key) != LUA_TNIL;
    lua_pop(L, 1);
    lua_pushboolean(L, true);
    lua_setfield(L, seen, key);
    if (again && spec->match == MATCH_FIRST)
        return;
    if (spec->match == MATCH_ALL) {
        json_t *value = value_json(L, header, scratch); /* the last that can raise */
        json_t *list = again ? json_incref(message_meta_get(message, key)) : json_array();

        json_array_append_new(list, value);
        message_meta_set(message, key, list);
    } else {
        message_meta_set(message, key, value_json(L, header, scratch));
    }
}

static int l_import_headers(lua_State *L)
{
    struct message *message = check_message(L);
    const struct headers *headers;
    struct specs specs;
    struct buf *scratch;
    struct error error;

    luaL_checktype(L, 2, LUA_TTABLE);
    if (!message_meta(message))
        return luaL_error(L, "the message's metadata is not in memory");
    headers = scratch_headers(L, message);
    scratch = scratch_buf(L, 4 * HEADER_TEXT_LIMIT);
    specs.count = lua_rawlen(L, 2);
    specs.items = lua_newuserdatauv(L, (specs.count + 1) * sizeof *specs.items, 0);
    for (size_t i = 0; i < specs.count; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        specs.items[i] = read_spec(L);
        lua_pop(L, 1);
    }
    lua_newtable(L);
    for (size_t i = 0; i < headers->count; i++) {
        const struct spec *spec = find_spec(&specs, headers->items[i].name);

        if (spec)
            capture(L, message, spec, &headers->items[i], lua_gettop(L), scratch);
    }
    if (message_remove_headers(message, is_removed, &specs, &error))
        return raise_error(L, &error);
    return 0;
}

void message_add_import_methods(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"import_x_headers", l_import_x_headers},
        {"import_headers", l_import_headers},
        {NULL, NULL},
    };

    luaL_setfuncs(L, methods, 0);
}
