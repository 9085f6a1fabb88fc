/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a message back, on a small pool of threads of its own, so that neither the
 * writer nor the asker waits for the disk. The segments are pinned meanwhile: compaction
 * may move the message, but nobody overwrites the bytes.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/must.h"
#include "spool/spool_private.h"

struct read {
    struct job job;
    struct spool *spool;
    uint64_t ref;
    spool_read_fn *on_done;
    void *ctx;
    struct error error;
    char *record;
    size_t record_len;
    struct bytes *body;
};

static bool pin(struct spool *spool, uint64_t ref, struct entry *entry_out)
{
    struct entry *entry;

    pthread_mutex_lock(&spool->lock);
    entry = index_find(&spool->index, ref);
    if (entry && entry->body.segment == PLACE_NOWHERE)
        entry = NULL;
    if (entry) {
        *entry_out = *entry;
        spool->segments[entry->record.segment]->pins++;
        spool->segments[entry->body.segment]->pins++;
    }
    pthread_mutex_unlock(&spool->lock);
    return entry != NULL;
}

static void unpin(struct spool *spool, const struct entry *entry)
{
    pthread_mutex_lock(&spool->lock);
    segment_unpin(spool, entry->record.segment);
    segment_unpin(spool, entry->body.segment);
    pthread_mutex_unlock(&spool->lock);
}

/* malloc'd, or NULL. */
static char *load(struct spool *spool, const struct place *place, struct error *error)
{
    char *data = mem_try_realloc(NULL, place->len ? place->len : 1);

    if (!data) {
        error_set(error, ERROR_TEMP, "spool %s: no memory for a message of %u bytes", spool->name, place->len);
        return NULL;
    }
    if (spool_read_fully(segment_descriptor(spool, place->segment), data, place->len, (uint64_t)place->at_8 * 8))
        error_set_errno(error, ERROR_TEMP, errno, "spool %s: cannot read a message", spool->name);
    else if (crc32c(0, data, place->len) == place->crc)
        return data;
    else {
        segment_note_damage(spool, place->segment);
        error_set(error, ERROR_PERM, "spool %s: a message is damaged on disk", spool->name);
    }
    free(data);
    return NULL;
}

static void load_both(struct read *read, const struct entry *entry)
{
    char *body;

    read->record = load(read->spool, &entry->record, &read->error);
    body = read->record ? load(read->spool, &entry->body, &read->error) : NULL;
    if (body) {
        read->record_len = entry->record.len;
        read->body = bytes_take(body, entry->body.len);
        return;
    }
    free(read->record);
    read->record = NULL;
    if (read->error.kind == ERROR_PERM)
        atomic_fetch_add(&read->spool->damaged, 1);
}

static void run(struct job *job)
{
    struct read *read = CONTAINER_OF(job, struct read, job);
    struct entry entry;

    if (!pin(read->spool, read->ref, &entry)) {
        error_set(&read->error, ERROR_PERM, "spool %s: no such message", read->spool->name);
        return;
    }
    load_both(read, &entry);
    unpin(read->spool, &entry);
}

static void answer(struct job *job)
{
    struct read *read = CONTAINER_OF(job, struct read, job);

    read->on_done(read->ctx, read->record, read->record_len, read->body,
                  read->error.kind == ERROR_NONE ? NULL : &read->error);
    free(read);
}

static void on_refused(struct mail *mail) { answer(CONTAINER_OF(mail, struct job, mail)); }

void spool_read(struct spool *spool, uint64_t ref, spool_read_fn *on_done, void *ctx)
{
    struct read *read = mem_zalloc(sizeof *read);

    *read =
        (struct read){.job = {.run = run, .done = answer}, .spool = spool, .ref = ref, .on_done = on_done, .ctx = ctx};
    if (!jobs_submit(spool->readers, &read->job, &read->error))
        return;
    read->job.mail.deliver = on_refused;
    loop_post(loop_current(), &read->job.mail);
}
