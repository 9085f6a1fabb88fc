/* SPDX-License-Identifier: Apache-2.0
 *
 * An answer to a command (RFC 5321, section 4.2; enhanced codes RFC 2034 and RFC 3463):
 * one type for what we say, are told, quote in a bounce and log.
 */
#ifndef GATEPOST_SMTP_REPLY_H
#define GATEPOST_SMTP_REPLY_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"

#define SMTP_REPLY_TEXT_BYTES 1024

struct smtp_reply {
    int code;           /* 200..599 */
    int enhanced_class; /* 2, 4 or 5; 0 when there is no enhanced code */
    int enhanced_subject;
    int enhanced_detail;
    char text[SMTP_REPLY_TEXT_BYTES]; /* lines separated by '\n'; no codes, no CR */
};

/* Parses "d.d.d" at the start of `text` into the enhanced code, and keeps the rest as
 * text (cut where it is too long; CR, LF and NUL in `text` are made harmless). */
void smtp_reply_set(struct smtp_reply *reply, int code, struct span text);
void smtp_reply_setf(struct smtp_reply *reply, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void smtp_reply_vsetf(struct smtp_reply *reply, int code, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/* The wire form, multi-line where the text is: each line "250-2.1.0 text CRLF". No line
 * is longer than 512 octets: long ones are folded into several. */
int smtp_reply_write(const struct smtp_reply *reply, struct buf *out) __attribute__((warn_unused_result));

static inline bool smtp_reply_is_success(const struct smtp_reply *reply)
{
    return reply->code >= 200 && reply->code < 300;
}

static inline bool smtp_reply_is_transient(const struct smtp_reply *reply)
{
    return reply->code >= 400 && reply->code < 500;
}

static inline bool smtp_reply_is_permanent(const struct smtp_reply *reply) { return reply->code >= 500; }

/* ---- reading a peer's reply ---- */

#define SMTP_REPLY_LINE_LIMIT 2048
#define SMTP_REPLY_LINES_LIMIT 100

enum smtp_reply_progress {
    SMTP_REPLY_MORE,   /* the reply is not complete yet */
    SMTP_REPLY_DONE,   /* `*reply_out` is filled, `*used_out` bytes belong to it */
    SMTP_REPLY_BROKEN, /* not SMTP, codes that disagree, or over the limits above */
};

/* Looks for one whole reply at the start of `input`; keeps no state. Accepts bare LF. */
enum smtp_reply_progress smtp_reply_parse(struct span input, struct smtp_reply *reply_out, size_t *used_out);

#endif
