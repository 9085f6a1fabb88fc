/* SPDX-License-Identifier: Apache-2.0
 *
 * Gathers frames for one write and one sync. Records and bodies are not copied: the parts
 * of the write point at what the askers hold until they are answered.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/must.h"
#include "spool/spool_private.h"

static const char zeros[8];

void *batch_grow(void *array, size_t count, size_t *capacity, size_t element_bytes)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity ? *capacity * 2 : 16;
    return mem_realloc(array, *capacity * element_bytes);
}

/* ---- parts ---- */

static void add_part(struct batch *batch, const void *data, size_t len)
{
    if (!len)
        return;
    batch->parts = batch_grow(batch->parts, batch->part_count, &batch->part_capacity, sizeof *batch->parts);
    batch->parts[batch->part_count++] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    batch->bytes += len;
}

static void add_padded(struct batch *batch, struct span s)
{
    add_part(batch, s.data, s.len);
    add_part(batch, zeros, (size_t)(round_up_8(s.len) - s.len));
}

static void *scratch(struct batch *batch, size_t bytes)
{
    void *data = arena_alloc(&batch->arena, bytes);

    MUST(data);
    return data;
}

static struct change *add_change(struct batch *batch, enum change_kind kind)
{
    batch->changes = batch_grow(batch->changes, batch->change_count, &batch->change_capacity, sizeof *batch->changes);
    batch->changes[batch->change_count] = (struct change){.kind = kind};
    return &batch->changes[batch->change_count++];
}

/* ---- room ---- */

static uint64_t marks_bytes(size_t count) { return count ? FRAME_HEADER_BYTES + (uint64_t)count * MARK_BYTES : 0; }

/* What the batch will come to once its marks are added. */
static uint64_t planned_bytes(const struct batch *batch) { return batch->bytes + marks_bytes(batch->remove_count); }

static bool fits(const struct spool *spool, uint64_t bytes)
{
    const struct segment *current = spool->current;

    return current && current->end + planned_bytes(&spool->batch) + bytes <= current->size;
}

int batch_make_room(struct spool *spool, uint64_t bytes, bool for_store, struct error *error)
{
    uint64_t planned = planned_bytes(&spool->batch);

    if (fits(spool, bytes) && (!planned || planned + bytes <= BATCH_LIMIT_BYTES))
        return 0;
    batch_commit(spool);
    if (fits(spool, bytes))
        return 0;
    return writer_rotate(spool, bytes, for_store, error);
}

/* ---- frames with items ---- */

/* The item before the i-th that has the same body, or -1. */
static ptrdiff_t same_body(const struct batch_item *items, size_t i)
{
    for (size_t j = i; j > 0; j--)
        if (items[j - 1].body_key == items[i].body_key)
            return (ptrdiff_t)j - 1;
    return -1;
}

uint64_t batch_items_bytes(enum frame_type type, const struct batch_item *items, size_t count)
{
    uint64_t bytes = FRAME_HEADER_BYTES + (uint64_t)count * ITEM_BYTES;

    for (size_t i = 0; i < count; i++) {
        bytes += round_up_8(items[i].record.len);
        if (type == FRAME_STORE && same_body(items, i) < 0)
            bytes += round_up_8(items[i].body.len);
    }
    return bytes;
}

static void place_body(struct batch_item *items, size_t i, uint64_t *at)
{
    ptrdiff_t same = same_body(items, i);

    if (same >= 0) {
        items[i].body_at = items[same].body_at;
        items[i].body_crc = items[same].body_crc;
        return;
    }
    items[i].body_at = *at;
    items[i].body_crc = crc32c(0, items[i].body.data, items[i].body.len);
    *at += round_up_8(items[i].body.len);
}

static uint16_t count_sharers(const struct batch_item *items, size_t count, size_t i)
{
    size_t sharers = 0;

    for (size_t j = 0; j < count; j++)
        sharers += items[j].body_key == items[i].body_key;
    return sharers > UINT16_MAX ? UINT16_MAX : (uint16_t)sharers;
}

static struct frame_item add_item(struct spool *spool, enum frame_type type, struct batch_item *items, size_t i,
                                  uint64_t *at, enum change_kind kind)
{
    struct batch_item *item = &items[i];
    struct frame_item written = {.ref = item->ref, .record_at = *at, .record_len = (uint32_t)item->record.len};
    struct change *change = add_change(&spool->batch, kind);
    uint32_t slot = spool->current->slot;

    written.record_crc = crc32c(0, item->record.data, item->record.len);
    *at += round_up_8(item->record.len);
    change->origin = item->origin;
    change->entry =
        (struct entry){.ref = item->ref,
                       .sharers = 1,
                       .record = {slot, (uint32_t)(written.record_at / 8), written.record_len, written.record_crc}};
    if (type == FRAME_UPDATE) {
        written.body_at = written.record_at;
        return written;
    }
    place_body(items, i, at);
    written.body_at = item->body_at;
    written.body_len = (uint32_t)item->body.len;
    written.body_crc = item->body_crc;
    change->entry.body = (struct place){slot, (uint32_t)(item->body_at / 8), written.body_len, written.body_crc};
    return written;
}

static void begin_frame(struct spool *spool, enum frame_type type, size_t count, uint64_t total, char *head,
                        size_t table_bytes)
{
    struct batch *batch = &spool->batch;
    struct frame_header frame = {.type = type,
                                 .count = (uint32_t)count,
                                 .total_bytes = (uint32_t)total,
                                 .table_crc = crc32c(0, head + FRAME_HEADER_BYTES, table_bytes),
                                 .synced_to = spool->current->end};

    batch->frames = batch_grow(batch->frames, batch->frame_count, &batch->frame_capacity, sizeof *batch->frames);
    batch->frames[batch->frame_count++] = spool->current->end + batch->bytes;
    frame_header_encode(&frame, spool->current->generation, head);
    add_part(batch, head, FRAME_HEADER_BYTES + table_bytes);
}

void batch_add_items(struct spool *spool, enum frame_type type, struct batch_item *items, size_t count,
                     enum change_kind kind)
{
    struct batch *batch = &spool->batch;
    uint64_t frame_at = spool->current->end + batch->bytes, at = frame_at + FRAME_HEADER_BYTES + count * ITEM_BYTES;
    size_t first_change = batch->change_count;
    char *head = scratch(batch, FRAME_HEADER_BYTES + count * ITEM_BYTES);

    for (size_t i = 0; i < count; i++) {
        struct frame_item written = add_item(spool, type, items, i, &at, kind);

        frame_item_encode(&written, frame_at, head + FRAME_HEADER_BYTES + i * ITEM_BYTES);
    }
    begin_frame(spool, type, count, at - frame_at, head, count * ITEM_BYTES);
    for (size_t i = 0; i < count; i++) {
        add_padded(batch, items[i].record);
        if (type != FRAME_STORE)
            continue;
        batch->changes[first_change + i].entry.sharers = count_sharers(items, count, i);
        if (same_body(items, i) < 0)
            add_padded(batch, items[i].body);
    }
    MUST(spool->current->end + batch->bytes == at);
}

/* ---- deletion marks ---- */

void batch_add_marks(struct spool *spool, const struct frame_mark *marks, size_t count, enum change_kind kind)
{
    struct batch *batch = &spool->batch;
    uint64_t frame_at = spool->current->end + batch->bytes;
    char *head = scratch(batch, FRAME_HEADER_BYTES + count * MARK_BYTES);

    for (size_t i = 0; i < count; i++) {
        struct change *change = add_change(batch, kind);

        change->mark = marks[i];
        change->entry.record.at_8 = i ? 0 : (uint32_t)(frame_at / 8); /* the first one brings its frame's place */
        frame_mark_encode(&marks[i], head + FRAME_HEADER_BYTES + i * MARK_BYTES);
    }
    begin_frame(spool, FRAME_REMOVE, count, marks_bytes(count), head, count * MARK_BYTES);
}

void batch_add_end(struct spool *spool)
{
    begin_frame(spool, FRAME_END, 0, FRAME_HEADER_BYTES, scratch(&spool->batch, FRAME_HEADER_BYTES), 0);
}

void batch_add_answer(struct spool *spool, struct loop *to, struct mail *mail, struct error *error)
{
    struct batch *batch = &spool->batch;

    batch->answers = batch_grow(batch->answers, batch->answer_count, &batch->answer_capacity, sizeof *batch->answers);
    batch->answers[batch->answer_count++] = (struct answer){.to = to, .mail = mail, .error = error};
    batch->asked++;
}

void batch_done(struct batch *batch)
{
    arena_done(&batch->arena);
    free(batch->parts);
    free(batch->changes);
    free(batch->frames);
    free(batch->removes);
    free(batch->answers);
}
