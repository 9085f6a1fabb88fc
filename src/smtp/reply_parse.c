/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a peer's reply. It keeps no state: it is asked again with more bytes until the
 * last line is there. What it cannot understand is BROKEN, never a guess: a reply read
 * wrongly could lose a message.
 */
#include "smtp/reply.h"
#include "smtp/smtp_private.h"

struct reading {
    struct smtp_reply *reply;
    size_t lines;
    int code;
    int enhanced[3]; /* of the first line; class 0: none */
};

/* "250", "250 text" or "250-text", without its line end. */
static bool line_head(struct span line, int *code_out, bool *last_out)
{
    int code = 0;

    if (line.len < 3)
        return false;
    for (int i = 0; i < 3; i++) {
        if (line.data[i] < '0' || line.data[i] > '9')
            return false;
        code = code * 10 + (line.data[i] - '0');
    }
    if (code < 200 || code > 599 || (line.len > 3 && line.data[3] != ' ' && line.data[3] != '-'))
        return false;
    *code_out = code;
    *last_out = line.len == 3 || line.data[3] == ' ';
    return true;
}

static void add_line(struct reading *reading, struct span text)
{
    struct smtp_reply *reply = reading->reply;
    int enhanced[3];
    struct span rest = text;

    if (smtp_enhanced_code_take(&rest, enhanced) && enhanced[0] == reading->code / 100) {
        if (reading->lines == 1)
            memcpy(reading->enhanced, enhanced, sizeof enhanced);
        if (memcmp(reading->enhanced, enhanced, sizeof enhanced) == 0)
            text = rest;
    }
    if (reading->lines > 1)
        smtp_reply_add_text(reply, SPAN_LIT("\n"));
    smtp_reply_add_text(reply, text);
}

static enum smtp_reply_progress take_line(struct reading *reading, struct span line)
{
    bool last;
    int code;

    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    if (!line_head(line, &code, &last) || (reading->lines > 0 && code != reading->code))
        return SMTP_REPLY_BROKEN;
    reading->code = code;
    reading->lines++;
    add_line(reading, span_from(line, 4));
    return last ? SMTP_REPLY_DONE : SMTP_REPLY_MORE;
}

static void finish(const struct reading *reading, struct smtp_reply *reply)
{
    reply->code = reading->code;
    reply->enhanced_class = reading->enhanced[0];
    reply->enhanced_subject = reading->enhanced[1];
    reply->enhanced_detail = reading->enhanced[2];
}

enum smtp_reply_progress smtp_reply_parse(struct span input, struct smtp_reply *reply_out, size_t *used_out)
{
    struct smtp_reply reply = {0};
    struct reading reading = {.reply = &reply};
    struct span rest = input;

    for (;;) {
        size_t end = span_find(rest, '\n');
        enum smtp_reply_progress progress;

        if (end >= SMTP_REPLY_LINE_LIMIT || reading.lines >= SMTP_REPLY_LINES_LIMIT)
            return SMTP_REPLY_BROKEN;
        if (end == rest.len)
            return SMTP_REPLY_MORE;
        progress = take_line(&reading, span_head(rest, end));
        rest = span_from(rest, end + 1);
        if (progress == SMTP_REPLY_BROKEN)
            return progress;
        if (progress == SMTP_REPLY_DONE) {
            finish(&reading, &reply);
            *reply_out = reply;
            *used_out = input.len - rest.len;
            return SMTP_REPLY_DONE;
        }
    }
}
