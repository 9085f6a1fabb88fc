/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.string: taking texts apart by plain patterns. White space is Unicode's, in UTF-8,
 * except where a name says ASCII.
 */
#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/span.h"
#include "policy/modules/modules.h"

static struct span check_span(lua_State *L, int index)
{
    struct span span;

    span.data = luaL_checklstring(L, index, &span.len);
    return span;
}

/* An empty one matches everywhere, which nobody who writes it wants. */
static struct span check_pattern(lua_State *L, int index)
{
    struct span pattern = check_span(L, index);

    luaL_argcheck(L, pattern.len > 0, index, "a pattern is not empty");
    return pattern;
}

static void push(lua_State *L, struct span span) { lua_pushlstring(L, span.data, span.len); }

/* Where `pattern` is found first, or last; the length of the text when it is not. */
static size_t find(struct span text, struct span pattern)
{
    const char *at = memmem(text.data, text.len, pattern.data, pattern.len);

    return at ? (size_t)(at - text.data) : text.len;
}

static size_t find_last(struct span text, struct span pattern)
{
    if (text.len >= pattern.len)
        for (size_t at = text.len - pattern.len + 1; at-- > 0;)
            if (!memcmp(text.data + at, pattern.data, pattern.len))
                return at;
    return text.len;
}

/* ---- splitting ---- */

/* At most `most` parts into a new table; the last holds what is left. */
static int split(lua_State *L, struct span text, struct span pattern, lua_Integer most)
{
    lua_newtable(L);
    for (lua_Integer i = 1; i <= most; i++) {
        size_t at = i < most ? find(text, pattern) : text.len;

        push(L, span_head(text, at));
        lua_rawseti(L, -2, i);
        if (at == text.len)
            break;
        text = span_from(text, at + pattern.len);
    }
    return 1;
}

static int split_reverse(lua_State *L, struct span text, struct span pattern, lua_Integer most)
{
    lua_newtable(L);
    for (lua_Integer i = 1; i <= most; i++) {
        size_t at = i < most ? find_last(text, pattern) : text.len;

        push(L, at == text.len ? text : span_from(text, at + pattern.len));
        lua_rawseti(L, -2, i);
        if (at == text.len)
            break;
        text = span_head(text, at);
    }
    return 1;
}

static lua_Integer check_limit(lua_State *L, int index)
{
    lua_Integer limit = luaL_checkinteger(L, index);

    luaL_argcheck(L, limit >= 0, index, "not a number of parts");
    return limit;
}

static int l_split(lua_State *L) { return split(L, check_span(L, 1), check_pattern(L, 2), LUA_MAXINTEGER); }

static int l_splitn(lua_State *L) { return split(L, check_span(L, 1), check_pattern(L, 3), check_limit(L, 2)); }

static int l_rsplit(lua_State *L) { return split_reverse(L, check_span(L, 1), check_pattern(L, 2), LUA_MAXINTEGER); }

static int l_rsplitn(lua_State *L)
{
    return split_reverse(L, check_span(L, 1), check_pattern(L, 3), check_limit(L, 2));
}

/* ---- white space ---- */

static bool is_ascii_space(unsigned char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'; }

static bool is_wide_space(uint32_t c)
{
    return c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

/* The bytes of the white space that the text begins with; 0 when it begins with none. */
static size_t space_at(struct span text)
{
    const unsigned char *c = (const unsigned char *)text.data;

    if (text.len > 0 && (is_ascii_space(c[0]) || c[0] == '\v'))
        return 1;
    if (text.len > 1 && c[0] == 0xc2 && (c[1] == 0x85 || c[1] == 0xa0))
        return 2;
    if (text.len > 2 && (c[0] & 0xf0) == 0xe0 && (c[1] & 0xc0) == 0x80 && (c[2] & 0xc0) == 0x80 &&
        is_wide_space((uint32_t)((c[0] & 15) << 12 | (c[1] & 63) << 6 | (c[2] & 63))))
        return 3;
    return 0;
}

static size_t ascii_space_at(struct span text)
{
    return text.len > 0 && is_ascii_space((unsigned char)text.data[0]) ? 1 : 0;
}

static struct span trim_start(struct span text)
{
    size_t space;

    while ((space = space_at(text)))
        text = span_from(text, space);
    return text;
}

static struct span trim_end(struct span text)
{
    for (size_t len = 1; len <= 3 && len <= text.len; len++) {
        if (space_at(span_from(text, text.len - len)) == len) {
            text = span_head(text, text.len - len);
            len = 0;
        }
    }
    return text;
}

static int l_trim(lua_State *L)
{
    push(L, trim_end(trim_start(check_span(L, 1))));
    return 1;
}

static int l_trim_start(lua_State *L)
{
    push(L, trim_start(check_span(L, 1)));
    return 1;
}

static int l_trim_end(lua_State *L)
{
    push(L, trim_end(check_span(L, 1)));
    return 1;
}

static int split_words(lua_State *L, size_t (*blank_at)(struct span))
{
    struct span text = check_span(L, 1);
    lua_Integer count = 0;

    lua_newtable(L);
    while (text.len > 0) {
        size_t blank = blank_at(text);
        size_t len = 0;

        if (blank) {
            text = span_from(text, blank);
            continue;
        }
        while (len < text.len && !blank_at(span_from(text, len)))
            len++;
        push(L, span_head(text, len));
        lua_rawseti(L, -2, ++count);
        text = span_from(text, len);
    }
    return 1;
}

static int l_split_whitespace(lua_State *L) { return split_words(L, space_at); }

static int l_split_ascii_whitespace(lua_State *L) { return split_words(L, ascii_space_at); }

/* ---- replacing and comparing ---- */

static int replace(lua_State *L, lua_Integer most)
{
    struct span text = check_span(L, 1);
    struct span from = check_pattern(L, 2);
    struct span to = check_span(L, 3);
    luaL_Buffer out;
    size_t at;

    luaL_buffinit(L, &out);
    for (; most > 0 && (at = find(text, from)) < text.len; most--) {
        luaL_addlstring(&out, text.data, at);
        luaL_addlstring(&out, to.data, to.len);
        text = span_from(text, at + from.len);
    }
    luaL_addlstring(&out, text.data, text.len);
    luaL_pushresult(&out);
    return 1;
}

static int l_replace(lua_State *L) { return replace(L, LUA_MAXINTEGER); }

static int l_replacen(lua_State *L) { return replace(L, check_limit(L, 4)); }

static int l_starts_with(lua_State *L)
{
    struct span text = check_span(L, 1);
    struct span part = check_span(L, 2);

    lua_pushboolean(L, part.len <= text.len && span_eq(span_head(text, part.len), part));
    return 1;
}

static int l_ends_with(lua_State *L)
{
    struct span text = check_span(L, 1);
    struct span part = check_span(L, 2);

    lua_pushboolean(L, part.len <= text.len && span_eq(span_from(text, text.len - part.len), part));
    return 1;
}

void mod_string_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"split", l_split},
                                         {"splitn", l_splitn},
                                         {"rsplit", l_rsplit},
                                         {"rsplitn", l_rsplitn},
                                         {"split_whitespace", l_split_whitespace},
                                         {"split_ascii_whitespace", l_split_ascii_whitespace},
                                         {"trim", l_trim},
                                         {"trim_start", l_trim_start},
                                         {"trim_end", l_trim_end},
                                         {"replace", l_replace},
                                         {"replacen", l_replacen},
                                         {"starts_with", l_starts_with},
                                         {"ends_with", l_ends_with},
                                         {NULL, NULL}};

    lua_getglobal(L, "kumo");
    luaL_newlib(L, functions);
    lua_setfield(L, -2, "string");
    lua_pop(L, 1);
}
