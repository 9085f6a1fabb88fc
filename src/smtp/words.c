/* SPDX-License-Identifier: Apache-2.0
 *
 * Small steps over text that several parsers of this room take.
 */
#include "smtp/smtp_private.h"

size_t smtp_utf8_width(struct span s)
{
    unsigned char lead = (unsigned char)s.data[0];
    size_t width = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

    return width <= s.len && span_is_utf8(span_head(s, width)) ? width : 0;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

bool smtp_word_take(struct span *rest, struct span *word_out)
{
    size_t start = 0;
    size_t end;

    while (start < rest->len && is_blank(rest->data[start]))
        start++;
    end = start;
    while (end < rest->len && !is_blank(rest->data[end]))
        end++;
    *word_out = span_make(rest->data + start, end - start);
    *rest = span_from(*rest, end);
    return end > start;
}
