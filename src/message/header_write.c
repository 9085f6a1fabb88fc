/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing one header field.
 */
#include "message/headers.h"
#include "message/message_text.h"

#define SOFT_COLUMNS 75
#define HARD_COLUMNS 900

/* Where to break `text`, whose line stands at `column` already; text.len: nowhere. */
static size_t break_at(struct span text, size_t column)
{
    size_t best = 0;

    if (column + text.len <= SOFT_COLUMNS)
        return text.len;
    for (size_t i = 1; i < text.len; i++) {
        if (column + i >= HARD_COLUMNS)
            return best > 0 ? best : i;
        if (text.data[i] != ' ' && text.data[i] != '\t')
            continue;
        if (column + i > SOFT_COLUMNS && best > 0)
            return best;
        best = i;
        if (column + i > SOFT_COLUMNS)
            return best;
    }
    return column + text.len > SOFT_COLUMNS && best > 0 ? best : text.len;
}

int header_write_folded(struct span text, size_t column, struct buf *out)
{
    while (text.len > 0) {
        size_t used = break_at(text, column);

        if (buf_append_span(out, span_head(text, used)))
            return -1;
        text = span_from(text, used);
        while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
            text = span_from(text, 1);
        if (text.len > 0 && buf_append(out, "\r\n\t", 3))
            return -1;
        column = 8;
    }
    return 0;
}

static int write_text(struct span name, struct span value, bool encode, struct buf *out)
{
    if (!encode)
        return buf_append_span(out, value);
    if (span_is_ascii(value))
        return header_write_folded(value, name.len + 2, out);
    return header_write_words(value, name.len + 2, out);
}

int header_write(struct span name, struct span value, bool encode, struct buf *out, struct error *error)
{
    size_t before = buf_len(out);

    if (header_check_name(name, error) || header_check_value(value, error))
        return -1;
    if (encode && !span_is_utf8(value))
        return error_set(error, ERROR_PERM, "a header value to be encoded must be UTF-8");
    if (buf_append_span(out, name) || buf_append(out, ": ", 2) || write_text(name, value, encode, out) ||
        buf_append(out, "\r\n", 2)) {
        buf_truncate(out, before);
        return error_set(error, ERROR_PERM, "the header section would grow too large");
    }
    return 0;
}
