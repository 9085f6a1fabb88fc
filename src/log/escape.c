/* SPDX-License-Identifier: Apache-2.0
 *
 * Making bytes from strangers fit for a log line. A peer may send anything; the operator's
 * terminal, and the program that reads the log, must see it without being moved by it.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "log/log_private.h"

#define NOT_UTF8 UINT32_MAX

/* One character at the start of `text`: its code point, its length in `*len_out`. */
static uint32_t decode(struct span text, size_t *len_out)
{
    unsigned char first = (unsigned char)text.data[0];
    size_t len = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
    uint32_t code;

    *len_out = 1;
    if (len == 0 || len > text.len || !span_is_utf8(span_head(text, len)))
        return NOT_UTF8;
    code = len == 1 ? first : first & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        code = code << 6 | ((unsigned char)text.data[i] & 0x3fu);
    *len_out = len;
    return code;
}

/* Control characters of both sets, line separators, and those that turn the writing
 * direction of what follows. */
static bool is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

static const char *short_escape(uint32_t code, enum escape_style style)
{
    switch (code) {
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '\\':
        return "\\\\";
    case '"':
        return style == ESCAPE_TEXT ? NULL : "\\\"";
    default:
        return NULL;
    }
}

/* The escaped form of one character, or 0 when it stands for itself. */
static size_t escape_one(uint32_t code, unsigned char first, enum escape_style style, char out[16])
{
    const char *name = short_escape(code, style);

    if (name)
        return (size_t)snprintf(out, 16, "%s", name);
    /* NUL is allowed in JSON text, but few who read it can keep it. */
    if (code == NOT_UTF8 || code == 0)
        return (size_t)snprintf(out, 16, "%s%02x", style == ESCAPE_JSON ? "\\\\x" : "\\x", first);
    if (is_unsafe(code))
        return (size_t)snprintf(out, 16, "\\u%04x", (unsigned)code);
    return 0;
}

/* The one character at the start of `*text`, escaped where it has to be. False: no room. */
static bool put_character(struct span *text, enum escape_style style, char *out, size_t room, size_t *used)
{
    char escaped[16];
    size_t taken;
    uint32_t code = decode(*text, &taken);
    size_t len = escape_one(code, (unsigned char)text->data[0], style, escaped);
    const char *from = len > 0 ? escaped : text->data;

    if (len == 0)
        len = taken;
    if (*used + len > room)
        return false;
    memcpy(out + *used, from, len);
    *used += len;
    *text = span_from(*text, taken);
    return true;
}

size_t escape_into(struct span text, enum escape_style style, char *out, size_t room)
{
    size_t used = 0;

    while (text.len > 0) {
        size_t plain = span_plain_run(span_head(text, room - used));

        memcpy(out + used, text.data, plain);
        used += plain;
        text = span_from(text, plain);
        if (text.len > 0 && !put_character(&text, style, out, room, &used))
            break;
    }
    return used;
}
