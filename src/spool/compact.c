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

/* NULL, and the victim is left alone from now on, when it cannot be read. */
static const char *load(struct spool *spool, const struct place *place)
{
    char *data = arena_alloc(&spool->compaction.arena, place->len ? place->len : 1);
    struct segment *segment = spool->segments[place->segment];

    MUST(data);
    if (!spool_read_fully(segment->fd, data, place->len, (uint64_t)place->at_8 * 8)) {
        if (crc32c(0, data, place->len) == place->crc)
            return data;
        segment_note_damage(spool, place->segment);
    }
    atomic_fetch_add(&spool->damaged, 1);
    diag(DIAG_ERROR, NULL, "spool %s: a message in segment %08x is damaged and cannot be moved", spool->name,
         segment->file_number);
    pthread_mutex_lock(&spool->lock);
    spool->compaction.victim->unmovable = true;
    pthread_mutex_unlock(&spool->lock);
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

static bool add_to_group(struct spool *spool, struct group *group, const struct entry *entry)
{
    const char *record = load(spool, &entry->record);

    if (!group->count) {
        bool has_body = entry->body.segment == spool->compaction.victim->slot;

        group->type = has_body ? FRAME_STORE : FRAME_UPDATE;
        group->body_at_8 = entry->body.at_8;
        group->body = has_body ? load(spool, &entry->body) : "";
    }
    if (!record || !group->body)
        return false;
    group->items[group->count++] = (struct batch_item){.ref = entry->ref,
                                                       .record = span_make(record, entry->record.len),
                                                       .body = span_make(group->body, entry->body.len),
                                                       .body_key = group->body};
    return true;
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
        (void)add_to_group(spool, group, &entry);
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

static int load_marks(struct spool *spool, const struct segment *victim, uint64_t at, struct marks *marks)
{
    char head[FRAME_HEADER_BYTES], *whole;
    struct frame_header frame;
    uint64_t rest = victim->size - at;
    int status = -1;

    /* the header alone says how long the frame is; its claim is checked against the file */
    if (rest < sizeof head || spool_read_fully(victim->fd, head, sizeof head, at))
        return -1;
    rest = rest < FRAME_LIMIT_BYTES ? rest : FRAME_LIMIT_BYTES;
    if (frame_header_decode(span_make(head, (size_t)rest), victim->generation, &frame) || frame.type != FRAME_REMOVE)
        return -1;
    whole = mem_alloc(frame.total_bytes);
    if (!spool_read_fully(victim->fd, whole, frame.total_bytes, at) &&
        crc32c(0, whole + FRAME_HEADER_BYTES, (size_t)frame.count * MARK_BYTES) == frame.table_crc) {
        pthread_mutex_lock(&spool->lock);
        for (uint32_t i = 0; i < frame.count; i++) {
            struct frame_mark mark;

            frame_mark_decode(whole + FRAME_HEADER_BYTES + (size_t)i * MARK_BYTES, &mark);
            if (!ledger_needs_mark(spool, victim, &mark))
                continue;
            marks->list = batch_grow(marks->list, marks->count, &marks->capacity, sizeof *marks->list);
            marks->list[marks->count++] = mark;
        }
        pthread_mutex_unlock(&spool->lock);
        status = 0;
    }
    free(whole);
    return status;
}

static int write_marks(struct spool *spool, const struct marks *marks)
{
    if (fault_point("spool.compact.marks"))
        return -1;
    for (size_t i = 0; i < marks->count; i += MARKS_PER_FRAME) {
        size_t count = marks->count - i < MARKS_PER_FRAME ? marks->count - i : MARKS_PER_FRAME;

        if (batch_make_room(spool, FRAME_HEADER_BYTES + count * MARK_BYTES, false, NULL))
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
        if (load_marks(spool, victim, (uint64_t)victim->mark_frames_8[i] * 8, &marks)) {
            diag(DIAG_ERROR, NULL, "spool %s: deletion marks in segment %08x are damaged", spool->name,
                 victim->file_number);
            pthread_mutex_lock(&spool->lock);
            victim->unmovable = true;
            pthread_mutex_unlock(&spool->lock);
            status = -1;
        }
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
