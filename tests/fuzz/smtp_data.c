/* SPDX-License-Identifier: Apache-2.0
 *
 * DATA: cut anywhere it decodes the same, ends once, and comes back from the encoder.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "smtp/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum smtp_data_progress decode(struct span input, size_t piece, enum smtp_line_endings endings,
                                      struct smtp_data_decoder *decoder, struct buf *out, size_t *used_out)
{
    enum smtp_data_progress progress = SMTP_DATA_MORE;
    size_t total = 0;

    smtp_data_decoder_init(decoder, endings, 30);
    buf_init(out, 4 * 4096);
    while (total < input.len && progress == SMTP_DATA_MORE) {
        size_t used;

        progress = smtp_data_decode(decoder, span_head(span_from(input, total), piece), out, &used);
        total += used;
    }
    *used_out = total;
    return progress;
}

/* A decoded message, sent on, must arrive as one message with the same lines. */
static void round_trip(struct span text)
{
    struct smtp_data_encoder encoder = {0};
    struct smtp_data_decoder decoder;
    struct buf wire;
    struct buf back;
    size_t used;

    buf_init(&wire, 1 << 20);
    MUST(smtp_data_encode(&encoder, text, &wire) == 0 && smtp_data_encode_end(&encoder, &wire) == 0);
    MUST(decode(buf_span(&wire), 7, SMTP_LINE_ENDINGS_DENY, &decoder, &back, &used) == SMTP_DATA_DONE);
    MUST(used == buf_len(&wire) && !decoder.has_bare_cr && !decoder.has_bare_lf);
    buf_done(&wire);
    buf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_make((const char *)data, size);

    if (size > 4096)
        return 0;
    for (int endings = 0; endings <= SMTP_LINE_ENDINGS_FIX; endings++) {
        struct smtp_data_decoder whole;
        struct buf whole_out;
        size_t whole_used;
        enum smtp_data_progress progress =
            decode(input, size + 1, (enum smtp_line_endings)endings, &whole, &whole_out, &whole_used);

        MUST(progress == SMTP_DATA_MORE || whole_used >= 3);
        for (size_t piece = 1; piece < 20; piece += 1 + piece / 3) {
            struct smtp_data_decoder cut;
            struct buf cut_out;
            size_t cut_used;

            MUST(decode(input, piece, (enum smtp_line_endings)endings, &cut, &cut_out, &cut_used) == progress);
            MUST(cut_used == whole_used && span_eq(buf_span(&cut_out), buf_span(&whole_out)));
            MUST(cut.has_bare_cr == whole.has_bare_cr && cut.has_bare_lf == whole.has_bare_lf);
            MUST(cut.has_nul == whole.has_nul && cut.has_8bit == whole.has_8bit);
            MUST(cut.has_long_line == whole.has_long_line);
            buf_done(&cut_out);
        }
        round_trip(buf_span(&whole_out));
        buf_done(&whole_out);
    }
    return 0;
}
