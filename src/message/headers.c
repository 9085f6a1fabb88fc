/* SPDX-License-Identifier: Apache-2.0
 *
 * Splitting a header section into its fields, and finding them.
 */
#include "message/headers.h"

#include <stdlib.h>

#include "base/mem.h"
#include "smtp/scan.h"

/* Length of the line at the start of `s` with its end; `*text_out`: without. */
static size_t line_length(struct span s, size_t *text_out)
{
    const char *end = s.data + s.len;
    const char *mark = smtp_scan(s.data, end);
    size_t at;

    while (mark < end && *mark == '\0')
        mark = smtp_scan(mark + 1, end);
    at = (size_t)(mark - s.data);
    *text_out = at;
    if (at < s.len && s.data[at] == '\r' && at + 1 < s.len && s.data[at + 1] == '\n')
        return at + 2;
    return at < s.len ? at + 1 : at;
}

/* Length of the field at the start of `s` with its folded lines; `*text_out`: without the
 * last line end. */
static size_t field_length(struct span s, size_t *text_out)
{
    size_t text;
    size_t used = line_length(s, &text);

    while (used < s.len && (s.data[used] == ' ' || s.data[used] == '\t')) {
        size_t more;
        size_t len = line_length(span_from(s, used), &more);

        text = used + more;
        used += len;
    }
    *text_out = text;
    return used;
}

static struct header make_header(struct span whole, struct span text)
{
    struct header header = {.whole = whole};
    size_t first_line;
    size_t colon;

    line_length(text, &first_line);
    colon = span_find(span_head(text, first_line), ':');
    header.has_colon = colon < first_line;
    header.name = span_head(text, colon);
    header.value = span_from(text, header.has_colon ? colon + 1 : text.len);
    while (header.name.len > 0 &&
           (header.name.data[header.name.len - 1] == ' ' || header.name.data[header.name.len - 1] == '\t')) {
        header.name.len--;
        header.has_space_before_colon = header.has_colon;
    }
    return header;
}

static int add(struct headers *headers, struct header header, struct error *error)
{
    if (headers->count >= HEADERS_LIMIT)
        return error_set(error, ERROR_PERM, "message has more than %d header fields", HEADERS_LIMIT);
    if (headers->count % 32 == 0)
        headers->items = mem_realloc(headers->items, (headers->count + 32) * sizeof *headers->items);
    headers->items[headers->count++] = header;
    return 0;
}

int headers_parse(struct span message, struct headers *headers_out, struct error *error)
{
    struct headers headers = {0};
    size_t at = 0;

    while (at < message.len) {
        struct span rest = span_from(message, at);
        size_t text;
        size_t used;

        if (line_length(rest, &text) > 0 && text == 0) { /* the empty line */
            headers.body_at = at + line_length(rest, &text);
            headers.block = span_head(message, at);
            *headers_out = headers;
            return 0;
        }
        used = field_length(rest, &text);
        if (add(&headers, make_header(span_head(rest, used), span_head(rest, text)), error)) {
            headers_done(&headers);
            return -1;
        }
        at += used;
    }
    headers.body_at = message.len;
    headers.block = message;
    *headers_out = headers;
    return 0;
}

void headers_done(struct headers *headers)
{
    free(headers->items);
    *headers = (struct headers){0};
}

static bool is_overlooked(char c) { return (unsigned char)c <= ' ' || (unsigned char)c >= 0x7f; }

static bool is_named_when_cleaned(const struct header *header, struct span name)
{
    struct span raw = header->has_colon ? header->name : span_head(header->whole, span_find(header->whole, ':'));
    size_t matched = 0;

    if (raw.len < name.len)
        return false;
    for (size_t i = 0; i < raw.len; i++) {
        if (is_overlooked(raw.data[i]))
            continue;
        if (matched == name.len || ascii_lower(raw.data[i]) != ascii_lower(name.data[matched]))
            return false;
        matched++;
    }
    return matched == name.len;
}

bool header_is_named(const struct header *header, struct span name)
{
    return span_ieq(header->name, name) || is_named_when_cleaned(header, name);
}

/* An LF is none: it ends a line for all who do not insist on CRLF. */
static bool is_control(char c) { return ((unsigned char)c < ' ' && c != '\t' && c != '\n') || c == 0x7f; }

bool headers_begin_folded(struct span message)
{
    size_t at = 0;

    if (span_starts_with(message, SPAN_LIT("\r\n")))
        return false;
    while (at < message.len && is_control(message.data[at]))
        at++;
    return at < message.len && (message.data[at] == ' ' || message.data[at] == '\t');
}

const struct header *headers_find(const struct headers *headers, struct span name, const struct header *previous)
{
    for (size_t i = previous ? (size_t)(previous - headers->items) + 1 : 0; i < headers->count; i++)
        if (span_ieq(headers->items[i].name, name))
            return &headers->items[i];
    return NULL;
}

size_t headers_count(const struct headers *headers, struct span name)
{
    size_t count = 0;

    for (const struct header *header = NULL; (header = headers_find(headers, name, header));)
        count++;
    return count;
}

int header_copy(const struct header *header, struct buf *out)
{
    struct span text = header->whole;

    if (span_ends_with(text, SPAN_LIT("\r\n")) || text.len == 0 ||
        (text.data[text.len - 1] != '\r' && text.data[text.len - 1] != '\n'))
        return buf_append_span(out, text);
    text.len--;
    return buf_append_span(out, text) || buf_append(out, "\r\n", 2) ? -1 : 0;
}

int header_unfold(struct span value, struct buf *out)
{
    value = span_trim(value);
    while (value.len > 0) {
        size_t text;
        size_t used = line_length(value, &text);

        if (buf_append_span(out, span_head(value, text)))
            return -1;
        value = span_from(value, used);
    }
    return 0;
}

int header_check_name(struct span name, struct error *error)
{
    if (name.len == 0 || name.len > 200)
        return error_set(error, ERROR_PERM, "a header name has 1 to 200 characters");
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] <= ' ' || name.data[i] >= 0x7f || name.data[i] == ':')
            return error_set(error, ERROR_PERM, "a header name holds a character it cannot have");
    return 0;
}

int header_check_value(struct span value, struct error *error)
{
    if (memchr(value.data, '\r', value.len) || memchr(value.data, '\n', value.len) ||
        memchr(value.data, '\0', value.len))
        return error_set(error, ERROR_PERM, "a header value holds a line end or a NUL");
    return 0;
}
