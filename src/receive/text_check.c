/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading just enough of RFC 8601 to know in whose name a field speaks. A value that cannot be
 * read is taken as forged: others may read it in another way.
 */
#include "receive/text_check.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Behind a comment that begins at `s`, nested ones and quoted pairs included; -1 without end. */
static int skip_comment(struct span *s)
{
    size_t depth = 0;

    for (size_t i = 0; i < s->len; i++) {
        char c = s->data[i];

        if (c == '\\')
            i++;
        else if (c == '(')
            depth++;
        else if (c == ')' && --depth == 0) {
            *s = span_from(*s, i + 1);
            return 0;
        }
    }
    return -1;
}

static int skip_blanks_and_comments(struct span *s)
{
    while (s->len > 0 && (is_blank(s->data[0]) || s->data[0] == '(')) {
        if (is_blank(s->data[0]))
            *s = span_from(*s, 1);
        else if (skip_comment(s))
            return -1;
    }
    return 0;
}

static size_t take_quoted(struct span s, char *out)
{
    size_t len = 0;

    for (size_t i = 1; i < s.len; i++) {
        if (s.data[i] == '"') {
            out[len] = '\0';
            return len;
        }
        if (s.data[i] == '\\' && i + 1 < s.len)
            i++;
        out[len++] = s.data[i];
    }
    return 0;
}

static size_t take_token(struct span s, char *out)
{
    size_t len = 0;

    while (len < s.len && !is_blank(s.data[len]) && s.data[len] != ';' && s.data[len] != '(') {
        out[len] = s.data[len];
        len++;
    }
    out[len] = '\0';
    return len;
}

bool text_authserv_id(struct span value, char *id_out)
{
    if (skip_blanks_and_comments(&value) || value.len == 0)
        return false;
    return (value.data[0] == '"' ? take_quoted(value, id_out) : take_token(value, id_out)) > 0;
}

static struct span without_dot(struct span name)
{
    while (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--;
    return name;
}

static bool speaks_for_us(struct span value, const char *hostname)
{
    char *id = mem_alloc(value.len + 1);
    bool ours = !text_authserv_id(value, id) || span_ieq(without_dot(span_of(id)), without_dot(span_of(hostname)));

    free(id);
    return ours;
}

bool text_is_forged(const struct header *header, const char *hostname)
{
    if (header_is_named(header, SPAN_LIT("Return-Path")))
        return true;
    return header_is_named(header, SPAN_LIT("Authentication-Results")) && speaks_for_us(header->value, hostname);
}
