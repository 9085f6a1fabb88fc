/* SPDX-License-Identifier: Apache-2.0
 *
 * A few messages outlive their segment. When closed segments hold far more than is live,
 * the one with the least in it is emptied: what lives there is written again at the end
 * of the log, slice by slice between other people's batches, and once that is synced the
 * segment is released. Segments that must go (abandoned, or read back after a crash with
 * frames that may not be on disk) come first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/must.h"
#include "spool/spool_private.h"

#define SLICE_BYTES (1u << 20)
#define SLICE_ITEMS 1024
#define SLACK_SEGMENTS 4
#define MARKS_PER_FRAME 4096

/* ---- choosing ---- */

static bool must_go(const struct segment *segment)
{
    return segment->uncertain || segment->stale_copies || segment->state == SEGMENT_ABANDONED;
}

static uint64_t cost(const struct segment *segment) { return segment->live_bytes + segment->mark_count * MARK_BYTES; }

/* Emptying a damaged one would only take room, since its file stays: it lives until all in it has left. */
static bool may_be_chosen(const struct segment *segment)
{
    return !segment->unread && !segment->unmovable && (!segment->damaged || must_go(segment)) &&
           (segment->state == SEGMENT_CLOSED || segment->state == SEGMENT_ABANDONED) &&
           (segment->live_parts || segment->mark_count || segment->uncertain);
}

/* Under lock. */
static struct segment *choose_victim(struct spool *spool)
{
    struct segment *best = NULL;
    uint64_t held = 0, slack = atomic_load(&spool->stuck) ? 0 : SLACK_SEGMENTS * spool->segment_bytes;

    for (size_t i = 0; i < spool->sequence_count; i++) {
        struct segment *segment = spool->by_sequence[i];

        held += segment->size;
        if (!may_be_chosen(segment))
            continue;
        if (must_go(segment))
            return segment;
        if (cost(segment) < segment->size / 2 && (!best || cost(segment) < cost(best)))
            best = segment;
    }
    return held > 2 * spool->stats.live_bytes + slack ? best : NULL;
}

static int by_order(const void *a, const void *b)
{
    const struct move *left = a, *right = b;

    return left->order < right->order ? -1 : left->order > right->order;
}

/* Under lock. Records whose body is elsewhere come last. */
static void list_moves(struct spool *spool, struct compaction *compaction)
{
    uint32_t slot = compaction->victim->slot;
    size_t capacity = 0;

    for (size_t i = 0; i < index_limit(&spool->index); i++) {
        const struct entry *entry = index_at(&spool->index, i);
        bool has_body = entry->body.segment == slot;

        if (!entry->ref || (!has_body && entry->record.segment != slot))
            continue;
        compaction->moves = batch_grow(compaction->moves, compaction->move_count, &capacity, sizeof *compaction->moves);
        compaction->moves[compaction->move_count++] =
            (struct move){.ref = entry->ref, .order = has_body ? entry->body.at_8 : UINT64_MAX};
    }
}

static bool begin(struct spool *spool)
{
    struct compaction *compaction = &spool->compaction;

    pthread_mutex_lock(&spool->lock);
    compaction->victim = spool->recovered ? choose_victim(spool) : NULL;
    if (compaction->victim)
        list_moves(spool, compaction);
    pthread_mutex_unlock(&spool->lock);
    arena_init(&compaction->arena, SIZE_MAX);
    if (compaction->move_count)
        qsort(compaction->moves, compaction->move_count, sizeof *compaction->moves, by_order);
    return compaction->victim != NULL;
}

static void end(struct spool *spool)
{
    free(spool->compaction.moves);
    spool->compaction.moves = NULL;
    spool->compaction.move_count = spool->compaction.move_next = 0;
    spool->compaction.victim = NULL;
}

void compact_abort(struct spool *spool)
{
    struct segment *victim = spool->compaction.victim;

    if (!victim)
        return;
    /* what was moved already is still in there, too: marks that delete it must stay */
    pthread_mutex_lock(&spool->lock);
    victim->stale_copies = true;
    pthread_mutex_unlock(&spool->lock);
    end(spool);
    writer_retry_later(spool);
}

/* ---- moving a slice ---- */

static bool find_move(struct spool *spool, uint64_t ref, struct entry *entry_out)
{
    uint32_t slot = spool->compaction.victim->slot;
    struct entry *entry;
    bool found;

    pthread_mutex_lock(&spool->lock);
    entry = index_find(&spool->index, ref);
    found = entry && (entry->body.segment == slot || entry->record.segment == slot);
    if (found)
        *entry_out = *entry;
    pthread_mutex_unlock(&spool->lock);
    return found;
}

/* The disk does not give what is in there. It may again, so nothing is given up; but who asks each second wears it out.
 */
static void leave_alone(struct spool *spool)
{
    struct segment *victim = spool->compaction.victim;

    if (victim->unmovable)
        return;
    diag(DIAG_ERROR, NULL, "spool %s: segment %08x cannot be emptied: %s; it stays until a restart", spool->name,
         victim->file_number, strerror(errno));
    pthread_mutex_lock(&spool->lock);
    victim->unmovable = true;
    pthread_mutex_unlock(&spool->lock);
}

static void tell_of_damage(struct spool *spool, const char *what)
{
    atomic_fetch_add(&spool->damaged, 1);
    diag(DIAG_ERROR, NULL, "spool %s: %s in segment %08x is damaged and cannot be moved; the file is put aside",
         spool->name, what, spool->compaction.victim->file_number);
    segment_note_damage(spool, spool->compaction.victim->slot);
}

/* Nobody can deliver it from here any more, and as long as it counted the segment would stay, and with that all marks.
 * What it is now stays in the file. No removal of it is under way: while one is, nothing is moved. */
static void give_up(struct spool *spool, uint64_t ref)
{
    struct entry *entry;

    tell_of_damage(spool, "a message");
    pthread_mutex_lock(&spool->lock);
    entry = index_find(&spool->index, ref);
    MUST(entry);
    ledger_drop(spool, entry);
    index_remove(&spool->index, entry);
    pthread_mutex_unlock(&spool->lock);
}

/* NULL when it is damaged, which is noted, or not to be had just now. */
static const char *load(struct spool *spool, const struct place *place, bool *damaged)
{
    char *data = arena_alloc(&spool->compaction.arena, place->len ? place->len : 1);

    MUST(data);
    if (spool_read_fully(spool->segments[place->segment]->fd, data, place->len, (uint64_t)place->at_8 * 8)) {
        leave_alone(spool);
        return NULL;
    }
    if (crc32c(0, data, place->len) == place->crc)
        return data;
    segment_note_damage(spool, place->segment);
    *damaged = true;
    return NULL;
}

/* Messages with one body, or one record of its own. */
struct group {
    struct batch_item items[SLICE_ITEMS];
    size_t count;
    enum frame_type type;
    uint32_t body_at_8;
    const char *body;
};

static bool joins(const struct spool *spool, const struct group *group, const struct entry *entry)
{
    return group->count < SLICE_ITEMS && group->type == FRAME_STORE &&
           entry->body.segment == spool->compaction.victim->slot && entry->body.at_8 == group->body_at_8;
}

static void add_to_group(struct spool *spool, struct group *group, const struct entry *entry)
{
    bool damaged = false;
    const char *record = load(spool, &entry->record, &damaged);

    if (!group->count) {
        bool has_body = entry->body.segment == spool->compaction.victim->slot;

        group->type = has_body ? FRAME_STORE : FRAME_UPDATE;
        group->body_at_8 = entry->body.at_8;
        group->body = has_body ? load(spool, &entry->body, &damaged) : "";
    }
    if (damaged)
        give_up(spool, entry->ref);
    if (!record || !group->body)
        return;
    group->items[group->count++] = (struct batch_item){.ref = entry->ref,
                                                       .record = span_make(record, entry->record.len),
                                                       .body = span_make(group->body, entry->body.len),
                                                       .body_key = group->body};
}

/* Gathers the next group from the list; what cannot be read is passed over. */
static void gather(struct spool *spool, struct group *group)
{
    struct compaction *compaction = &spool->compaction;
    struct entry entry;

    group->count = 0;
    for (; compaction->move_next < compaction->move_count; compaction->move_next++) {
        if (!find_move(spool, compaction->moves[compaction->move_next].ref, &entry))
            continue;
        if (group->count && !joins(spool, group, &entry))
            return;
        add_to_group(spool, group, &entry);
    }
}

static int move_slice(struct spool *spool)
{
    struct group *group = mem_alloc(sizeof *group);
    struct compaction *compaction = &spool->compaction;
    int status = 0;

    while (!status && compaction->victim && compaction->move_next < compaction->move_count &&
           spool->batch.bytes < SLICE_BYTES) {
        gather(spool, group);
        if (!group->count)
            continue;
        status = fault_point("spool.compact") ||
                 batch_make_room(spool, batch_items_bytes(group->type, group->items, group->count), false, NULL);
        if (!status && compaction->victim)
            batch_add_items(spool, group->type, group->items, group->count,
                            group->type == FRAME_STORE ? CHANGE_COPY : CHANGE_COPY_RECORD);
    }
    free(group);
    status |= batch_commit(spool);
    arena_done(&compaction->arena);
    return status || !compaction->victim ? -1 : 0;
}

/* ---- marks that are still needed ---- */

struct marks {
    struct frame_mark *list;
    size_t count, capacity;
};

enum reading { READ_WHOLE, READ_DAMAGED, READ_FAILED };

/* A whole frame of marks: its bytes are the caller's to free. */
static enum reading read_marks(const struct segment *victim, uint64_t at, struct frame_header *frame, char **bytes_out)
{
    char head[FRAME_HEADER_BYTES], *bytes;
    uint64_t rest = victim->size - at;

    if (spool_read_fully(victim->fd, head, sizeof head, at))
        return READ_FAILED;
    /* the header alone says how long the frame is; its claim is checked against the file */
    rest = rest < FRAME_LIMIT_BYTES ? rest : FRAME_LIMIT_BYTES;
    if (frame_header_decode(span_make(head, (size_t)rest), victim->generation, frame) || frame->type != FRAME_REMOVE)
        return READ_DAMAGED;
    bytes = mem_alloc(frame->total_bytes);
    if (spool_read_fully(victim->fd, bytes, frame->total_bytes, at)) {
        free(bytes);
        return READ_FAILED;
    }
    if (crc32c(0, bytes + FRAME_HEADER_BYTES, (size_t)frame->count * MARK_BYTES) != frame->table_crc) {
        free(bytes);
        return READ_DAMAGED;
    }
    *bytes_out = bytes;
    return READ_WHOLE;
}

static void gather_needed(struct spool *spool, const char *table, uint32_t count, struct marks *marks)
{
    pthread_mutex_lock(&spool->lock);
    for (uint32_t i = 0; i < count; i++) {
        struct frame_mark mark;

        frame_mark_decode(table + (size_t)i * MARK_BYTES, &mark);
        if (!ledger_needs_mark(spool, spool->compaction.victim, &mark))
            continue;
        marks->list = batch_grow(marks->list, marks->count, &marks->capacity, sizeof *marks->list);
        marks->list[marks->count++] = mark;
    }
    pthread_mutex_unlock(&spool->lock);
}

/* Damaged ones are passed over, as a start would: what they had deleted may be sent again. */
static int load_marks(struct spool *spool, uint64_t at, struct marks *marks)
{
    struct frame_header frame;
    char *bytes;

    switch (read_marks(spool->compaction.victim, at, &frame, &bytes)) {
    case READ_WHOLE:
        gather_needed(spool, bytes + FRAME_HEADER_BYTES, frame.count, marks);
        free(bytes);
        return 0;
    case READ_DAMAGED:
        tell_of_damage(spool, "a set of deletion marks");
        return 0;
    case READ_FAILED:
        leave_alone(spool);
    }
    return -1;
}

static int write_marks(struct spool *spool, const struct marks *marks)
{
    if (fault_point("spool.compact.marks"))
        return -1;
    for (size_t i = 0; i < marks->count; i += MARKS_PER_FRAME) {
        size_t count = marks->count - i < MARKS_PER_FRAME ? marks->count - i : MARKS_PER_FRAME;

        /* making room may commit the ones before: where that fails there is room, and nothing is compacted any more */
        if (batch_make_room(spool, FRAME_HEADER_BYTES + count * MARK_BYTES, false, NULL) || !spool->compaction.victim)
            return -1;
        batch_add_marks(spool, marks->list + i, count, CHANGE_COPY_MARK);
    }
    return batch_commit(spool);
}

static int move_marks(struct spool *spool)
{
    struct segment *victim = spool->compaction.victim;
    struct marks marks = {0};
    int status = 0;

    for (size_t i = 0; i < victim->mark_frame_count && !status; i++)
        status = load_marks(spool, (uint64_t)victim->mark_frames_8[i] * 8, &marks);
    if (!status)
        status = write_marks(spool, &marks);
    free(marks.list);
    return status;
}

static void make_certain(struct spool *spool)
{
    pthread_mutex_lock(&spool->lock);
    spool->compaction.victim->uncertain = false;
    spool->may_be_dead = true;
    pthread_mutex_unlock(&spool->lock);
}

/* Everything that lived in the victim is durable elsewhere. */
static void conclude(struct spool *spool)
{
    struct segment *victim = spool->compaction.victim;

    pthread_mutex_lock(&spool->lock);
    ledger_clear_marks(victim);
    /* what is moved stays in there until it is released, which is next */
    victim->stale_copies = true;
    spool->may_be_dead = true;
    pthread_mutex_unlock(&spool->lock);
    end(spool);
}

bool compact_step(struct spool *spool)
{
    struct compaction *compaction = &spool->compaction;

    if (spool->retry_at_ms || (!compaction->victim && !begin(spool)))
        return false;
    if (move_slice(spool)) {
        compact_abort(spool);
        return false;
    }
    if (compaction->move_next < compaction->move_count)
        return true;
    make_certain(spool);
    if (move_marks(spool))
        compact_abort(spool);
    else
        conclude(spool);
    return true;
}
