/* SPDX-License-Identifier: Apache-2.0
 *
 * Methods of the message class: reading, adding and removing header fields.
 */
#include "message/edit.h"
#include "policy/modules/mod_message_private.h"

/* ---- adding ---- */

typedef int add_fn(struct message *message, struct span name, struct span value, bool encode, struct error *error);

static int add_header(lua_State *L, add_fn *add)
{
    struct message *message = check_message(L);
    struct error error;

    if (add(message, check_span(L, 2), check_span(L, 3), lua_toboolean(L, 4), &error))
        return raise_error(L, &error);
    return 0;
}

static int l_append_header(lua_State *L) { return add_header(L, message_append_header); }

static int l_prepend_header(lua_State *L) { return add_header(L, message_prepend_header); }

/* ---- removing ---- */

static int l_remove_all_named_headers(lua_State *L)
{
    struct message *message = check_message(L);
    struct error error;

    if (message_remove_named(message, check_span(L, 2), &error))
        return raise_error(L, &error);
    return 0;
}

static bool is_x_header(const struct header *header, void *ctx)
{
    (void)ctx;
    return span_istarts_with(header->name, SPAN_LIT("X-"));
}

static int l_remove_x_headers(lua_State *L)
{
    struct message *message = check_message(L);
    struct error error;

    if (lua_isnoneornil(L, 2)) {
        if (message_remove_headers(message, is_x_header, NULL, &error))
            return raise_error(L, &error);
        return 0;
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    for (lua_Integer i = 1; lua_rawgeti(L, 2, i) != LUA_TNIL; i++) {
        if (message_remove_named(message, check_span(L, -1), &error))
            return raise_error(L, &error);
        lua_pop(L, 1);
    }
    return 0;
}

/* ---- reading ---- */

/* Leaves the decoded text on the stack. `scratch` is empty before and after. */
static void push_value(lua_State *L, const struct header *header, struct buf *scratch)
{
    buf_clear(scratch);
    if (header_decode(header->value, scratch))
        luaL_error(L, "a header is too long");
    push_span(L, buf_span(scratch));
}

static int l_get_first_named_header_value(lua_State *L)
{
    struct message *message = check_message(L);
    struct span name = check_span(L, 2);
    const struct header *header = headers_find(scratch_headers(L, message), name, NULL);

    if (!header)
        lua_pushnil(L);
    else
        push_value(L, header, scratch_buf(L, 4 * HEADER_TEXT_LIMIT));
    return 1;
}

static int l_get_all_named_header_values(lua_State *L)
{
    struct message *message = check_message(L);
    struct span name = check_span(L, 2);
    const struct headers *headers = scratch_headers(L, message);
    struct buf *scratch = scratch_buf(L, 4 * HEADER_TEXT_LIMIT);
    lua_Integer count = 0;

    lua_newtable(L);
    for (const struct header *header = NULL; (header = headers_find(headers, name, header));) {
        push_value(L, header, scratch);
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

static int l_get_all_headers(lua_State *L)
{
    const struct headers *headers = scratch_headers(L, check_message(L));
    struct buf *scratch = scratch_buf(L, 4 * HEADER_TEXT_LIMIT);

    lua_createtable(L, (int)headers->count, 0);
    for (size_t i = 0; i < headers->count; i++) {
        lua_createtable(L, 2, 0);
        push_span(L, headers->items[i].name);
        lua_rawseti(L, -2, 1);
        push_value(L, &headers->items[i], scratch);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int push_address_header(lua_State *L, struct span name)
{
    const struct header *header = headers_find(scratch_headers(L, check_message(L)), name, NULL);

    if (header)
        address_header_push(L, header->value);
    else
        lua_pushnil(L);
    return 1;
}

static int l_get_address_header(lua_State *L) { return push_address_header(L, check_span(L, 2)); }

static int l_from_header(lua_State *L) { return push_address_header(L, SPAN_LIT("From")); }

static int l_to_header(lua_State *L) { return push_address_header(L, SPAN_LIT("To")); }

void message_add_header_methods(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"append_header", l_append_header},
        {"prepend_header", l_prepend_header},
        {"remove_all_named_headers", l_remove_all_named_headers},
        {"remove_x_headers", l_remove_x_headers},
        {"get_first_named_header_value", l_get_first_named_header_value},
        {"get_all_named_header_values", l_get_all_named_header_values},
        {"get_all_headers", l_get_all_headers},
        {"get_address_header", l_get_address_header},
        {"from_header", l_from_header},
        {"to_header", l_to_header},
        {NULL, NULL},
    };

    luaL_setfuncs(L, methods, 0);
}
