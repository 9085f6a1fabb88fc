/* SPDX-License-Identifier: Apache-2.0
 *
 * Four characters are three octets; the last group may have three or two characters. Whatever
 * has a second spelling is refused: a token has one form, and so has its place in a cache.
 */
#include "token/base64url.h"

#include "base/base64.h"

static int value_of(char c)
{
    if (c == '+' || c == '/')
        return -1;
    return base64_value(c == '-' ? '+' : c == '_' ? '/' : c);
}

/* Decodes a group of two to four characters into one octet less. -1 when it is malformed. */
static int decode_group(struct span in, char *out)
{
    unsigned bits = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i < in.len ? value_of(in.data[i]) : 0;

        if (value < 0)
            return -1;
        bits = bits << 6 | (unsigned)value;
    }
    if ((in.len == 2 && (bits & 0xffff)) || (in.len == 3 && (bits & 0xff)))
        return -1;
    for (size_t i = 0; i + 1 < in.len; i++)
        out[i] = (char)(bits >> (16 - 8 * i) & 0xff);
    return 0;
}

int base64url_decode(struct span text, struct buf *out)
{
    size_t len = text.len / 4 * 3 + (text.len % 4 ? text.len % 4 - 1 : 0);
    char *room;

    if (text.len % 4 == 1)
        return -1;
    if (len == 0)
        return 0;
    room = buf_reserve(out, len);
    if (!room)
        return -1;
    for (size_t i = 0; i < text.len; i += 4)
        if (decode_group(span_head(span_from(text, i), 4), room + i / 4 * 3))
            return -1;
    buf_commit(out, len);
    return 0;
}
