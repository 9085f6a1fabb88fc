/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads every segment that was there at open, in the order they were written, and builds
 * the index: the last record of a message counts, its deletion mark ends it. New mail is
 * stored meanwhile; nothing old is released or moved until all was read.
 *
 * Where the disk does not give something, that is not all, and it stays so until a next start finds more: what cannot
 * be read may be a message, or say that another one is somewhere else by now, or gone.
 */
#include <string.h>

#include "base/must.h"
#include "spool/read_ahead.h"
#include "spool/recovery.h"

static struct place place_of(const struct segment *segment, uint64_t at, uint32_t len, uint32_t crc)
{
    return (struct place){segment->slot, (uint32_t)(at / 8), len, crc};
}

static bool is_old(const struct spool *spool, uint64_t ref) { return ref < spool->first_new_ref; }

static void on_store(void *ctx, const struct frame_item *item, uint32_t sharers)
{
    struct recovery *recovery = ctx;
    struct spool *spool = recovery->spool;
    struct segment *segment = recovery->reading;
    struct entry *entry;

    if (!is_old(spool, item->ref))
        return;
    pthread_mutex_lock(&spool->lock);
    entry = index_find(&spool->index, item->ref);
    if (!entry)
        entry = index_insert(&spool->index, item->ref);
    else if (entry->body.segment != PLACE_NOWHERE && entry->body.segment != segment->slot)
        /* a compaction was interrupted: both copies are there, and a mark must outlive both */
        spool->segments[entry->body.segment]->stale_copies = true;
    ledger_drop(spool, entry);
    entry->record = place_of(segment, item->record_at, item->record_len, item->record_crc);
    entry->body = place_of(segment, item->body_at, item->body_len, item->body_crc);
    entry->sharers = sharers > UINT16_MAX ? UINT16_MAX : (uint16_t)sharers;
    ledger_add(spool, entry);
    pthread_mutex_unlock(&spool->lock);
}

static void on_update(void *ctx, const struct frame_item *item)
{
    struct recovery *recovery = ctx;
    struct spool *spool = recovery->spool;
    struct entry *entry;

    if (!is_old(spool, item->ref))
        return;
    pthread_mutex_lock(&spool->lock);
    entry = index_find(&spool->index, item->ref);
    if (!entry)
        entry = index_insert(&spool->index, item->ref); /* its body may come yet, or be gone */
    ledger_drop_record(spool, entry);
    entry->record = place_of(recovery->reading, item->record_at, item->record_len, item->record_crc);
    ledger_add_record(spool, entry);
    pthread_mutex_unlock(&spool->lock);
}

static void on_marks(void *ctx, uint64_t frame_at)
{
    struct recovery *recovery = ctx;

    pthread_mutex_lock(&recovery->spool->lock);
    ledger_add_mark_frame(recovery->reading, frame_at);
    pthread_mutex_unlock(&recovery->spool->lock);
}

static void on_mark(void *ctx, const struct frame_mark *mark)
{
    struct recovery *recovery = ctx;
    struct spool *spool = recovery->spool;
    struct entry *entry;

    pthread_mutex_lock(&spool->lock);
    ledger_add_mark(spool, recovery->reading, mark);
    entry = is_old(spool, mark->ref) ? index_find(&spool->index, mark->ref) : NULL;
    if (entry) {
        ledger_drop(spool, entry);
        index_remove(&spool->index, entry);
    }
    pthread_mutex_unlock(&spool->lock);
}

/* ---- reading ---- */

static void report(const struct recovery *recovery, const struct scan_result *result)
{
    const struct spool *spool = recovery->spool;
    uint32_t number = recovery->reading->file_number;

    if (result->damaged)
        diag(DIAG_ERROR, NULL,
             "spool %s: segment %08x holds %llu damaged records; they were skipped, and the file is put aside once "
             "what is "
             "good in it has left",
             spool->name, number, (unsigned long long)result->damaged);
    if (result->unsynced)
        diag(DIAG_INFO, NULL, "spool %s: segment %08x ends in %llu unfinished records, which nobody was answered for",
             spool->name, number, (unsigned long long)result->unsynced);
}

static void report_unreadable(const struct recovery *recovery, int read_errno)
{
    diag(
        DIAG_ERROR, NULL,
        "spool %s: %s/segment-%08x cannot be read whole: %s; what is missing may come back at another start, and until "
        "then nothing that was here at this one is removed; docs/operating.md says what to do",
        recovery->spool->name, recovery->spool->path, recovery->reading->file_number, strerror(read_errno));
}

static void scan_segment(struct recovery *recovery, struct segment *segment, const struct read_ahead_segment *found)
{
    static const struct scan_handler handler = {
        .on_store = on_store, .on_update = on_update, .on_marks = on_marks, .on_mark = on_mark};
    struct spool *spool = recovery->spool;
    struct scan_result result;

    recovery->reading = segment;
    segment_scan(found->bytes, segment->generation, segment->limit, segment->end, &handler, recovery, &result);
    if (found->read_errno) {
        recovery->incomplete = true;
        report_unreadable(recovery, found->read_errno);
        result.damaged = 0; /* what the zeros hide is not lost */
    } else {
        report(recovery, &result);
    }
    atomic_fetch_add(&spool->damaged, result.damaged);
    pthread_mutex_lock(&spool->lock);
    /* a sync may have failed before the crash: what it covered is written once more */
    segment->uncertain = found->sync_failed || result.end > result.synced_to;
    segment->damaged = result.damaged > 0;
    spool->stats.unreadable += found->read_errno != 0;
    pthread_mutex_unlock(&spool->lock);
}

/* Records whose message is gone: left behind by marks that are no longer needed. */
static void drop_bodiless(struct spool *spool)
{
    pthread_mutex_lock(&spool->lock);
    for (size_t i = 0; i < index_limit(&spool->index); i++) {
        struct entry *entry = index_at(&spool->index, i);

        if (!entry->ref || entry->body.segment != PLACE_NOWHERE)
            continue;
        ledger_drop(spool, entry);
        index_remove(&spool->index, entry);
    }
    pthread_mutex_unlock(&spool->lock);
}

static void finish(struct recovery *recovery)
{
    struct spool *spool = recovery->spool;

    drop_bodiless(spool);
    pthread_mutex_lock(&spool->lock);
    for (size_t i = 0; i < recovery->old_count && !recovery->incomplete; i++)
        recovery->old[i]->unread = false;
    spool->may_be_dead = true;
    spool->recovered = true;
    pthread_mutex_unlock(&spool->lock);
    writer_post(spool, &spool->recovered_mail);
}

void recovery_read_all(struct recovery *recovery)
{
    struct read_ahead *ahead = read_ahead_new(recovery->spool, recovery->old, recovery->old_count);

    for (size_t i = 0; i < recovery->old_count && !atomic_load(&recovery->ending); i++) {
        struct read_ahead_segment found = read_ahead_next(ahead);

        scan_segment(recovery, recovery->old[i], &found);
    }
    read_ahead_free(ahead);
    if (!atomic_load(&recovery->ending))
        finish(recovery);
}
