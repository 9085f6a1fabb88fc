/* SPDX-License-Identifier: Apache-2.0
 *
 * AddressHeader: the addresses of a From, To or similar header field. Its fields user,
 * domain, email and name speak of the one address there is, and raise where there is not
 * exactly one; `list` always works.
 */
#include <jansson.h>
#include <stdlib.h>

#include "message/address_list.h"
#include "policy/modules/mod_message_private.h"
#include "policy/modules/modules.h"

#define HEADER_CLASS "AddressHeader"
#define ENTRY_CLASS "HeaderAddress"

static int l_gc(lua_State *L)
{
    address_list_done(luaL_checkudata(L, 1, HEADER_CLASS));
    return 0;
}

void address_header_push(lua_State *L, struct span value)
{
    struct address_list *list = lua_newuserdatauv(L, sizeof *list, 0);
    struct error error;

    *list = (struct address_list){0};
    luaL_setmetatable(L, HEADER_CLASS);
    if (address_list_parse(value, list, &error))
        raise_error(L, &error);
}

static void push_text(lua_State *L, const char *text)
{
    if (text)
        lua_pushstring(L, text);
    else
        lua_pushnil(L);
}

/* An entry is a table, so that it outlives the header and can be walked and encoded. */
static void push_entry(lua_State *L, const struct address *address)
{
    lua_createtable(L, 0, 4);
    push_text(L, address->name);
    lua_setfield(L, -2, "name");
    push_text(L, address->local);
    lua_setfield(L, -2, "user");
    push_text(L, address->domain);
    lua_setfield(L, -2, "domain");
    push_text(L, address->email);
    lua_setfield(L, -2, "email");
    luaL_setmetatable(L, ENTRY_CLASS);
}

static int push_list(lua_State *L, const struct address_list *list)
{
    lua_createtable(L, (int)list->count, 0);
    for (size_t i = 0; i < list->count; i++) {
        push_entry(L, &list->items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int l_index(lua_State *L)
{
    const struct address_list *list = luaL_checkudata(L, 1, HEADER_CLASS);
    static const char *const keys[] = {"user", "domain", "email", "name", "list", NULL};
    int key = luaL_checkoption(L, 2, NULL, keys);

    if (key == 4)
        return push_list(L, list);
    if (list->count != 1 || list->has_group)
        return luaL_error(L, "the header does not hold exactly one address: use its list");
    push_text(L, key == 0   ? list->items[0].local
                 : key == 1 ? list->items[0].domain
                 : key == 2 ? list->items[0].email
                            : list->items[0].name);
    return 1;
}

/* {"name":null,"address":"user@example.com"} */
static json_t *entry_json(const char *name, const char *email)
{
    return json_pack("{s:s?, s:s?}", "name", name, "address", email);
}

static void append_entry(struct buf *out, const char *name, const char *email)
{
    json_t *json = entry_json(name, email);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    (void)!(text && buf_append(out, text, strlen(text)));
    free(text);
    json_decref(json);
}

static int l_entry_tostring(lua_State *L)
{
    struct buf *out = scratch_buf(L, HEADER_TEXT_LIMIT);

    lua_getfield(L, 1, "name");
    lua_getfield(L, 1, "email");
    append_entry(out, lua_tostring(L, -2), lua_tostring(L, -1));
    push_span(L, buf_span(out));
    return 1;
}

static int l_tostring(lua_State *L)
{
    const struct address_list *list = luaL_checkudata(L, 1, HEADER_CLASS);
    struct buf *out = scratch_buf(L, 4 * HEADER_TEXT_LIMIT);

    (void)!buf_append(out, "[", 1);
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            (void)!buf_append(out, ",", 1);
        append_entry(out, list->items[i].name, list->items[i].email);
    }
    if (buf_append(out, "]", 1))
        return luaL_error(L, "the header is too long");
    push_span(L, buf_span(out));
    return 1;
}

void mod_headers_open(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__index", l_index},
        {"__tostring", l_tostring},
        {"__gc", l_gc},
        {NULL, NULL},
    };

    luaL_newmetatable(L, HEADER_CLASS);
    luaL_setfuncs(L, meta, 0);
    lua_pushstring(L, HEADER_CLASS);
    lua_setfield(L, -2, "__metatable");
    luaL_newmetatable(L, ENTRY_CLASS);
    lua_pushcfunction(L, l_entry_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 2);
}
