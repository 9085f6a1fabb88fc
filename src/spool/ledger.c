/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger of who needs what: how much of each segment is live, and which deletion
 * marks are still needed. A mark is needed for as long as a segment exists that holds a
 * copy of what it deletes: dropped earlier, a crash would bring the message back; kept
 * later, it would hold a segment for nothing. Everything here is called under the lock.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "spool/spool_private.h"

static void add_place(struct spool *spool, const struct place *place, uint64_t bytes)
{
    struct segment *segment;

    if (place->segment == PLACE_NOWHERE)
        return;
    segment = spool->segments[place->segment];
    segment->live_parts++;
    segment->live_bytes += bytes;
    spool->stats.live_bytes += bytes;
}

static void drop_place(struct spool *spool, const struct place *place, uint64_t bytes)
{
    struct segment *segment;

    if (place->segment == PLACE_NOWHERE)
        return;
    segment = spool->segments[place->segment];
    MUST(segment->live_parts > 0 && segment->live_bytes >= bytes);
    segment->live_bytes -= bytes;
    spool->stats.live_bytes -= bytes;
    if (--segment->live_parts == 0)
        spool->may_be_dead = true;
}

static uint64_t body_share(const struct entry *entry) { return entry->body.len / entry->sharers; }

void ledger_add_record(struct spool *spool, const struct entry *entry)
{
    add_place(spool, &entry->record, entry->record.len);
}

void ledger_drop_record(struct spool *spool, const struct entry *entry)
{
    drop_place(spool, &entry->record, entry->record.len);
}

void ledger_add(struct spool *spool, const struct entry *entry)
{
    ledger_add_record(spool, entry);
    add_place(spool, &entry->body, body_share(entry));
}

void ledger_drop(struct spool *spool, const struct entry *entry)
{
    ledger_drop_record(spool, entry);
    drop_place(spool, &entry->body, body_share(entry));
}

/* ---- deletion marks ---- */

void ledger_add_mark_frame(struct segment *segment, uint64_t frame_at)
{
    segment->mark_frames_8 = batch_grow(segment->mark_frames_8, segment->mark_frame_count,
                                        &segment->mark_frame_capacity, sizeof *segment->mark_frames_8);
    segment->mark_frames_8[segment->mark_frame_count++] = (uint32_t)(frame_at / 8);
}

static void add_target(struct segment *segment, uint32_t sequence)
{
    /* the target is nearly always one of the last that were added */
    for (size_t i = segment->target_count; i > 0; i--)
        if (segment->targets[i - 1].sequence == sequence) {
            segment->targets[i - 1].count++;
            return;
        }
    segment->targets =
        batch_grow(segment->targets, segment->target_count, &segment->target_capacity, sizeof *segment->targets);
    segment->targets[segment->target_count++] = (struct mark_target){.sequence = sequence, .count = 1};
}

static bool exists_elsewhere(const struct spool *spool, const struct segment *segment, uint32_t sequence)
{
    return sequence != 0 && sequence != segment->sequence && ledger_find_sequence(spool, sequence);
}

void ledger_add_mark(struct spool *spool, struct segment *segment, const struct frame_mark *mark)
{
    segment->mark_count++;
    if (exists_elsewhere(spool, segment, mark->home_sequence))
        add_target(segment, mark->home_sequence);
    if (mark->also_sequence != mark->home_sequence && exists_elsewhere(spool, segment, mark->also_sequence))
        add_target(segment, mark->also_sequence);
}

void ledger_clear_marks(struct segment *segment)
{
    segment->mark_count = 0;
    segment->target_count = 0;
    segment->mark_frame_count = 0;
}

/* On disk it is, or may be, with copies that no mark names. */
static bool may_hold_copies(const struct segment *segment)
{
    return segment->stale_copies || segment->state == SEGMENT_ABANDONED || segment->state == SEGMENT_LINGERING;
}

bool ledger_is_held_elsewhere(const struct spool *spool, const struct segment *segment)
{
    for (size_t i = 0; i < spool->sequence_count; i++) {
        const struct segment *other = spool->by_sequence[i];

        if (other != segment && may_hold_copies(other))
            return true;
    }
    return false;
}

bool ledger_needs_mark(const struct spool *spool, const struct segment *segment, const struct frame_mark *mark)
{
    return exists_elsewhere(spool, segment, mark->home_sequence) ||
           exists_elsewhere(spool, segment, mark->also_sequence) || ledger_is_held_elsewhere(spool, segment);
}

/* As long as the old ones are unread none of them is released, and nothing in the new ones depends on what is in them.
 */
static bool any_uncertain(const struct spool *spool)
{
    for (size_t i = 0; i < spool->sequence_count; i++)
        if (spool->by_sequence[i]->uncertain && !spool->by_sequence[i]->unread)
            return true;
    return false;
}

bool ledger_is_dead(const struct spool *spool, const struct segment *segment)
{
    if (segment->unread || segment->live_parts || segment->target_count ||
        (segment->state != SEGMENT_CLOSED && segment->state != SEGMENT_ABANDONED))
        return false;
    /* an uncertain segment may hold the record that made this one's superfluous */
    if (any_uncertain(spool))
        return false;
    return segment->mark_count == 0 || !ledger_is_held_elsewhere(spool, segment);
}

/* ---- sequences ---- */

static size_t lower_bound(const struct spool *spool, uint32_t sequence)
{
    size_t low = 0, high = spool->sequence_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (spool->by_sequence[middle]->sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct segment *ledger_find_sequence(const struct spool *spool, uint32_t sequence)
{
    size_t at = lower_bound(spool, sequence);

    return at < spool->sequence_count && spool->by_sequence[at]->sequence == sequence ? spool->by_sequence[at] : NULL;
}

void ledger_insert_sequence(struct spool *spool, struct segment *segment)
{
    size_t at = lower_bound(spool, segment->sequence);

    spool->by_sequence =
        batch_grow(spool->by_sequence, spool->sequence_count, &spool->sequence_capacity, sizeof *spool->by_sequence);
    memmove(spool->by_sequence + at + 1, spool->by_sequence + at,
            (spool->sequence_count - at) * sizeof *spool->by_sequence);
    spool->by_sequence[at] = segment;
    spool->sequence_count++;
}

static void drop_target(struct spool *spool, struct segment *segment, uint32_t sequence)
{
    for (size_t i = 0; i < segment->target_count; i++)
        if (segment->targets[i].sequence == sequence) {
            segment->targets[i] = segment->targets[--segment->target_count];
            spool->may_be_dead = true;
            return;
        }
}

void ledger_forget_sequence(struct spool *spool, struct segment *segment)
{
    size_t at = lower_bound(spool, segment->sequence);

    if (at == spool->sequence_count || spool->by_sequence[at] != segment)
        return;
    spool->sequence_count--;
    memmove(spool->by_sequence + at, spool->by_sequence + at + 1,
            (spool->sequence_count - at) * sizeof *spool->by_sequence);
    for (size_t i = 0; i < spool->sequence_count; i++)
        drop_target(spool, spool->by_sequence[i], segment->sequence);
    if (segment->stale_copies || segment->state == SEGMENT_ABANDONED)
        spool->may_be_dead = true;
}
