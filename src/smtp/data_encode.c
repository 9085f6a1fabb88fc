/* SPDX-License-Identifier: Apache-2.0
 *
 * Text as it goes to another server: every line ended by CRLF, every leading dot doubled,
 * whatever the stored message holds.
 */
#include "base/must.h"
#include "smtp/data.h"
#include "smtp/scan.h"

static void put(struct buf *out, const char *data, size_t len)
{
    MUST(buf_append(out, data, len) == 0); /* room was reserved for all of it */
}

/* Copies from `at` up to the next line end that is not a CRLF, or the next dot that must
 * be doubled; returns where it stopped. */
static const char *put_lines(struct smtp_data_encoder *encoder, const char *at, const char *end, struct buf *out)
{
    const char *run = at;

    for (;;) {
        if (!encoder->in_line && *at == '.')
            break;
        at = smtp_scan(at, end);
        encoder->in_line = true;
        if (at < end && *at == '\0') {
            at++;
        } else if (end - at >= 2 && at[0] == '\r' && at[1] == '\n') {
            at += 2;
            encoder->in_line = false;
        } else {
            break;
        }
        if (at == end)
            break;
    }
    put(out, run, (size_t)(at - run));
    return at;
}

static const char *put_special(struct smtp_data_encoder *encoder, const char *at, struct buf *out)
{
    if (*at == '.') {
        put(out, "..", 2);
        encoder->in_line = true;
    } else if (*at == '\r') {
        put(out, "\r\n", 2); /* the LF of a CRLF that was cut in two is dropped when it comes */
        encoder->after_cr = true;
        encoder->in_line = false;
    } else {
        put(out, "\r\n", 2);
        encoder->in_line = false;
    }
    return at + 1;
}

int smtp_data_encode(struct smtp_data_encoder *encoder, struct span text, struct buf *out)
{
    const char *at = text.data;
    const char *end = text.data + text.len;

    if (text.len > SIZE_MAX / 2 - 2 || !buf_reserve(out, 2 * text.len + 2))
        return -1;
    while (at < end) {
        if (encoder->after_cr) {
            encoder->after_cr = false;
            if (*at == '\n') {
                at++;
                continue;
            }
        }
        at = put_lines(encoder, at, end, out);
        if (at < end)
            at = put_special(encoder, at, out);
    }
    return 0;
}

int smtp_data_encode_end(struct smtp_data_encoder *encoder, struct buf *out)
{
    const char *tail = encoder->in_line ? "\r\n.\r\n" : ".\r\n";

    return buf_append(out, tail, strlen(tail));
}
