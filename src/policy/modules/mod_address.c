/* SPDX-License-Identifier: Apache-2.0
 *
 * EnvelopeAddress: a sender or a recipient as policy sees it. The userdata is the text
 * itself; it never changes.
 */
#include <stdlib.h>

#include "policy/modules/mod_message_private.h"
#include "policy/modules/modules.h"
#include "smtp/address.h"

#define ADDRESS_CLASS "EnvelopeAddress"

static struct span text_of(lua_State *L, int index)
{
    const char *text = luaL_checkudata(L, index, ADDRESS_CLASS);

    return span_make(text, lua_rawlen(L, index) - 1);
}

void address_push(lua_State *L, struct span mailbox)
{
    char *text = lua_newuserdatauv(L, mailbox.len + 1, 0);

    memcpy(text, mailbox.data, mailbox.len);
    text[mailbox.len] = '\0';
    luaL_setmetatable(L, ADDRESS_CLASS);
}

struct span address_check(lua_State *L, int index)
{
    enum smtp_address_fault fault;
    struct smtp_mailbox mailbox;
    struct span text;

    if (luaL_testudata(L, index, ADDRESS_CLASS))
        return text_of(L, index);
    text = check_span(L, index);
    fault = smtp_mailbox_parse(text, SMTP_ADDRESS_ALLOW_NULL | SMTP_ADDRESS_ALLOW_UTF8 | SMTP_ADDRESS_ALLOW_POSTMASTER,
                               &mailbox);
    if (fault)
        luaL_error(L, "not an address: %s", smtp_address_fault_text(fault));
    return text;
}

/* The parts; empty ones for the null sender. What is stored was checked when it came in. */
static struct smtp_mailbox parts_of(struct span text)
{
    struct smtp_mailbox mailbox = {.text = text, .local = text, .domain = span_from(text, text.len)};
    struct smtp_mailbox parsed;

    if (smtp_mailbox_parse(text, SMTP_ADDRESS_ALLOW_NULL | SMTP_ADDRESS_ALLOW_UTF8 | SMTP_ADDRESS_ALLOW_POSTMASTER,
                           &parsed))
        return mailbox;
    return parsed;
}

static void push_user(lua_State *L, struct span text)
{
    char user[SMTP_LOCAL_LIMIT + 1];
    struct span local = parts_of(text).local;

    if (local.len > SMTP_LOCAL_LIMIT)
        push_span(L, local);
    else
        lua_pushlstring(L, user, smtp_local_unquote(local, user));
}

static int l_index(lua_State *L)
{
    struct span text = text_of(L, 1);
    struct span key = check_span(L, 2);

    if (span_eq(key, SPAN_LIT("user")))
        push_user(L, text);
    else if (span_eq(key, SPAN_LIT("domain")))
        push_span(L, parts_of(text).domain);
    else if (span_eq(key, SPAN_LIT("email")))
        push_span(L, text);
    else
        return luaL_error(L, "an address has no field '%s': it has user, domain and email", key.data);
    return 1;
}

static int l_tostring(lua_State *L)
{
    push_span(L, text_of(L, 1));
    return 1;
}

static int l_eq(lua_State *L)
{
    lua_pushboolean(L, luaL_testudata(L, 1, ADDRESS_CLASS) && luaL_testudata(L, 2, ADDRESS_CLASS) &&
                           span_eq(text_of(L, 1), text_of(L, 2)));
    return 1;
}

void mod_address_open(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__index", l_index},
        {"__tostring", l_tostring},
        {"__eq", l_eq},
        {NULL, NULL},
    };

    luaL_newmetatable(L, ADDRESS_CLASS);
    luaL_setfuncs(L, meta, 0);
    lua_pushstring(L, ADDRESS_CLASS);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
