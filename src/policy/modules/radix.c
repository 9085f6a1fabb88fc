/* SPDX-License-Identifier: Apache-2.0
 *
 * See radix.h. One pair of loops for all of them: bits go in at one width and out at
 * another. What is built lies in Lua's memory, so that an error on the way loses nothing.
 */
#include "policy/modules/radix.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#define HEX "0123456789abcdef"
#define BASE32 "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
#define BASE32HEX "0123456789ABCDEFGHIJKLMNOPQRSTUV"
#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
#define BASE64URL "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

static const struct radix table[] = {
    {"hex", HEX, 4, 1, false, true},
    {"base32", BASE32, 5, 8, true, false},
    {"base32_nopad", BASE32, 5, 8, false, false},
    {"base32hex", BASE32HEX, 5, 8, true, false},
    {"base32hex_nopad", BASE32HEX, 5, 8, false, false},
    {"base64", BASE64, 6, 4, true, false},
    {"base64_nopad", BASE64, 6, 4, false, false},
    {"base64url", BASE64URL, 6, 4, true, false},
    {"base64url_nopad", BASE64URL, 6, 4, false, false},
    {NULL, NULL, 0, 0, false, false},
};

const struct radix *const radixes = table;

const struct radix *radix_find(const char *name)
{
    for (const struct radix *radix = table; radix->name; radix++)
        if (!strcmp(radix->name, name))
            return radix;
    return NULL;
}

void radix_push_encoded(lua_State *L, const struct radix *radix, struct span bytes)
{
    unsigned mask = (1U << radix->bits) - 1;
    unsigned held = 0, width = 0;
    size_t written = 0;
    luaL_Buffer out;

    luaL_buffinit(L, &out);
    for (size_t i = 0; i < bytes.len; i++) {
        held = (held << 8 | (unsigned char)bytes.data[i]) & 0xffff;
        for (width += 8; width >= radix->bits; written++) {
            width -= radix->bits;
            luaL_addchar(&out, radix->alphabet[held >> width & mask]);
        }
    }
    if (width > 0) {
        luaL_addchar(&out, radix->alphabet[held << (radix->bits - width) & mask]);
        written++;
    }
    for (; radix->is_padded && written % radix->group; written++)
        luaL_addchar(&out, '=');
    luaL_pushresult(&out);
}

static int value_of(const struct radix *radix, char c)
{
    const char *at = strchr(radix->alphabet, radix->takes_upper ? tolower((unsigned char)c) : c);

    return c && at ? (int)(at - radix->alphabet) : -1;
}

/* The text without its padding; false when that is not as it must be. */
static bool strip(const struct radix *radix, struct span *text)
{
    size_t whole = text->len;

    while (radix->is_padded && text->len > 0 && text->data[text->len - 1] == '=')
        text->len--;
    if (!radix->is_padded)
        return true;
    return whole % radix->group == 0 && whole - text->len < radix->group;
}

bool radix_push_decoded(lua_State *L, const struct radix *radix, struct span text)
{
    unsigned held = 0, width = 0;
    int top = lua_gettop(L);
    luaL_Buffer out;

    if (!strip(radix, &text))
        return false;
    luaL_buffinit(L, &out);
    for (size_t i = 0; i < text.len; i++) {
        int value = value_of(radix, text.data[i]);

        if (value < 0) {
            lua_settop(L, top);
            return false;
        }
        held = (held << radix->bits | (unsigned)value) & 0xffff;
        width += radix->bits;
        if (width >= 8) {
            width -= 8;
            luaL_addchar(&out, (char)(held >> width & 0xff));
        }
    }
    /* a whole character too many, or bits that no encoder leaves */
    if (width >= radix->bits || (held & ((1U << width) - 1))) {
        lua_settop(L, top);
        return false;
    }
    luaL_pushresult(&out);
    return true;
}
