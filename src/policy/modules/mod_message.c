/* SPDX-License-Identifier: Apache-2.0
 *
 * The message class: a message as policy sees it, lent to a handler for the time of its
 * call, or made by kumo.make_message and owned by the VM. The methods are in the files
 * beside this one, by topic.
 */
#include "policy/modules/mod_message_private.h"
#include "policy/modules/modules.h"

/* What the manual documents and this program does not have. */
static const char *const unavailable[] = {
    "append_text_html", "append_text_plain", "arc_seal",      "arc_verify",    "dkim_sign",
    "dkim_verify",      "parse_mime",        "parse_rfc3464", "parse_rfc5965", NULL,
};

static int l_unavailable(lua_State *L)
{
    return luaL_error(L, "message:%s is not available in this version", lua_tostring(L, lua_upvalueindex(1)));
}

/* Methods are upvalue 1. A typo must not look like a field that is nil. */
static int l_index(lua_State *L)
{
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL)
        return luaL_error(L, "a message has no method '%s'", luaL_tolstring(L, 2, NULL));
    return 1;
}

static int l_tostring(lua_State *L)
{
    lua_pushfstring(L, "message %s", message_id(check_message(L)));
    return 1;
}

static void add_methods(lua_State *L)
{
    lua_newtable(L);
    message_add_envelope_methods(L);
    message_add_meta_methods(L);
    message_add_header_methods(L);
    message_add_import_methods(L);
    message_add_data_methods(L);
    for (const char *const *name = unavailable; *name; name++) {
        lua_pushstring(L, *name);
        lua_pushcclosure(L, l_unavailable, 1);
        lua_setfield(L, -2, *name);
    }
}

/* ---- kumo.make_message ---- */

static void free_message(void *message) { message_free(message); }

static int push_owned(lua_State *L)
{
    policy_push_owned(L, MESSAGE_CLASS, lua_touserdata(L, 1), free_message);
    return 1;
}

/* kumo.make_message(sender, recipient or list of them, data) */
static int l_make_message(lua_State *L)
{
    struct message *message;

    address_check(L, 1);
    if (!lua_istable(L, 2))
        address_check(L, 2);
    luaL_checkstring(L, 3);
    lua_settop(L, 3);
    message = message_new();
    lua_pushcfunction(L, push_owned);
    lua_pushlightuserdata(L, message);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        message_free(message);
        return lua_error(L);
    }
    /* from here on the userdata owns it: the methods themselves fill it, and may raise */
    for (int i = 0; i < 3; i++) {
        static const char *const setters[] = {"set_sender", "set_recipient", "set_data"};

        lua_getfield(L, 4, setters[i]);
        lua_pushvalue(L, 4);
        lua_pushvalue(L, i + 1);
        lua_call(L, 2, 0);
    }
    return 1;
}

void mod_message_open(lua_State *L)
{
    scratch_open(L);
    luaL_newmetatable(L, MESSAGE_CLASS);
    add_methods(L);
    lua_pushcclosure(L, l_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_make_message);
    lua_setfield(L, -2, "make_message");
    lua_pop(L, 1);
}
