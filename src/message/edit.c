/* SPDX-License-Identifier: Apache-2.0
 *
 * Header edits: a new body is put together from pieces of the old one.
 */
#include "message/edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "message/message_private.h"

/* Left free in front of a new body, so that the next trace header costs no copy of the message. */
#define FRONT_ROOM_BYTES 1024

/* The pieces become the new body. */
static int set_pieces(struct message *message, const struct span *pieces, size_t count, struct error *error)
{
    size_t len = 0;
    size_t used = FRONT_ROOM_BYTES;
    char *block;

    for (size_t i = 0; i < count; i++)
        len += pieces[i].len;
    block = mem_try_realloc(NULL, FRONT_ROOM_BYTES + len);
    if (!block)
        return error_set(error, ERROR_TEMP, "no memory for a message of %zu bytes", len);
    for (size_t i = 0; i < count; i++) {
        memcpy(block + used, pieces[i].data, pieces[i].len);
        used += pieces[i].len;
    }
    message_set_body(message, bytes_take_after(block, FRONT_ROOM_BYTES, len));
    return 0;
}

static int need_body(const struct message *message, struct span *body_out, struct error *error)
{
    if (!message_body(message))
        return error_set(error, ERROR_PERM, "the message has no data in memory");
    *body_out = bytes_span(message_body(message));
    return 0;
}

int message_prepend_lines(struct message *message, struct span lines, struct error *error)
{
    struct span pieces[2] = {lines};

    if (need_body(message, &pieces[1], error))
        return -1;
    if (headers_begin_folded(pieces[1]))
        return error_set(error, ERROR_PERM, "the message begins with a folded line: no header can stand before it");
    if (message_prepend_in_place(message, lines))
        return 0;
    return set_pieces(message, pieces, 2, error);
}

int message_prepend_header(struct message *message, struct span name, struct span value, bool encode,
                           struct error *error)
{
    struct buf line;
    int result;

    buf_init(&line, HEADER_TEXT_LIMIT);
    result = header_write(name, value, encode, &line, error) || message_prepend_lines(message, buf_span(&line), error);
    buf_done(&line);
    return result ? -1 : 0;
}

static bool ends_line(struct span s) { return s.len == 0 || s.data[s.len - 1] == '\n' || s.data[s.len - 1] == '\r'; }

static int append_lines(struct message *message, struct span lines, struct error *error)
{
    struct span body;
    struct headers headers;
    struct span pieces[5];

    if (need_body(message, &body, error) || headers_parse(body, &headers, error))
        return -1;
    pieces[0] = headers.block;
    pieces[1] = ends_line(headers.block) ? SPAN_LIT("") : SPAN_LIT("\r\n");
    pieces[2] = lines;
    /* the empty line anew: it may have been a CR alone, and for whom that is none the body would continue our field */
    pieces[3] = SPAN_LIT("\r\n");
    pieces[4] = span_from(body, headers.body_at);
    headers_done(&headers);
    return set_pieces(message, pieces, 5, error);
}

int message_append_header(struct message *message, struct span name, struct span value, bool encode,
                          struct error *error)
{
    struct buf line;
    int result;

    buf_init(&line, HEADER_TEXT_LIMIT);
    result = header_write(name, value, encode, &line, error) || append_lines(message, buf_span(&line), error);
    buf_done(&line);
    return result ? -1 : 0;
}

static bool has_any(const struct headers *headers, header_test_fn *unwanted, void *ctx)
{
    for (size_t i = 0; i < headers->count; i++)
        if (unwanted(&headers->items[i], ctx))
            return true;
    return false;
}

static void keep_wanted(const struct headers *headers, header_test_fn *unwanted, void *ctx, struct buf *out)
{
    for (size_t i = 0; i < headers->count; i++)
        if (!unwanted(&headers->items[i], ctx))
            MUST(header_copy(&headers->items[i], out) == 0); /* there is room */
}

/* The text without them, as the message's body. */
static int leave_out(struct message *message, struct span body, const struct headers *headers, header_test_fn *unwanted,
                     void *ctx, struct error *error)
{
    struct span pieces[2] = {{0}, span_from(body, headers->block.len)};
    struct buf kept;
    int result;

    buf_init(&kept, headers->block.len + headers->count);
    if (buf_reserve(&kept, headers->block.len + headers->count)) {
        keep_wanted(headers, unwanted, ctx, &kept);
        pieces[0] = buf_span(&kept);
        result = set_pieces(message, pieces, 2, error);
    } else {
        result = error_set(error, ERROR_TEMP, "no memory for the header section");
    }
    buf_done(&kept);
    return result;
}

int message_remove_headers(struct message *message, header_test_fn *unwanted, void *ctx, struct error *error)
{
    struct span body;
    struct headers headers;
    int result = 0;

    if (need_body(message, &body, error) || headers_parse(body, &headers, error))
        return -1;
    if (has_any(&headers, unwanted, ctx))
        result = leave_out(message, body, &headers, unwanted, ctx, error);
    headers_done(&headers);
    return result;
}

static bool has_name(const struct header *header, void *ctx)
{
    const struct span *name = ctx;

    return header_is_named(header, *name);
}

int message_remove_named(struct message *message, struct span name, struct error *error)
{
    return message_remove_headers(message, has_name, &name, error);
}
