/* SPDX-License-Identifier: Apache-2.0
 *
 * Shows the loop what recovery found: records read in the order of the index, which is
 * nearly that of the disk, and sent over in batches. Only a few batches are under way at
 * once, so a slow receiver bounds the memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/must.h"
#include "spool/recovery.h"

#define BATCH_ENTRIES 512
#define BATCHES_UNDER_WAY 4
#define READ_TRIES 3

struct shown {
    uint64_t ref;
    char *record;
    size_t record_len;
    size_t body_bytes;
};

struct shown_batch {
    struct mail mail;
    struct recovery *recovery;
    struct arena records;
    size_t count;
    struct shown entries[BATCH_ENTRIES];
};

void recovery_unref(struct recovery *recovery)
{
    if (atomic_fetch_sub(&recovery->refs, 1) != 1)
        return;
    sem_destroy(&recovery->room);
    free(recovery->old);
    free(recovery);
}

static void on_batch(struct mail *mail)
{
    struct shown_batch *batch = CONTAINER_OF(mail, struct shown_batch, mail);
    struct recovery *recovery = batch->recovery;

    for (size_t i = 0; i < batch->count; i++)
        recovery->on_entry(recovery->ctx, batch->entries[i].ref,
                           span_make(batch->entries[i].record, batch->entries[i].record_len),
                           batch->entries[i].body_bytes);
    sem_post(&recovery->room);
    arena_done(&batch->records);
    free(batch);
    recovery_unref(recovery);
}

/* Copies out the next old entries, their segments pinned. */
static size_t take_entries(struct recovery *recovery, size_t *next, struct entry *entries)
{
    struct spool *spool = recovery->spool;
    size_t count = 0;

    pthread_mutex_lock(&spool->lock);
    for (; *next < index_limit(&spool->index) && count < BATCH_ENTRIES; (*next)++) {
        const struct entry *entry = index_at(&spool->index, *next);

        if (!entry->ref || entry->ref >= spool->first_new_ref)
            continue;
        spool->segments[entry->record.segment]->pins++;
        entries[count++] = *entry;
    }
    pthread_mutex_unlock(&spool->lock);
    return count;
}

static void unpin_entries(struct spool *spool, const struct entry *entries, size_t count)
{
    pthread_mutex_lock(&spool->lock);
    for (size_t i = 0; i < count; i++)
        segment_unpin(spool, entries[i].record.segment);
    pthread_mutex_unlock(&spool->lock);
}

/* It was read a moment ago, so it comes when it is asked for again, or the disk is going. */
static int read_record(struct spool *spool, const struct place *place, char *record)
{
    int fd = segment_descriptor(spool, place->segment), status = -1;

    for (unsigned tries = 0; tries < READ_TRIES && status; tries++)
        status = spool_read_fully(fd, record, place->len, (uint64_t)place->at_8 * 8);
    return status;
}

static void add_shown(struct recovery *recovery, struct shown_batch *batch, const struct entry *entry)
{
    struct spool *spool = recovery->spool;
    char *record = arena_alloc(&batch->records, entry->record.len ? entry->record.len : 1);

    MUST(record);
    if (read_record(spool, &entry->record, record)) {
        diag(DIAG_ERROR, NULL,
             "spool %s: a record cannot be read: %s; its message stays where it is until another start", spool->name,
             strerror(errno));
        return;
    }
    if (crc32c(0, record, entry->record.len) != entry->record.crc) {
        atomic_fetch_add(&spool->damaged, 1);
        segment_note_damage(spool, entry->record.segment);
        diag(DIAG_ERROR, NULL, "spool %s: a record is damaged by now; it was skipped", spool->name);
        return;
    }
    batch->entries[batch->count++] = (struct shown){entry->ref, record, entry->record.len, entry->body.len};
}

static void send_entries(struct recovery *recovery, const struct entry *entries, size_t count)
{
    struct shown_batch *batch = mem_alloc(sizeof *batch);

    batch->recovery = recovery;
    batch->mail.deliver = on_batch;
    batch->count = 0;
    arena_init(&batch->records, SIZE_MAX);
    for (size_t i = 0; i < count; i++)
        add_shown(recovery, batch, &entries[i]);
    recovery->shown += batch->count;
    atomic_fetch_add(&recovery->refs, 1);
    loop_post(recovery->loop, &batch->mail);
}

struct end {
    struct mail mail;
    spool_enumerated_fn *on_end;
    void *ctx;
    uint64_t shown, damaged;
};

static void on_end(struct mail *mail)
{
    struct end *end = CONTAINER_OF(mail, struct end, mail);

    end->on_end(end->ctx, end->shown, end->damaged);
    free(end);
}

static void send_end(struct recovery *recovery)
{
    struct end *end = mem_alloc(sizeof *end);

    *end = (struct end){.mail.deliver = on_end,
                        .on_end = recovery->on_end,
                        .ctx = recovery->ctx,
                        .shown = recovery->shown,
                        .damaged = atomic_load(&recovery->spool->damaged)};
    loop_post(recovery->loop, &end->mail);
}

void recovery_show_all(struct recovery *recovery)
{
    struct entry *entries = mem_alloc(BATCH_ENTRIES * sizeof *entries);
    size_t next = 0, count;

    while (!atomic_load(&recovery->ending) && (count = take_entries(recovery, &next, entries))) {
        send_entries(recovery, entries, count);
        unpin_entries(recovery->spool, entries, count);
        while (sem_wait(&recovery->room))
            ; /* interrupted by a signal */
    }
    free(entries);
    if (!atomic_load(&recovery->ending))
        send_end(recovery);
}

static void *recovery_main(void *arg)
{
    struct recovery *recovery = arg;

    recovery_read_all(recovery);
    if (!atomic_load(&recovery->ending))
        recovery_show_all(recovery);
    return NULL;
}

static void on_wake(struct mail *mail) { (void)mail; }

/* What was there at open, in order. */
static void list_old(struct recovery *recovery)
{
    struct spool *spool = recovery->spool;

    pthread_mutex_lock(&spool->lock);
    recovery->old = mem_alloc((spool->sequence_count + 1) * sizeof *recovery->old);
    for (size_t i = 0; i < spool->sequence_count; i++)
        if (spool->by_sequence[i]->unread)
            recovery->old[recovery->old_count++] = spool->by_sequence[i];
    pthread_mutex_unlock(&spool->lock);
}

void spool_enumerate(struct spool *spool, spool_entry_fn *on_entry, spool_enumerated_fn *on_end_, void *ctx)
{
    struct recovery *recovery = mem_zalloc(sizeof *recovery);

    MUST(!spool->recovery && loop_current());
    recovery->spool = spool;
    recovery->loop = loop_current();
    recovery->on_entry = on_entry;
    recovery->on_end = on_end_;
    recovery->ctx = ctx;
    spool->recovered_mail.deliver = on_wake;
    atomic_init(&recovery->refs, 1);
    sem_init(&recovery->room, 0, BATCHES_UNDER_WAY);
    list_old(recovery);
    spool->recovery = recovery;
    MUST(!pthread_create(&recovery->thread, NULL, recovery_main, recovery));
    pthread_setname_np(recovery->thread, "spool-recovery");
}

void recovery_end(struct spool *spool)
{
    struct recovery *recovery = spool->recovery;

    if (!recovery)
        return;
    atomic_store(&recovery->ending, true);
    sem_post(&recovery->room);
    pthread_join(recovery->thread, NULL);
    recovery_unref(recovery);
    spool->recovery = NULL;
}
