/* SPDX-License-Identifier: Apache-2.0
 *
 * Methods of the message class: whose it is, from whom, to whom.
 */
#include "policy/modules/mod_message_private.h"

static int l_id(lua_State *L)
{
    lua_pushstring(L, message_id(check_message(L)));
    return 1;
}

static int l_sender(lua_State *L)
{
    address_push(L, span_of(message_sender(check_message(L))));
    return 1;
}

static int l_set_sender(lua_State *L)
{
    struct message *message = check_message(L);

    message_set_sender(message, address_check(L, 2));
    return 0;
}

static int push_recipients(lua_State *L, const struct message *message)
{
    size_t count = message_recipient_count(message);

    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        address_push(L, span_of(message_recipient(message, i)));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int l_recipient_list(lua_State *L) { return push_recipients(L, check_message(L)); }

static int l_recipient(lua_State *L)
{
    struct message *message = check_message(L);

    if (message_recipient_count(message) > 1)
        return push_recipients(L, message);
    address_push(L, span_of(message_recipient_count(message) > 0 ? message_recipient(message, 0) : ""));
    return 1;
}

/* All are checked before any is set. */
static int set_list(lua_State *L, struct message *message)
{
    lua_Integer count = (lua_Integer)lua_rawlen(L, 2);

    if (count < 1 || count > 100000)
        return luaL_error(L, "a message needs at least one recipient");
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, 2, i);
        if (address_check(L, -1).len == 0)
            return luaL_error(L, "a recipient cannot be empty");
        lua_pop(L, 1);
    }
    message_clear_recipients(message);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, 2, i);
        message_add_recipient(message, address_check(L, -1));
        lua_pop(L, 1);
    }
    return 0;
}

static int l_set_recipient(lua_State *L)
{
    struct message *message = check_message(L);
    struct span mailbox;

    if (lua_istable(L, 2))
        return set_list(L, message);
    mailbox = address_check(L, 2);
    if (mailbox.len == 0)
        return luaL_error(L, "a recipient cannot be empty");
    message_clear_recipients(message);
    message_add_recipient(message, mailbox);
    return 0;
}

static int l_set_recipient_list(lua_State *L)
{
    struct message *message = check_message(L);

    luaL_checktype(L, 2, LUA_TTABLE);
    return set_list(L, message);
}

void message_add_envelope_methods(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"id", l_id},
        {"sender", l_sender},
        {"set_sender", l_set_sender},
        {"recipient", l_recipient},
        {"recipient_list", l_recipient_list},
        {"set_recipient", l_set_recipient},
        {"set_recipient_list", l_set_recipient_list},
        {NULL, NULL},
    };

    luaL_setfuncs(L, methods, 0);
}
