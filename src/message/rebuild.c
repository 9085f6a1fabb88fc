/* SPDX-License-Identifier: Apache-2.0
 *
 * The rewriting itself: first the line ends of the whole, then part by part. What cannot be
 * understood is kept as it is rather than guessed at.
 */
#include "message/rebuild.h"

#include "message/address_list.h"
#include "message/message_text.h"
#include "message/mime_type.h"

/* ---- measuring ---- */

bool rebuild_line_ends_are_canonical(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\n')
            return false;
        if (text.data[i] == '\r' && (++i == text.len || text.data[i] != '\n'))
            return false;
    }
    return true;
}

size_t rebuild_longest_line(struct span text)
{
    size_t longest = 0;

    while (text.len > 0) {
        size_t end = span_find(text, '\n');
        size_t len = end > 0 && text.data[end - 1] == '\r' ? end - 1 : end;

        if (len > longest)
            longest = len;
        text = span_from(text, end + 1);
    }
    return longest;
}

bool rebuild_mime_headers_are_valid(const struct headers *headers)
{
    struct mime_type type;

    mime_type_read(headers, &type);
    return !type.is_broken && type.encoding != MIME_UNKNOWN;
}

static int canonical_line_ends(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        bool is_end = text.data[i] == '\r' || text.data[i] == '\n';

        if (text.data[i] == '\r' && i + 1 < text.len && text.data[i + 1] == '\n')
            i++;
        if (is_end ? buf_append(out, "\r\n", 2) : buf_append(out, &text.data[i], 1))
            return -1;
    }
    return 0;
}

/* ---- fields ---- */

static bool holds_addresses(struct span name)
{
    static const char *const names[] = {"From", "To", "Cc", "Bcc", "Sender", "Reply-To"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (span_ieq(name, span_of(names[i])))
            return true;
    return false;
}

/* Addresses one to a line, their names as encoded words. -1 when they cannot be written in
 * seven bits, or not be read. */
static int write_addresses(struct span value, struct buf *out)
{
    struct address_list list;
    int failed = 0;

    if (address_list_parse(value, &list, NULL))
        return -1;
    for (size_t i = 0; i < list.count && !failed; i++) {
        const struct address *address = &list.items[i];

        failed = !span_is_ascii(span_of(address->email)) || (i > 0 && buf_append(out, ",\r\n\t", 4));
        if (!failed && address->name)
            failed = header_write_words(span_of(address->name), 20, out) || buf_append(out, " ", 1);
        failed = failed || buf_appendf(out, "<%s>", address->email);
    }
    failed = failed || list.count == 0;
    address_list_done(&list);
    return failed ? -1 : 0;
}

static int write_8bit_value(const struct header *header, struct buf *out)
{
    struct buf text;
    size_t before = buf_len(out);
    int failed;

    if (holds_addresses(header->name)) {
        if (write_addresses(header->value, out) == 0)
            return 0;
        buf_truncate(out, before);
    }
    buf_init(&text, HEADER_TEXT_LIMIT);
    failed = header_decode(header->value, &text) || header_write_words(buf_span(&text), header->name.len + 2, out);
    buf_done(&text);
    return failed ? -1 : 0;
}

static int write_field(const struct header *header, struct buf *out)
{
    struct span value = header->value;

    if (buf_append_span(out, header->name) || buf_append(out, ":", 1))
        return -1;
    if (!header->has_colon)
        return buf_append(out, " \r\n", 3);
    if (!span_is_ascii(value))
        return buf_append(out, " ", 1) || write_8bit_value(header, out) || buf_append(out, "\r\n", 2) ? -1 : 0;
    return buf_append_span(out, value) || buf_append(out, "\r\n", 2) ? -1 : 0;
}

static int write_fields(const struct headers *headers, bool without_encoding, bool without_type, struct buf *out)
{
    for (size_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[i];

        if ((without_encoding && span_ieq(header->name, SPAN_LIT("Content-Transfer-Encoding"))) ||
            (without_type && span_ieq(header->name, SPAN_LIT("Content-Type"))))
            continue;
        if (write_field(header, out))
            return -1;
    }
    return 0;
}

/* ---- parts ---- */

static int rebuild_entity(struct span entity, int depth, struct buf *out);

static int copy_entity(const struct headers *headers, struct span body, struct buf *out)
{
    return write_fields(headers, false, false, out) || buf_append(out, "\r\n", 2) || buf_append_span(out, body) ? -1
                                                                                                                : 0;
}

/* Text that says no charset but is not ASCII becomes UTF-8. */
static int append_text(const struct mime_type *type, struct span bytes, struct buf *out)
{
    struct buf lines;
    int failed;

    if (type->has_charset)
        return mime_encode_quoted_printable(bytes, out);
    buf_init(&lines, out->limit_bytes);
    failed = text_append_lossy(bytes, &lines) || mime_encode_quoted_printable(buf_span(&lines), out);
    buf_done(&lines);
    return failed ? -1 : 0;
}

static int encode_leaf(const struct headers *headers, const struct mime_type *type, struct span bytes, struct buf *out)
{
    bool add_charset = type->is_text && !type->has_charset && !span_is_ascii(bytes);

    if (write_fields(headers, true, add_charset, out))
        return -1;
    if (add_charset && buf_appendf(out, "Content-Type: %s; charset=\"utf-8\"\r\n", type->type))
        return -1;
    if (buf_appendf(out, "Content-Transfer-Encoding: %s\r\n\r\n", type->is_text ? "quoted-printable" : "base64"))
        return -1;
    return type->is_text ? append_text(type, bytes, out) : mime_encode_base64(bytes, out);
}

static int rebuild_leaf(const struct headers *headers, const struct mime_type *type, struct span body, struct buf *out)
{
    struct buf bytes;
    size_t before = buf_len(out);
    int failed;

    if (span_is_ascii(body) && rebuild_longest_line(body) <= REBUILD_LINE_LIMIT)
        return copy_entity(headers, body, out);
    buf_init(&bytes, out->limit_bytes);
    failed = mime_decode(type->encoding, body, &bytes);
    if (failed) {
        buf_done(&bytes);
        buf_truncate(out, before);
        return copy_entity(headers, body, out);
    }
    failed = encode_leaf(headers, type, buf_span(&bytes), out);
    buf_done(&bytes);
    return failed ? -1 : 0;
}

/* The next "--boundary" line at or after `from`; `*line_end_out`: behind it; `*closes_out`:
 * it is the last. body.len when there is none. */
static size_t find_boundary(struct span body, const char *boundary, size_t from, size_t *line_end_out, bool *closes_out)
{
    size_t len = strlen(boundary);

    for (size_t at = from; at < body.len;) {
        size_t line = span_find(span_from(body, at), '\n');
        struct span text = span_head(span_from(body, at), line);

        if (text.len >= len + 2 && memcmp(text.data, "--", 2) == 0 && memcmp(text.data + 2, boundary, len) == 0) {
            struct span tail = span_from(text, len + 2);

            *closes_out = span_starts_with(tail, SPAN_LIT("--"));
            if (*closes_out)
                tail = span_from(tail, 2);
            *line_end_out = at + line < body.len ? at + line + 1 : body.len;
            if (span_trim(tail).len == 0)
                return at;
        }
        at += line + 1;
    }
    return body.len;
}

static int rebuild_parts(const struct mime_type *type, struct span body, int depth, struct buf *out)
{
    size_t start;
    bool closes = false;
    size_t at = find_boundary(body, type->boundary, 0, &start, &closes);

    if (at == body.len)
        return buf_append_span(out, body);
    while (at < body.len && !closes) {
        size_t next_start = body.len;
        size_t next = find_boundary(body, type->boundary, start, &next_start, &closes);
        struct span part = span_make(body.data + start, next - start);

        if (next < body.len && span_ends_with(part, SPAN_LIT("\r\n")))
            part.len -= 2; /* belongs to the boundary */
        if (buf_appendf(out, "--%s\r\n", type->boundary) || rebuild_entity(part, depth + 1, out))
            return -1;
        if (!span_ends_with(buf_span(out), SPAN_LIT("\r\n")) && buf_append(out, "\r\n", 2))
            return -1;
        at = next;
        start = next_start;
    }
    return buf_appendf(out, "--%s--\r\n", type->boundary);
}

static int rebuild_entity(struct span entity, int depth, struct buf *out)
{
    struct headers headers;
    struct mime_type type;
    struct span body;
    int failed;

    if (depth > REBUILD_DEPTH_LIMIT || headers_parse(entity, &headers, NULL))
        return buf_append_span(out, entity);
    mime_type_read(&headers, &type);
    body = span_from(entity, headers.body_at);
    if (type.is_multipart || (type.is_message && type.encoding == MIME_IDENTITY)) {
        failed = write_fields(&headers, true, false, out) || buf_append(out, "\r\n", 2) ||
                 (type.is_multipart ? rebuild_parts(&type, body, depth, out) : rebuild_entity(body, depth + 1, out));
    } else {
        failed = rebuild_leaf(&headers, &type, body, out);
    }
    headers_done(&headers);
    return failed ? -1 : 0;
}

int rebuild_message(struct span message, struct buf *out, struct error *error)
{
    struct buf canonical;
    int failed;

    buf_init(&canonical, out->limit_bytes);
    failed = canonical_line_ends(message, &canonical) || rebuild_entity(buf_span(&canonical), 0, out);
    buf_done(&canonical);
    return failed ? error_set(error, ERROR_PERM, "the message would grow too large") : 0;
}
