/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads a segment back, twice over the headers: first to learn how far it was synced
 * (later frames say so of earlier ones), then to visit what can be trusted. Where a frame
 * should begin and none does, the next one is found by its generation, which no client
 * can have put into a message: it is random and never leaves the disk.
 */
#include <endian.h>

#include "base/crc32c.h"
#include "spool/format.h"

struct scan {
    struct span segment; /* cut at the limit */
    uint64_t generation;
    const struct scan_handler *handler;
    void *ctx;
    struct scan_result *result;
    struct frame_item body; /* the body that was checked last, good or bad: recipients share one */
    bool body_is_good;
};

/* The next frame at or behind `*at`; false at the end. */
static bool find_frame(const struct scan *scan, uint64_t *at, struct frame_header *frame_out)
{
    uint64_t generation, wanted = htole64(scan->generation);

    for (uint64_t i = *at; i + FRAME_HEADER_BYTES <= scan->segment.len; i += 8) {
        memcpy(&generation, scan->segment.data + i, sizeof generation);
        if (generation != wanted || frame_header_decode(span_from(scan->segment, i), scan->generation, frame_out))
            continue;
        *at = i;
        return true;
    }
    return false;
}

static bool part_is_good(const struct scan *scan, uint64_t at, uint32_t len, uint32_t crc, uint64_t frame_at,
                         const struct frame_header *frame)
{
    uint64_t end = frame_at + frame->total_bytes;

    return at % 8 == 0 && at >= frame_at && at <= end && len <= end - at &&
           crc32c(0, scan->segment.data + at, len) == crc;
}

static bool body_is_good(struct scan *scan, const struct frame_item *item, uint64_t frame_at,
                         const struct frame_header *frame)
{
    const struct frame_item *last = &scan->body;

    if (item->body_at == last->body_at && item->body_len == last->body_len && item->body_crc == last->body_crc)
        return scan->body_is_good;
    scan->body = *item;
    scan->body_is_good = part_is_good(scan, item->body_at, item->body_len, item->body_crc, frame_at, frame);
    return scan->body_is_good;
}

static bool item_is_good(struct scan *scan, const struct frame_item *item, uint64_t frame_at,
                         const struct frame_header *frame)
{
    return item->ref != 0 && part_is_good(scan, item->record_at, item->record_len, item->record_crc, frame_at, frame) &&
           (frame->type == FRAME_UPDATE || body_is_good(scan, item, frame_at, frame));
}

static struct frame_item item_at(const struct scan *scan, uint64_t frame_at, uint32_t i)
{
    struct frame_item item;

    frame_item_decode(scan->segment.data + frame_at + FRAME_HEADER_BYTES + (uint64_t)i * ITEM_BYTES, frame_at, &item);
    return item;
}

static uint32_t count_bad_items(struct scan *scan, uint64_t frame_at, const struct frame_header *frame)
{
    uint32_t bad = 0;

    for (uint32_t i = 0; i < frame->count; i++) {
        struct frame_item item = item_at(scan, frame_at, i);

        bad += !item_is_good(scan, &item, frame_at, frame);
    }
    return bad;
}

/* How many items from the i-th on have its body. */
static uint32_t count_sharers(const struct scan *scan, uint64_t frame_at, const struct frame_header *frame, uint32_t i)
{
    uint64_t body_at = item_at(scan, frame_at, i).body_at;
    uint32_t n = 1;

    while (i + n < frame->count && item_at(scan, frame_at, i + n).body_at == body_at)
        n++;
    return n;
}

static void visit_items(struct scan *scan, uint64_t frame_at, const struct frame_header *frame)
{
    uint32_t bad = count_bad_items(scan, frame_at, frame);
    bool synced = frame_at + frame->total_bytes <= scan->result->synced_to;
    uint32_t sharers = 0;
    uint64_t body_at = 0;

    if (bad && !synced) {
        scan->result->unsynced++;
        return;
    }
    scan->result->damaged += bad;
    for (uint32_t i = 0; i < frame->count; i++) {
        struct frame_item item = item_at(scan, frame_at, i);

        if (item.body_at != body_at)
            sharers = count_sharers(scan, frame_at, frame, i);
        body_at = item.body_at;
        if (bad && !item_is_good(scan, &item, frame_at, frame))
            continue;
        if (frame->type == FRAME_STORE)
            scan->handler->on_store(scan->ctx, &item, sharers);
        else
            scan->handler->on_update(scan->ctx, &item);
    }
}

static void visit_marks(struct scan *scan, uint64_t frame_at, const struct frame_header *frame)
{
    const char *table = scan->segment.data + frame_at + FRAME_HEADER_BYTES;

    scan->handler->on_marks(scan->ctx, frame_at);
    for (uint32_t i = 0; i < frame->count; i++) {
        struct frame_mark mark;

        frame_mark_decode(table + (uint64_t)i * MARK_BYTES, &mark);
        scan->handler->on_mark(scan->ctx, &mark);
    }
}

static void count_loss(struct scan *scan, uint64_t at)
{
    if (at < scan->result->synced_to)
        scan->result->damaged++;
    else
        scan->result->unsynced++;
}

static void visit_frame(struct scan *scan, uint64_t at, const struct frame_header *frame)
{
    const char *table = scan->segment.data + at + FRAME_HEADER_BYTES;
    size_t entry_bytes = frame->type == FRAME_REMOVE ? MARK_BYTES : ITEM_BYTES;

    scan->body = (struct frame_item){.body_at = UINT64_MAX};
    if (frame->type == FRAME_END)
        return;
    if (crc32c(0, table, (size_t)frame->count * entry_bytes) != frame->table_crc)
        count_loss(scan, at);
    else if (frame->type == FRAME_REMOVE)
        visit_marks(scan, at, frame);
    else
        visit_items(scan, at, frame);
}

static void learn_how_far_synced(struct scan *scan)
{
    struct frame_header frame;

    for (uint64_t at = SEGMENT_HEADER_BYTES; find_frame(scan, &at, &frame); at += frame.total_bytes) {
        /* an END frame carries nothing, so nothing is uncertain about it */
        if (frame.type == FRAME_END && frame.synced_to == at)
            frame.synced_to += frame.total_bytes;
        if (frame.synced_to > scan->result->synced_to && frame.synced_to <= scan->segment.len)
            scan->result->synced_to = frame.synced_to;
    }
}

void segment_scan(struct span segment, uint64_t generation, uint64_t limit, uint64_t synced_to,
                  const struct scan_handler *handler, void *ctx, struct scan_result *result_out)
{
    struct scan scan = {.segment = span_head(segment, limit < segment.len ? (size_t)limit : segment.len),
                        .generation = generation,
                        .handler = handler,
                        .ctx = ctx,
                        .result = result_out};
    uint64_t at = SEGMENT_HEADER_BYTES;
    struct frame_header frame;

    *result_out = (struct scan_result){.end = SEGMENT_HEADER_BYTES, .synced_to = synced_to};
    learn_how_far_synced(&scan);
    while (find_frame(&scan, &at, &frame)) {
        if (at != result_out->end)
            count_loss(&scan, result_out->end);
        visit_frame(&scan, at, &frame);
        at += frame.total_bytes;
        result_out->end = at;
    }
    /* whatever was synced behind the last frame that can be found is lost */
    if (result_out->end < result_out->synced_to)
        count_loss(&scan, result_out->end);
}
