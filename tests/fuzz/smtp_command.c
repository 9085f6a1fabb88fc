/* SPDX-License-Identifier: Apache-2.0
 *
 * Command lines: a stream cut anywhere gives the same lines.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "base/buf.h"
#include "smtp/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Feeds `stream` in pieces of `piece` bytes and writes down what came out. */
static void read_all(struct span stream, size_t piece, struct buf *log)
{
    struct smtp_line_reader reader = smtp_line_reader_make(32);
    size_t start = 0;
    size_t end = 0;

    while (end < stream.len) {
        enum smtp_line_progress progress;

        end = end + piece < stream.len ? end + piece : stream.len;
        do {
            struct smtp_command command;
            struct span line = {"", 0};
            size_t used;

            progress = smtp_line_take(&reader, span_make(stream.data + start, end - start), &line, &used);
            MUST(used <= end - start);
            start += used;
            if (progress != SMTP_LINE_MORE)
                MUST(buf_appendf(log, "%d %.*s\n", progress, SPAN_ARG(line)) == 0);
            if (progress == SMTP_LINE_DONE && smtp_command_parse(line, &command) == SMTP_COMMAND_FINE)
                MUST(buf_appendf(log, "%s\n", smtp_verb_name(command.verb)) == 0);
        } while (progress != SMTP_LINE_MORE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span stream = span_make((const char *)data, size);
    struct buf whole;

    if (size > 4096)
        return 0;
    buf_init(&whole, 1 << 20);
    read_all(stream, size + 1, &whole);
    for (size_t piece = 1; piece < 40; piece += 6) {
        struct buf cut;

        buf_init(&cut, 1 << 20);
        read_all(stream, piece, &cut);
        MUST(span_eq(buf_span(&whole), buf_span(&cut)));
        buf_done(&cut);
    }
    buf_done(&whole);
    return 0;
}
