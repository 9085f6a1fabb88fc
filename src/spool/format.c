/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoding and decoding of headers and table entries. Every header has a checksum of its
 * own, so that a length is believed before it is followed.
 */
#include "spool/format.h"

#include <endian.h>

#include "base/crc32c.h"

#define COPY_AT (SEGMENT_HEADER_BYTES / 2)
#define HEADER_USED_BYTES 64

static const char magic[8] = "GPSPOOL\n";

static void put32(char *out, uint32_t value)
{
    value = htole32(value);
    memcpy(out, &value, sizeof value);
}

static void put64(char *out, uint64_t value)
{
    value = htole64(value);
    memcpy(out, &value, sizeof value);
}

static uint32_t get32(const char *in)
{
    uint32_t value;

    memcpy(&value, in, sizeof value);
    return le32toh(value);
}

static uint64_t get64(const char *in)
{
    uint64_t value;

    memcpy(&value, in, sizeof value);
    return le64toh(value);
}

/* ---- the segment's header ----
 * magic 8, version 4, crc of these 12 bytes 4 (so much is promised for every version),
 * flags 4, sequence 4, prior_sequence 4, zero 4, prior_end 8, generation 8, base_ref 8,
 * zero 4, crc of the 60 bytes before 4 */

void segment_header_encode(const struct segment_header *header, char out[SEGMENT_HEADER_BYTES])
{
    memset(out, 0, SEGMENT_HEADER_BYTES);
    memcpy(out, magic, sizeof magic);
    put32(out + 8, SPOOL_FORMAT_VERSION);
    put32(out + 12, crc32c(0, out, 12));
    put32(out + 16, header->in_use);
    put32(out + 20, header->sequence);
    put32(out + 24, header->prior_sequence);
    put64(out + 32, header->prior_end);
    put64(out + 40, header->generation);
    put64(out + 48, header->base_ref);
    put32(out + 60, crc32c(0, out, 60));
    memcpy(out + COPY_AT, out, HEADER_USED_BYTES);
}

static enum header_verdict decode_copy(const char *in, struct segment_header *header_out, uint32_t *version_out)
{
    if (memcmp(in, magic, sizeof magic) || get32(in + 12) != crc32c(0, in, 12))
        return HEADER_DAMAGED;
    if (get32(in + 8) != SPOOL_FORMAT_VERSION) {
        *version_out = get32(in + 8);
        return HEADER_FOREIGN;
    }
    if (get32(in + 60) != crc32c(0, in, 60))
        return HEADER_DAMAGED;
    *header_out = (struct segment_header){.in_use = get32(in + 16) != 0,
                                          .sequence = get32(in + 20),
                                          .prior_sequence = get32(in + 24),
                                          .prior_end = get64(in + 32),
                                          .generation = get64(in + 40),
                                          .base_ref = get64(in + 48)};
    return HEADER_OK;
}

static bool is_zero(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i])
            return false;
    return true;
}

enum header_verdict segment_header_decode(struct span page, struct segment_header *header_out, uint32_t *version_out)
{
    enum header_verdict verdict;

    if (page.len < SEGMENT_HEADER_BYTES || is_zero(span_head(page, SEGMENT_HEADER_BYTES)))
        return HEADER_BLANK;
    verdict = decode_copy(page.data, header_out, version_out);
    /* a header that was being replaced when the power went may leave two different
     * copies: the file held nothing that counts then, so either will do */
    return verdict == HEADER_DAMAGED ? decode_copy(page.data + COPY_AT, header_out, version_out) : verdict;
}

/* ---- frames ----
 * generation 8, crc of the other 28 bytes 4, type 4, count 4, total/8 4, table_crc 4,
 * synced_to/8 4 */

static uint32_t frame_header_crc(const char *in) { return crc32c(crc32c(0, in, 8), in + 12, 20); }

void frame_header_encode(const struct frame_header *frame, uint64_t generation, char out[FRAME_HEADER_BYTES])
{
    put64(out, generation);
    put32(out + 12, frame->type);
    put32(out + 16, frame->count);
    put32(out + 20, frame->total_bytes / 8);
    put32(out + 24, frame->table_crc);
    put32(out + 28, (uint32_t)(frame->synced_to / 8));
    put32(out + 8, frame_header_crc(out));
}

static uint64_t table_bytes(const struct frame_header *frame)
{
    switch (frame->type) {
    case FRAME_STORE:
    case FRAME_UPDATE:
        return (uint64_t)frame->count * ITEM_BYTES;
    case FRAME_REMOVE:
        return (uint64_t)frame->count * MARK_BYTES;
    case FRAME_END:
        return 0;
    }
    return UINT64_MAX / 2;
}

int frame_header_decode(struct span bytes, uint64_t generation, struct frame_header *frame_out)
{
    struct frame_header frame;

    if (bytes.len < FRAME_HEADER_BYTES || get64(bytes.data) != generation ||
        get32(bytes.data + 8) != frame_header_crc(bytes.data))
        return -1;
    frame.type = get32(bytes.data + 12);
    frame.count = get32(bytes.data + 16);
    frame.table_crc = get32(bytes.data + 24);
    frame.synced_to = (uint64_t)get32(bytes.data + 28) * 8;
    if (get32(bytes.data + 20) > FRAME_LIMIT_BYTES / 8)
        return -1;
    frame.total_bytes = get32(bytes.data + 20) * 8;
    if (frame.total_bytes > bytes.len || FRAME_HEADER_BYTES + table_bytes(&frame) > frame.total_bytes)
        return -1;
    *frame_out = frame;
    return 0;
}

void frame_item_encode(const struct frame_item *item, uint64_t frame_at, char out[ITEM_BYTES])
{
    put64(out, item->ref);
    put32(out + 8, (uint32_t)(item->record_at - frame_at));
    put32(out + 12, item->record_len);
    put32(out + 16, item->record_crc);
    put32(out + 20, (uint32_t)(item->body_at - frame_at));
    put32(out + 24, item->body_len);
    put32(out + 28, item->body_crc);
}

void frame_item_decode(const char *in, uint64_t frame_at, struct frame_item *item_out)
{
    *item_out = (struct frame_item){.ref = get64(in),
                                    .record_at = frame_at + get32(in + 8),
                                    .record_len = get32(in + 12),
                                    .record_crc = get32(in + 16),
                                    .body_at = frame_at + get32(in + 20),
                                    .body_len = get32(in + 24),
                                    .body_crc = get32(in + 28)};
}

void frame_mark_encode(const struct frame_mark *mark, char out[MARK_BYTES])
{
    put64(out, mark->ref);
    put32(out + 8, mark->home_sequence);
    put32(out + 12, mark->also_sequence);
}

void frame_mark_decode(const char *in, struct frame_mark *mark_out)
{
    *mark_out = (struct frame_mark){.ref = get64(in), .home_sequence = get32(in + 8), .also_sequence = get32(in + 12)};
}
