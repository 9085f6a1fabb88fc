/* SPDX-License-Identifier: Apache-2.0
 *
 * Making a reply and putting it on the wire. The text may come from an operator's policy
 * or from a peer, so whatever it holds, it leaves as whole reply lines and nothing else.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/digits.h"
#include "base/must.h"
#include "smtp/reply.h"
#include "smtp/smtp_private.h"

#define LINE_BYTES 512     /* with its CRLF: RFC 5321, section 4.5.3.1.5 */
#define OWN_LINES_LIMIT 50 /* more than any client wants to read, fewer than any refuses */

/* Appends one byte of a reply's text, made harmless. '\n' stays: it separates lines. */
static void put(struct smtp_reply *reply, size_t *len, char c)
{
    if (*len + 1 < sizeof reply->text)
        reply->text[(*len)++] = ((unsigned char)c < 0x20 && c != '\n') || c == 0x7f ? ' ' : c;
}

void smtp_reply_add_text(struct smtp_reply *reply, struct span text)
{
    size_t len = strlen(reply->text);
    size_t plain = span_plain_run(text); /* nearly always all of it */

    if (plain < sizeof reply->text - len) {
        memcpy(reply->text + len, text.data, plain);
        len += plain;
        text = span_from(text, plain);
    }
    while (text.len > 0) {
        size_t width = smtp_utf8_width(text);

        if (text.data[0] == '\r' && text.len > 1 && text.data[1] == '\n') {
            text = span_from(text, 1);
            continue;
        }
        if (width == 0)
            put(reply, &len, '?');
        else if (len + width < sizeof reply->text)
            for (size_t i = 0; i < width; i++)
                put(reply, &len, text.data[i]);
        else
            break;
        text = span_from(text, width ? width : 1);
    }
    reply->text[len] = '\0';
}

static void tidy(char *text)
{
    size_t len = strlen(text);
    size_t lines = 1;

    for (char *c = text; *c; c++)
        if (*c == '\n' && ++lines > OWN_LINES_LIMIT)
            *c = ' ';

    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
        len--;
    text[len] = '\0';
}

static int number(struct span *text)
{
    size_t digits = 0;
    int value = 0;

    while (digits < text->len && digits < 3 && text->data[digits] >= '0' && text->data[digits] <= '9')
        value = value * 10 + (text->data[digits++] - '0');
    *text = span_from(*text, digits);
    return digits > 0 ? value : -1;
}

bool smtp_enhanced_code_take(struct span *text, int enhanced_out[3])
{
    struct span rest = *text;
    int parts[3];

    for (int i = 0; i < 3; i++) {
        if (i > 0) {
            if (rest.len == 0 || rest.data[0] != '.')
                return false;
            rest = span_from(rest, 1);
        }
        parts[i] = number(&rest);
        if (parts[i] < 0)
            return false;
    }
    if ((parts[0] != 2 && parts[0] != 4 && parts[0] != 5) || (rest.len > 0 && rest.data[0] != ' '))
        return false;
    memcpy(enhanced_out, parts, sizeof parts);
    *text = rest.len > 0 ? span_from(rest, 1) : rest;
    return true;
}

void smtp_reply_set(struct smtp_reply *reply, int code, struct span text)
{
    int enhanced[3] = {0, 0, 0};
    struct span rest = text;

    MUST(code >= 200 && code <= 599);
    if (smtp_enhanced_code_take(&rest, enhanced) && enhanced[0] != code / 100) {
        memset(enhanced, 0, sizeof enhanced); /* "250 5.7.1": not ours to believe; it stays text */
        rest = text;
    }
    reply->code = code;
    reply->enhanced_class = enhanced[0];
    reply->enhanced_subject = enhanced[1];
    reply->enhanced_detail = enhanced[2];
    reply->text[0] = '\0';
    smtp_reply_add_text(reply, rest);
    tidy(reply->text);
}

void smtp_reply_vsetf(struct smtp_reply *reply, int code, const char *format, va_list args)
{
    char text[SMTP_REPLY_TEXT_BYTES + 16]; /* and an enhanced code */

    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    smtp_reply_set(reply, code, span_of(text));
}

void smtp_reply_setf(struct smtp_reply *reply, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    smtp_reply_vsetf(reply, code, format, args);
    va_end(args);
}

/* How much of `line` fits in `room` bytes, ended at a space where there is one. */
static size_t fold_at(struct span line, size_t room)
{
    size_t cut = room;

    if (line.len <= room)
        return line.len;
    while (cut > room / 2 && line.data[cut] != ' ')
        cut--;
    if (line.data[cut] == ' ')
        return cut;
    cut = room;
    while (cut > 1 && ((unsigned char)line.data[cut] & 0xC0) == 0x80)
        cut--;
    return cut;
}

static int write_line(const struct smtp_reply *reply, struct span piece, bool last, struct buf *out)
{
    char head[3 * DIGITS_MOST + 8];
    char *end = head + sizeof head;
    char *start = end;

    if (reply->enhanced_class > 0) {
        *--start = ' ';
        start = digits_before(start, (uint64_t)reply->enhanced_detail, 1);
        *--start = '.';
        start = digits_before(start, (uint64_t)reply->enhanced_subject, 1);
        *--start = '.';
        start = digits_before(start, (uint64_t)reply->enhanced_class, 1);
    }
    *--start = last ? ' ' : '-';
    start = digits_before(start, (uint64_t)reply->code, 3);
    if (piece.len == 0 && reply->enhanced_class > 0)
        end--; /* no space at the end of a line */
    if (buf_append(out, start, (size_t)(end - start)) || buf_append_span(out, piece))
        return -1;
    return buf_append(out, "\r\n", 2);
}

int smtp_reply_write(const struct smtp_reply *reply, struct buf *out)
{
    struct span rest = span_of(reply->text);
    size_t before = buf_len(out);
    struct span line;

    while (span_split(&rest, '\n', &line)) {
        do {
            size_t used = fold_at(line, LINE_BYTES - 32);
            struct span piece = span_head(line, used);

            line = span_from(line, used);
            if (line.len > 0 && line.data[0] == ' ')
                line = span_from(line, 1);
            if (write_line(reply, piece, line.len == 0 && !rest.data, out)) {
                buf_truncate(out, before);
                return -1;
            }
        } while (line.len > 0);
    }
    return 0;
}
