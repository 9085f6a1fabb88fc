/* SPDX-License-Identifier: Apache-2.0
 *
 * Segment bytes as recovery meets them: the input is a whole segment file. Whatever it
 * holds, what is shown must lie within it and must have the checksums it claims.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/must.h"
#include "spool/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_part(struct span segment, uint64_t at, uint32_t len, uint32_t crc)
{
    MUST(at <= segment.len && len <= segment.len - at && at % 8 == 0);
    MUST(crc32c(0, segment.data + at, len) == crc);
}

static void on_store(void *ctx, const struct frame_item *item, uint32_t sharers)
{
    struct span segment = *(struct span *)ctx;

    MUST(sharers > 0 && item->ref != 0);
    check_part(segment, item->record_at, item->record_len, item->record_crc);
    check_part(segment, item->body_at, item->body_len, item->body_crc);
}

static void on_update(void *ctx, const struct frame_item *item)
{
    check_part(*(struct span *)ctx, item->record_at, item->record_len, item->record_crc);
}

static void on_marks(void *ctx, uint64_t frame_at) { MUST(frame_at < ((struct span *)ctx)->len); }

static void on_mark(void *ctx, const struct frame_mark *mark)
{
    (void)ctx;
    (void)mark;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct scan_handler handler = {
        .on_store = on_store, .on_update = on_update, .on_marks = on_marks, .on_mark = on_mark};
    struct span segment = span_make((const char *)data, size);
    struct segment_header header = {0};
    struct scan_result result;
    uint32_t version;

    if (segment_header_decode(segment, &header, &version) != HEADER_OK)
        return 0;
    segment_scan(segment, header.generation, size, header.prior_end, &handler, &segment, &result);
    MUST(result.end <= size || result.end == SEGMENT_HEADER_BYTES);
    return 0;
}
