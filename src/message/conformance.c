/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding what is wrong with a message, and adding header fields it lacks. What needs the
 * whole message rewritten is in rebuild.c.
 */
#include "message/conformance.h"

#include "message/headers.h"
#include "message/rebuild.h"
#include "message/timestamp.h"

#define MISSING_HEADERS                                                                                                \
    (CONFORMANCE_MISSING_DATE_HEADER | CONFORMANCE_MISSING_MESSAGE_ID_HEADER | CONFORMANCE_MISSING_MIME_VERSION)

static const char *const labels[] = {
    "MISSING_COLON_VALUE",     "NON_CANONICAL_LINE_ENDINGS", "NAME_ENDS_WITH_SPACE",      "LINE_TOO_LONG",
    "NEEDS_TRANSFER_ENCODING", "MISSING_DATE_HEADER",        "MISSING_MESSAGE_ID_HEADER", "MISSING_MIME_VERSION",
    "INVALID_MIME_HEADERS",
};

#define LABEL_COUNT (sizeof labels / sizeof labels[0])

static int read_label(struct span word, unsigned *flags, struct error *error)
{
    word = span_trim(word);
    for (size_t i = 0; i < LABEL_COUNT; i++)
        if (span_eq(word, span_of(labels[i]))) {
            *flags |= 1U << i;
            return 0;
        }
    return error_set(error, ERROR_PERM, "unknown conformance label %.*s", (int)(word.len > 60 ? 60 : word.len),
                     word.data);
}

int conformance_parse(struct span text, unsigned *flags_out, struct error *error)
{
    unsigned flags = 0;
    struct span word;

    text = span_trim(text);
    if (text.len > 0)
        while (span_split(&text, '|', &word))
            if (read_label(word, &flags, error))
                return -1;
    *flags_out = flags;
    return 0;
}

int conformance_format(unsigned flags, struct buf *out)
{
    const char *bar = "";

    for (size_t i = 0; i < LABEL_COUNT; i++) {
        if (!(flags & 1U << i))
            continue;
        if (buf_appendf(out, "%s%s", bar, labels[i]))
            return -1;
        bar = "|";
    }
    return 0;
}

static unsigned check_headers(const struct headers *headers)
{
    const struct header *version = headers_find(headers, SPAN_LIT("MIME-Version"), NULL);
    unsigned flags = 0;

    for (size_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[i];

        if (!header->has_colon)
            flags |= CONFORMANCE_MISSING_COLON_VALUE;
        if (header->has_space_before_colon)
            flags |= CONFORMANCE_NAME_ENDS_WITH_SPACE;
        if (!span_is_ascii(header->whole))
            flags |= CONFORMANCE_NEEDS_TRANSFER_ENCODING;
    }
    if (!headers_find(headers, SPAN_LIT("Date"), NULL))
        flags |= CONFORMANCE_MISSING_DATE_HEADER;
    if (!headers_find(headers, SPAN_LIT("Message-ID"), NULL))
        flags |= CONFORMANCE_MISSING_MESSAGE_ID_HEADER;
    if (!version || !span_eq(span_trim(version->value), SPAN_LIT("1.0")))
        flags |= CONFORMANCE_MISSING_MIME_VERSION;
    return flags;
}

int conformance_check(struct span message, unsigned *flags_out, struct error *error)
{
    struct headers headers;
    struct span body;
    unsigned flags;

    if (headers_parse(message, &headers, error))
        return -1;
    flags = check_headers(&headers);
    if (!rebuild_mime_headers_are_valid(&headers))
        flags |= CONFORMANCE_INVALID_MIME_HEADERS;
    body = span_from(message, headers.body_at);
    headers_done(&headers);
    if (!rebuild_line_ends_are_canonical(message))
        flags |= CONFORMANCE_NON_CANONICAL_LINE_ENDINGS;
    if (rebuild_longest_line(body) > REBUILD_LINE_LIMIT)
        flags |= CONFORMANCE_LINE_TOO_LONG;
    if (!span_is_ascii(body))
        flags |= CONFORMANCE_NEEDS_TRANSFER_ENCODING;
    *flags_out = flags;
    return 0;
}

static int add_missing(unsigned issues, const char *id, const char *hostname, int64_t now_ms, struct buf *out)
{
    char date[TIMESTAMP_RFC5322_BYTES];

    timestamp_format_rfc5322(now_ms, date);
    if ((issues & CONFORMANCE_MISSING_DATE_HEADER) && buf_appendf(out, "Date: %s\r\n", date))
        return -1;
    if ((issues & CONFORMANCE_MISSING_MESSAGE_ID_HEADER) && buf_appendf(out, "Message-ID: <%s@%s>\r\n", id, hostname))
        return -1;
    if ((issues & CONFORMANCE_MISSING_MIME_VERSION) && buf_appendf(out, "MIME-Version: 1.0\r\n"))
        return -1;
    return 0;
}

/* A MIME-Version other than 1.0 gives way to the right one. */
static int copy_message(struct span message, unsigned issues, struct buf *out, struct error *error)
{
    size_t added = buf_len(out);
    struct headers headers;
    bool failed = false;

    if (headers_parse(message, &headers, error))
        return -1;
    for (size_t i = 0; i < headers.count && !failed; i++)
        if (!(issues & CONFORMANCE_MISSING_MIME_VERSION) || !span_ieq(headers.items[i].name, SPAN_LIT("MIME-Version")))
            failed = header_copy(&headers.items[i], out) != 0;
    if (headers.block.len == message.len) /* no empty line: without one our fields would be body */
        failed = failed || buf_append(out, "\r\n", 2);
    failed = failed || buf_append_span(out, span_from(message, headers.block.len));
    headers_done(&headers);
    if (failed)
        return error_set(error, ERROR_PERM, "the message would grow too large");
    if (added > 0 && headers_begin_folded(span_from(buf_span(out), added)))
        return error_set(error, ERROR_PERM, "the message begins with a folded line: no header can stand before it");
    return 0;
}

int conformance_fix(struct span message, unsigned issues, const char *id, const char *hostname, int64_t now_ms,
                    struct buf *out, struct error *error)
{
    struct buf rebuilt;
    int result;

    if (add_missing(issues, id, hostname, now_ms, out))
        return error_set(error, ERROR_PERM, "the message would grow too large");
    if (!(issues & ~(unsigned)MISSING_HEADERS))
        return copy_message(message, issues, out, error);
    buf_init(&rebuilt, out->limit_bytes);
    result = rebuild_message(message, &rebuilt, error) || copy_message(buf_span(&rebuilt), issues, out, error);
    buf_done(&rebuilt);
    return result ? -1 : 0;
}
