/* SPDX-License-Identifier: Apache-2.0
 *
 * RFC 2047: words of other languages in header values, read and written.
 */
#include "base/base64.h"
#include "message/headers.h"
#include "message/message_text.h"

/* ---- reading ---- */

static int decode_q(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i] == '_' ? ' ' : text.data[i];

        if (c == '=') {
            int high = i + 2 < text.len ? ascii_hex_value(text.data[i + 1]) : -1;
            int low = i + 2 < text.len ? ascii_hex_value(text.data[i + 2]) : -1;

            if (high < 0 || low < 0)
                return -1;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (buf_append(out, &c, 1))
            return -1;
    }
    return 0;
}

int text_append_latin1(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        char wide[2] = {(char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F))};

        if (c < 0x80 ? buf_append(out, &text.data[i], 1) : buf_append(out, wide, 2))
            return -1;
    }
    return 0;
}

int text_append_lossy(struct span text, struct buf *out)
{
    while (text.len > 0) {
        size_t width = 1;

        if ((unsigned char)text.data[0] >= 0x80)
            for (width = 4; width > 1; width--)
                if (width <= text.len && span_is_utf8(span_head(text, width)))
                    break;
        if (width == 1 && (unsigned char)text.data[0] >= 0x80) {
            if (buf_append(out, "\xEF\xBF\xBD", 3))
                return -1;
        } else {
            /* 2..4 bytes may be a character and ASCII behind it: both are valid */
            if (buf_append(out, text.data, width))
                return -1;
        }
        text = span_from(text, width);
    }
    return 0;
}

static int append_charset(struct span charset, struct span bytes, struct buf *out)
{
    if (span_ieq(charset, SPAN_LIT("utf-8")) || span_ieq(charset, SPAN_LIT("us-ascii")))
        return text_append_lossy(bytes, out);
    if (span_ieq(charset, SPAN_LIT("iso-8859-1")))
        return text_append_latin1(bytes, out);
    return -1;
}

/* "=?charset?Q?text?=" at the start of `s`: its length, or 0 when there is none that we can
 * decode. The text goes to `out`. */
static size_t take_encoded_word(struct span s, struct buf *out)
{
    struct span rest = span_from(s, 2);
    struct span parts[3];
    struct buf bytes;
    int failed;

    if (!span_starts_with(s, SPAN_LIT("=?")))
        return 0;
    for (int i = 0; i < 3; i++)
        if (!span_split(&rest, '?', &parts[i]) || !rest.data)
            return 0;
    if (rest.len == 0 || rest.data[0] != '=' || parts[1].len != 1 || span_find(parts[2], ' ') < parts[2].len)
        return 0;
    parts[0] = span_head(parts[0], span_find(parts[0], '*')); /* RFC 2231's language */
    buf_init(&bytes, HEADER_TEXT_LIMIT);
    if (ascii_lower(parts[1].data[0]) == 'q')
        failed = decode_q(parts[2], &bytes);
    else
        failed = ascii_lower(parts[1].data[0]) == 'b' ? base64_decode(parts[2], &bytes) : -1;
    failed = failed || append_charset(parts[0], buf_span(&bytes), out);
    buf_done(&bytes);
    return failed ? 0 : (size_t)(rest.data + 1 - s.data);
}

static int decode_words(struct span text, struct buf *out)
{
    bool after_word = false;

    while (text.len > 0) {
        size_t blanks = 0;
        size_t end;
        size_t before = buf_len(out);
        size_t used;

        while (blanks < text.len && (text.data[blanks] == ' ' || text.data[blanks] == '\t'))
            blanks++;
        used = take_encoded_word(span_from(text, blanks), out);
        if (used > 0 && !after_word && blanks > 0) { /* blanks between two words are no text */
            buf_truncate(out, before);
            if (buf_append_span(out, span_head(text, blanks)))
                return -1;
            (void)take_encoded_word(span_from(text, blanks), out);
        }
        after_word = used > 0;
        if (used > 0) {
            text = span_from(text, blanks + used);
            continue;
        }
        buf_truncate(out, before);
        end = blanks + 1;
        while (end < text.len && text.data[end] != ' ' && text.data[end] != '\t' &&
               !span_starts_with(span_from(text, end), SPAN_LIT("=?")))
            end++;
        if (text_append_lossy(span_head(text, end), out))
            return -1;
        text = span_from(text, end);
    }
    return 0;
}

int header_decode(struct span value, struct buf *out)
{
    struct buf flat;
    int result;

    buf_init(&flat, HEADER_TEXT_LIMIT);
    result = header_unfold(value, &flat) || decode_words(buf_span(&flat), out) ? -1 : 0;
    buf_done(&flat);
    return result;
}

/* ---- writing ---- */

#define WORD_COLUMNS 75

static bool is_q_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.';
}

static size_t utf8_width(struct span s)
{
    unsigned char lead = (unsigned char)s.data[0];
    size_t width = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

    return width < s.len ? width : s.len;
}

/* One encoded word of at most 75 columns; returns how much of `text` is in it. */
static size_t write_word(struct span text, size_t columns, struct buf *out)
{
    size_t used = 0;
    size_t column = columns + 12; /* "=?UTF-8?q?" and "?=" */

    if (buf_append(out, "=?UTF-8?q?", 10))
        return 0;
    while (used < text.len) {
        size_t width = utf8_width(span_from(text, used));

        if (column + 3 * width > WORD_COLUMNS && used > 0)
            break;
        for (size_t i = used; i < used + width; i++) {
            unsigned char c = (unsigned char)text.data[i];
            int failed = c == ' '        ? buf_append(out, "_", 1)
                         : is_q_plain(c) ? buf_append(out, &text.data[i], 1)
                                         : buf_appendf(out, "=%02X", c);

            if (failed)
                return 0;
        }
        column += is_q_plain((unsigned char)text.data[used]) ? 1 : 3 * width;
        used += width;
    }
    return buf_append(out, "?=", 2) ? 0 : used;
}

int header_write_words(struct span text, size_t column, struct buf *out)
{
    while (text.len > 0) {
        size_t used = write_word(text, column, out);

        if (used == 0)
            return -1;
        text = span_from(text, used);
        if (text.len > 0 && buf_append(out, "\r\n\t", 3))
            return -1;
        column = 8;
    }
    return 0;
}
