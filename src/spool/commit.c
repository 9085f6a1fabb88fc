/* SPDX-License-Identifier: Apache-2.0
 *
 * The durable moment: one write, one sync, and only then do the changes become true and
 * the askers learn it. A write or sync that fails is final for its bytes: the kernel may
 * have dropped the pages and would call a second sync a success, so the segment is
 * abandoned, its unsynced frames are voided, and the askers are told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/must.h"
#include "spool/spool_private.h"

#define FILL_BYTES (1u << 20) /* new blocks are written this far ahead of need */

/* ---- marks: they are added last, when nothing can come between ---- */

static struct frame_mark mark_for(struct spool *spool, uint64_t ref)
{
    struct entry *entry;
    struct frame_mark mark = {.ref = ref};
    struct segment *victim = spool->compaction.victim;

    pthread_mutex_lock(&spool->lock);
    entry = index_find(&spool->index, ref);
    MUST(entry);
    mark.home_sequence = spool->segments[entry->body.segment]->sequence;
    pthread_mutex_unlock(&spool->lock);
    if (victim)
        mark.also_sequence = victim->sequence;
    return mark;
}

static void add_removes(struct spool *spool)
{
    struct batch *batch = &spool->batch;
    struct frame_mark *marks;

    if (!batch->remove_count)
        return;
    marks = mem_alloc(batch->remove_count * sizeof *marks);
    for (size_t i = 0; i < batch->remove_count; i++)
        marks[i] = mark_for(spool, batch->removes[i]);
    batch_add_marks(spool, marks, batch->remove_count, CHANGE_REMOVE);
    free(marks);
}

/* ---- writing ---- */

/* A sync over blocks that were never written must also wait for the file system's
 * journal. Filling a stretch ahead lets many batches share that. */
static int fill_ahead(struct segment *segment, uint64_t from)
{
    static const char zeros[FILL_BYTES];
    uint64_t to = (from / FILL_BYTES + 1) * FILL_BYTES;
    struct iovec part;

    if (from <= segment->filled)
        return 0;
    if (to > segment->size)
        to = segment->size;
    part = (struct iovec){.iov_base = (void *)(uintptr_t)zeros, .iov_len = (size_t)(to - from)};
    if (part.iov_len && spool_write_fully(segment->fd, &part, 1, from))
        return -1;
    segment->filled = to;
    return 0;
}

static int write_and_sync(struct spool *spool)
{
    struct batch *batch = &spool->batch;
    struct segment *current = spool->current;

    if (batch->remove_count && fault_point("spool.remove"))
        return -1;
    if (fault_point("spool.append") || fill_ahead(current, current->end + batch->bytes) ||
        spool_write_fully(current->fd, batch->parts, batch->part_count, current->end))
        return -1;
    if (fault_point("spool.written") || spool_sync_data(spool, current->fd))
        return -1;
    return fault_point("spool.synced") ? -1 : 0;
}

/* ---- when it worked ---- */

static void apply_items(struct spool *spool, const struct change *change)
{
    struct entry *entry = index_find(&spool->index, change->entry.ref);
    uint16_t flags = 0;

    if (entry) {
        ledger_drop(spool, entry);
        flags = entry->flags;
    } else {
        entry = index_insert(&spool->index, change->entry.ref);
    }
    *entry = change->entry;
    entry->flags = flags;
    ledger_add(spool, entry);
    if (change->kind == CHANGE_COPY) {
        spool->stats.compacted++;
        return;
    }
    spool->stats.stored++;
    change->origin->ref = entry->ref;
}

static void apply_record(struct spool *spool, const struct change *change)
{
    struct entry *entry = index_find(&spool->index, change->entry.ref);

    MUST(entry);
    ledger_drop_record(spool, entry);
    entry->record = change->entry.record;
    ledger_add_record(spool, entry);
    if (change->kind == CHANGE_RECORD)
        spool->stats.updated++;
    else
        spool->stats.compacted++;
}

static void apply_mark(struct spool *spool, const struct change *change)
{
    struct entry *entry = index_find(&spool->index, change->mark.ref);

    if (change->entry.record.at_8)
        ledger_add_mark_frame(spool->current, (uint64_t)change->entry.record.at_8 * 8);
    ledger_add_mark(spool, spool->current, &change->mark);
    if (change->kind == CHANGE_COPY_MARK)
        return;
    MUST(entry);
    ledger_drop(spool, entry);
    index_remove(&spool->index, entry);
    spool->stats.removed++;
}

static void apply(struct spool *spool)
{
    struct batch *batch = &spool->batch;

    pthread_mutex_lock(&spool->lock);
    for (size_t i = 0; i < batch->change_count; i++) {
        const struct change *change = &batch->changes[i];

        if (change->kind == CHANGE_STORE || change->kind == CHANGE_COPY)
            apply_items(spool, change);
        else if (change->kind == CHANGE_RECORD || change->kind == CHANGE_COPY_RECORD)
            apply_record(spool, change);
        else
            apply_mark(spool, change);
    }
    spool->stats.batches++;
    spool->stats.syncs += spool->flush;
    spool->stats.bytes_written += batch->bytes;
    pthread_mutex_unlock(&spool->lock);
    spool->current->end += batch->bytes;
    spool->failures = 0;
    spool->end_is_marked = false;
}

/* ---- when it did not ---- */

/* Best effort: the bytes may have reached the file although we could not make sure, and
 * a restart should not find messages that were refused. */
static void void_frames(struct spool *spool)
{
    static const char zeros[FRAME_HEADER_BYTES];

    for (size_t i = 0; i < spool->batch.frame_count; i++) {
        struct iovec part = {.iov_base = (void *)(uintptr_t)zeros, .iov_len = sizeof zeros};

        if (spool_write_fully(spool->current->fd, &part, 1, spool->batch.frames[i]))
            return;
    }
}

static void abandon_current(struct spool *spool, int sys_errno)
{
    struct segment *segment = spool->current;

    diag(DIAG_ERROR, NULL, "spool %s: writing segment %08x failed: %s; it is abandoned", spool->name,
         segment->file_number, strerror(sys_errno));
    void_frames(spool);
    spool->prior_sequence = segment->sequence;
    spool->prior_end = segment->end;
    spool->current = NULL;
    pthread_mutex_lock(&spool->lock);
    segment->state = SEGMENT_ABANDONED;
    spool->may_be_dead = true;
    pthread_mutex_unlock(&spool->lock);
}

/* The messages have left, whatever became of their marks: the marks are written again. */
static void keep_removes(struct spool *spool)
{
    for (size_t i = 0; i < spool->batch.remove_count; i++) {
        spool->late_removes =
            batch_grow(spool->late_removes, spool->late_count, &spool->late_capacity, sizeof *spool->late_removes);
        spool->late_removes[spool->late_count++] = spool->batch.removes[i];
    }
}

static void fail(struct spool *spool, int sys_errno)
{
    struct batch *batch = &spool->batch;

    abandon_current(spool, sys_errno);
    keep_removes(spool);
    if (++spool->failures > 1) {
        /* the disk, rather than one place on it: no new mail until a later try works */
        error_set_errno(&spool->stuck_error, ERROR_TEMP, sys_errno, "spool %s: writing fails", spool->name);
        atomic_store(&spool->stuck, true);
        writer_retry_later(spool);
    }
    for (size_t i = 0; i < batch->answer_count; i++)
        if (batch->answers[i].error->kind == ERROR_NONE)
            error_set_errno(batch->answers[i].error, ERROR_TEMP, sys_errno, "spool %s: the message could not be saved",
                            spool->name);
    compact_abort(spool);
}

/* ---- answering: one piece of mail, and so one wake-up, per loop ---- */

struct bundle {
    struct mail mail;
    size_t count;
    struct mail *answers[];
};

static void on_bundle(struct mail *mail)
{
    struct bundle *bundle = CONTAINER_OF(mail, struct bundle, mail);

    for (size_t i = 0; i < bundle->count; i++)
        bundle->answers[i]->deliver(bundle->answers[i]);
    free(bundle);
}

static void answer_loop(struct batch *batch, size_t first)
{
    struct loop *to = batch->answers[first].to;
    struct bundle *bundle = mem_alloc(sizeof *bundle + (batch->answer_count - first) * sizeof(struct mail *));

    bundle->mail.deliver = on_bundle;
    bundle->count = 0;
    for (size_t i = first; i < batch->answer_count; i++) {
        if (batch->answers[i].to != to)
            continue;
        bundle->answers[bundle->count++] = batch->answers[i].mail;
        batch->answers[i].to = NULL;
    }
    loop_post(to, &bundle->mail);
}

static void answer_all(struct batch *batch)
{
    for (size_t i = 0; i < batch->answer_count; i++)
        if (batch->answers[i].to)
            answer_loop(batch, i);
}

static void empty(struct batch *batch)
{
    arena_done(&batch->arena);
    batch->part_count = batch->change_count = batch->frame_count = batch->remove_count = batch->answer_count = 0;
    batch->bytes = 0;
}

int batch_commit(struct spool *spool)
{
    struct batch *batch = &spool->batch;
    int status = 0;

    add_removes(spool);
    if (batch->bytes) {
        status = write_and_sync(spool);
        if (status)
            fail(spool, errno);
        else
            apply(spool);
    }
    answer_all(batch);
    empty(batch);
    return status;
}
