/* SPDX-License-Identifier: Apache-2.0
 *
 * Text as it comes from a client. Well-formed lines are copied in runs as long as the
 * chunk; everything odd goes through a state machine one byte at a time.
 */
#include "base/must.h"
#include "smtp/data.h"
#include "smtp/scan.h"

enum state {
    LINE_START, /* at the start, or after CRLF: the only place where "." means something */
    IN_LINE,
    AFTER_CR,
    AFTER_DOT,    /* LINE_START "." */
    AFTER_DOT_CR, /* LINE_START "." CR */
    ENDED,
};

void smtp_data_decoder_init(struct smtp_data_decoder *decoder, enum smtp_line_endings line_endings,
                            size_t line_limit_bytes)
{
    *decoder = (struct smtp_data_decoder){.line_endings = line_endings, .line_limit_bytes = line_limit_bytes};
}

static void keep(struct smtp_data_decoder *decoder, struct buf *out, const char *data, size_t len)
{
    if (decoder->is_too_big || decoder->has_no_memory || len == 0)
        return;
    if (len > out->limit_bytes - buf_len(out))
        decoder->is_too_big = true;
    else if (buf_append(out, data, len))
        decoder->has_no_memory = true;
}

static void count_line(struct smtp_data_decoder *decoder, size_t bytes)
{
    decoder->line_bytes += bytes;
    if (decoder->line_limit_bytes > 0 && decoder->line_bytes > decoder->line_limit_bytes)
        decoder->has_long_line = true;
}

static void bare_cr(struct smtp_data_decoder *decoder, struct buf *out)
{
    decoder->has_bare_cr = true;
    decoder->line_bytes = 0;
    if (decoder->line_endings == SMTP_LINE_ENDINGS_FIX)
        keep(decoder, out, "\r\n", 2);
    else
        keep(decoder, out, "\r", 1);
}

static void bare_lf(struct smtp_data_decoder *decoder, struct buf *out)
{
    decoder->has_bare_lf = true;
    decoder->line_bytes = 0;
    if (decoder->line_endings == SMTP_LINE_ENDINGS_FIX)
        keep(decoder, out, "\r\n", 2);
    else
        keep(decoder, out, "\n", 1);
}

/* Copies lines from `at` on while they are well-formed. Returns the first byte that was
 * not taken, with the state it is to be read in. */
static const char *take_lines(struct smtp_data_decoder *decoder, const char *at, const char *end, struct buf *out)
{
    const char *run = at;

    for (;;) {
        const char *mark = smtp_scan(at, end);

        count_line(decoder, (size_t)(mark - at));
        decoder->state = IN_LINE;
        at = mark;
        if (mark == end || *mark != '\r' || mark + 1 == end || mark[1] != '\n')
            break;
        decoder->line_bytes = 0;
        at = mark + 2;
        if (at == end || *at == '.') {
            decoder->state = LINE_START;
            break;
        }
    }
    keep(decoder, out, run, (size_t)(at - run));
    return at;
}

/* The byte at `at` while in a line: it stopped take_lines. */
static const char *take_special(struct smtp_data_decoder *decoder, const char *at, struct buf *out)
{
    if (*at == '\r') {
        decoder->state = AFTER_CR;
    } else if (*at == '\n') {
        bare_lf(decoder, out);
    } else {
        decoder->has_nul = true;
        count_line(decoder, 1);
        keep(decoder, out, at, 1);
    }
    return at + 1;
}

static const char *take_in_line(struct smtp_data_decoder *decoder, const char *at, const char *end, struct buf *out)
{
    at = take_lines(decoder, at, end, out);
    return at < end && decoder->state == IN_LINE ? take_special(decoder, at, out) : at;
}

/* One step at a boundary. A byte that only rules something out is looked at again. */
static const char *step(struct smtp_data_decoder *decoder, const char *at, const char *end, struct buf *out)
{
    switch ((enum state)decoder->state) {
    case LINE_START:
        if (*at != '.')
            return take_in_line(decoder, at, end, out);
        decoder->state = AFTER_DOT;
        return at + 1;
    case IN_LINE:
        return take_in_line(decoder, at, end, out);
    case AFTER_CR:
        decoder->state = IN_LINE;
        if (*at != '\n') {
            bare_cr(decoder, out);
            return at;
        }
        keep(decoder, out, "\r\n", 2);
        decoder->line_bytes = 0;
        decoder->state = LINE_START;
        return at + 1;
    case AFTER_DOT:
        decoder->state = *at == '\r' ? AFTER_DOT_CR : IN_LINE;
        return *at == '\r' ? at + 1 : at;
    case AFTER_DOT_CR:
        if (*at == '\n') {
            decoder->state = ENDED;
            return at + 1;
        }
        decoder->state = IN_LINE;
        bare_cr(decoder, out);
        return at;
    case ENDED:
        break;
    }
    MUST_NOT_REACH("nothing is fed after the end");
}

enum smtp_data_progress smtp_data_decode(struct smtp_data_decoder *decoder, struct span input, struct buf *out,
                                         size_t *used_out)
{
    const char *at = input.data;
    const char *end = input.data + input.len;

    if (out->limit_bytes - buf_len(out) >= input.len && !buf_reserve(out, input.len))
        decoder->has_no_memory = true; /* growing once beats growing line by line */
    while (at < end && decoder->state != ENDED)
        at = step(decoder, at, end, out);
    *used_out = (size_t)(at - input.data);
    if (!decoder->has_8bit)
        decoder->has_8bit = !span_is_ascii(span_head(input, *used_out));
    return decoder->state == ENDED ? SMTP_DATA_DONE : SMTP_DATA_MORE;
}
