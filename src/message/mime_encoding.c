/* SPDX-License-Identifier: Apache-2.0
 *
 * The two transfer encodings of RFC 2045.
 */
#include "base/base64.h"
#include "message/mime_type.h"

/* A soft line break ("=" and a line end) at the start of `s`: its length, or 0. */
static size_t soft_break(struct span s)
{
    size_t at = 1;

    while (at < s.len && (s.data[at] == ' ' || s.data[at] == '\t'))
        at++;
    if (at < s.len && s.data[at] == '\r')
        at++;
    if (at < s.len && s.data[at] == '\n')
        return at + 1;
    return at == s.len ? at : 0;
}

static int decode_quoted_printable(struct span text, struct buf *out)
{
    while (text.len > 0) {
        char c = text.data[0];
        size_t used = 1;

        if (c == '=') {
            int high = text.len > 2 ? ascii_hex_value(text.data[1]) : -1;
            int low = text.len > 2 ? ascii_hex_value(text.data[2]) : -1;

            used = high >= 0 && low >= 0 ? 3 : soft_break(text);
            if (used == 0)
                return -1;
            c = (char)(high * 16 + low);
            if (high < 0 || low < 0) {
                text = span_from(text, used);
                continue;
            }
        }
        if (buf_append(out, &c, 1))
            return -1;
        text = span_from(text, used);
    }
    return 0;
}

static int decode_base64(struct span text, struct buf *out)
{
    struct buf flat;
    int result = 0;

    buf_init(&flat, text.len);
    for (size_t i = 0; i < text.len && !result; i++)
        if (!strchr(" \t\r\n", text.data[i]))
            result = buf_append(&flat, &text.data[i], 1);
    result = result || base64_decode(buf_span(&flat), out);
    buf_done(&flat);
    return result ? -1 : 0;
}

int mime_decode(enum mime_encoding encoding, struct span text, struct buf *out)
{
    switch (encoding) {
    case MIME_IDENTITY:
        return buf_append_span(out, text);
    case MIME_QUOTED_PRINTABLE:
        return decode_quoted_printable(text, out);
    case MIME_BASE64:
        return decode_base64(text, out);
    case MIME_UNKNOWN:
        break;
    }
    return -1;
}

int mime_encode_quoted_printable(struct span text, struct buf *out)
{
    size_t column = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool ends_line = text.len - i > 2 && text.data[i + 1] == '\r' && text.data[i + 2] == '\n';
        bool is_last = i + 1 == text.len;
        bool plain = (c > ' ' && c < 0x7f && c != '=') || ((c == ' ' || c == '\t') && !ends_line && !is_last);

        if (c == '\r' && i + 1 < text.len && text.data[i + 1] == '\n') {
            if (buf_append(out, "\r\n", 2))
                return -1;
            column = 0;
            i++;
            continue;
        }
        if (column + (plain ? 1 : 3) > 75) {
            if (buf_append(out, "=\r\n", 3))
                return -1;
            column = 0;
        }
        if (plain ? buf_append(out, &text.data[i], 1) : buf_appendf(out, "=%02X", c))
            return -1;
        column += plain ? 1 : 3;
    }
    return column > 0 ? buf_append(out, "\r\n", 2) : 0;
}

int mime_encode_base64(struct span bytes, struct buf *out)
{
    while (bytes.len > 0) {
        if (base64_encode(span_head(bytes, 57), out) || buf_append(out, "\r\n", 2))
            return -1;
        bytes = span_from(bytes, 57);
    }
    return 0;
}
