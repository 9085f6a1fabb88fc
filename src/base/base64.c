/* SPDX-License-Identifier: Apache-2.0
 *
 * Strict base64: a second spelling of the same bytes is refused, so that nothing
 * downstream can be shown two faces of one token.
 */
#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes one group of four; writes 1 to 3 bytes; 0 when it is malformed. */
static size_t decode_group(const char in[4], bool last, char out[3])
{
    size_t padding = in[3] != '=' ? 0 : in[2] != '=' ? 1 : 2;
    unsigned bits = 0;

    if (padding > 0 && !last)
        return 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i >= 4 - padding ? 0 : base64_value(in[i]);

        if (value < 0)
            return 0;
        bits = bits << 6 | (unsigned)value;
    }
    if ((padding == 1 && (bits & 0xff)) || (padding == 2 && (bits & 0xffff)))
        return 0;
    out[0] = (char)(bits >> 16 & 0xff);
    out[1] = (char)(bits >> 8 & 0xff);
    out[2] = (char)(bits & 0xff);
    return 3 - padding;
}

int base64_decode(struct span text, struct buf *out)
{
    size_t before = buf_len(out);
    char *room;
    size_t written = 0;

    if (text.len % 4 != 0)
        return -1;
    if (text.len == 0)
        return 0;
    room = buf_reserve(out, text.len / 4 * 3);
    if (!room)
        return -1;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t len = decode_group(text.data + i, i + 4 == text.len, room + written);

        if (len == 0) {
            buf_truncate(out, before);
            return -1;
        }
        written += len;
    }
    buf_commit(out, written);
    return 0;
}

int base64_encode(struct span bytes, struct buf *out)
{
    char *room = buf_reserve(out, (bytes.len + 2) / 3 * 4);
    size_t written = 0;

    if (!room)
        return -1;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        unsigned bits = (unsigned)(unsigned char)bytes.data[i] << 16;

        if (left > 1)
            bits |= (unsigned)(unsigned char)bytes.data[i + 1] << 8;
        if (left > 2)
            bits |= (unsigned char)bytes.data[i + 2];
        room[written++] = alphabet[bits >> 18];
        room[written++] = alphabet[bits >> 12 & 63];
        room[written++] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
        room[written++] = left > 2 ? alphabet[bits & 63] : '=';
    }
    buf_commit(out, written);
    return 0;
}

int hex_encode(struct span bytes, struct buf *out)
{
    static const char digits[] = "0123456789abcdef";
    char *room = buf_reserve(out, bytes.len * 2);

    if (!room)
        return -1;
    for (size_t i = 0; i < bytes.len; i++) {
        room[i * 2] = digits[(unsigned char)bytes.data[i] >> 4];
        room[i * 2 + 1] = digits[(unsigned char)bytes.data[i] & 15];
    }
    buf_commit(out, bytes.len * 2);
    return 0;
}
