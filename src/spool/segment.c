/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a segment's file: made and preallocated, begun, released when nothing in it
 * counts, begun again. Beginning writes a new random generation into the header, so that
 * what an earlier use left behind can never be taken for a frame of this one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "spool/spool_private.h"

#define FREE_KEPT 8 /* more free segments than these are given back to the file system */
#define NAME_BYTES 24

static void file_name(uint32_t number, char out[NAME_BYTES]) { snprintf(out, NAME_BYTES, "segment-%08x", number); }

int spool_sync_data(const struct spool *spool, int fd) { return spool->flush ? spool_io()->sync_data(fd) : 0; }

int spool_sync_directory(const struct spool *spool)
{
    if (fault_point("spool.directory.sync"))
        return -1;
    return spool->flush ? spool_io()->sync_directory(spool->directory) : 0;
}

/* ---- the table of segments ---- */

struct segment *segment_add(struct spool *spool, int fd, uint32_t file_number, uint64_t size)
{
    struct segment *segment = mem_zalloc(sizeof *segment);
    uint32_t slot = 0;

    segment->fd = fd;
    segment->file_number = file_number;
    segment->size = size;
    pthread_mutex_lock(&spool->lock);
    while (slot < spool->segment_count && spool->segments[slot])
        slot++;
    if (slot == spool->segment_count) {
        spool->segments =
            batch_grow(spool->segments, spool->segment_count, &spool->segment_capacity, sizeof *spool->segments);
        spool->segment_count++;
    }
    segment->slot = slot;
    spool->segments[slot] = segment;
    spool->stats.segments++;
    pthread_mutex_unlock(&spool->lock);
    return segment;
}

void segment_destroy(struct segment *segment)
{
    if (!segment)
        return;
    close(segment->fd);
    free(segment->targets);
    free(segment->mark_frames_8);
    free(segment);
}

/* Under lock: the file is unlinked; the last reader takes the descriptor with it. */
static void drop_deleted(struct spool *spool, struct segment *segment)
{
    if (segment->pins)
        return;
    spool->segments[segment->slot] = NULL;
    segment_destroy(segment);
}

int segment_descriptor(struct spool *spool, uint32_t slot)
{
    int fd;

    pthread_mutex_lock(&spool->lock);
    fd = spool->segments[slot]->fd;
    pthread_mutex_unlock(&spool->lock);
    return fd;
}

void segment_unpin(struct spool *spool, uint32_t slot)
{
    struct segment *segment = spool->segments[slot];

    MUST(segment && segment->pins > 0);
    segment->pins--;
    if (segment->state == SEGMENT_DELETED)
        drop_deleted(spool, segment);
}

void segment_note_damage(struct spool *spool, uint32_t slot)
{
    pthread_mutex_lock(&spool->lock);
    spool->segments[slot]->damaged = true;
    pthread_mutex_unlock(&spool->lock);
}

size_t segment_count_free(struct spool *spool, struct segment **one_out)
{
    size_t count = 0;

    pthread_mutex_lock(&spool->lock);
    for (size_t i = 0; i < spool->segment_count; i++) {
        struct segment *segment = spool->segments[i];

        if (!segment || segment->state != SEGMENT_FREE || segment->pins || segment->size != spool->segment_bytes)
            continue;
        if (one_out && !count)
            *one_out = segment;
        count++;
    }
    pthread_mutex_unlock(&spool->lock);
    return count;
}

/* ---- making ---- */

static int make_file(struct spool *spool, const char *name, uint64_t size, int *fd_out)
{
    int fd = spool_io()->open_at(spool->directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int saved;

    if (fd < 0)
        return -1;
    /* without the sync of the directory, a power cut could take the name and the mail with it */
    if (!fault_point("spool.segment.made") && !spool_io()->allocate(fd, (off_t)size) && !spool_sync_directory(spool)) {
        *fd_out = fd;
        return 0;
    }
    saved = errno;
    spool_io()->unlink_at(spool->directory, name);
    close(fd);
    errno = saved;
    return -1;
}

static enum error_kind kind_of(int sys_errno)
{
    return sys_errno == ENOSPC || sys_errno == EDQUOT ? ERROR_AGAIN : ERROR_TEMP;
}

int segment_make(struct spool *spool, uint64_t size, struct segment **segment_out, struct error *error)
{
    uint32_t number = ++spool->last_file_number;
    char name[NAME_BYTES];
    int fd;

    file_name(number, name);
    if (make_file(spool, name, size, &fd))
        return error_set_errno(error, kind_of(errno), errno, "spool %s: cannot make %s", spool->name, name);
    *segment_out = segment_add(spool, fd, number, size);
    return 0;
}

/* ---- beginning ---- */

static int write_header(const struct segment *segment, const struct segment_header *header)
{
    char page[SEGMENT_HEADER_BYTES];
    struct iovec part = {.iov_base = page, .iov_len = sizeof page};

    segment_header_encode(header, page);
    return spool_write_fully(segment->fd, &part, 1, 0);
}

int segment_begin(struct spool *spool, struct segment *segment, struct error *error)
{
    struct segment_header header = {.in_use = true,
                                    .sequence = ++spool->last_sequence,
                                    .prior_sequence = spool->prior_sequence,
                                    .prior_end = spool->prior_end,
                                    .base_ref = spool->next_ref};

    do
        random_bytes(&header.generation, sizeof header.generation);
    while (header.generation == 0);
    pthread_mutex_lock(&spool->lock);
    segment->sequence = header.sequence;
    segment->generation = header.generation;
    segment->end = SEGMENT_HEADER_BYTES;
    segment->uncertain = segment->stale_copies = segment->unmovable = segment->damaged = false;
    ledger_clear_marks(segment);
    segment->state = SEGMENT_CURRENT;
    ledger_insert_sequence(spool, segment);
    pthread_mutex_unlock(&spool->lock);
    /* not synced here: the first batch's sync covers it, and without the header the
     * frames behind it count for nothing */
    if (fault_point("spool.segment.begin") || write_header(segment, &header)) {
        error_set_errno(error, ERROR_TEMP, errno, "spool %s: cannot begin segment %08x", spool->name,
                        segment->file_number);
        pthread_mutex_lock(&spool->lock);
        segment->state = SEGMENT_ABANDONED;
        spool->may_be_dead = true;
        pthread_mutex_unlock(&spool->lock);
        return -1;
    }
    return 0;
}

/* ---- releasing ---- */

static void set_state(struct spool *spool, struct segment *segment, enum segment_state state)
{
    pthread_mutex_lock(&spool->lock);
    /* these two still exist on disk, or may; the others do not */
    if (state != SEGMENT_ABANDONED && state != SEGMENT_LINGERING) {
        ledger_forget_sequence(spool, segment);
        ledger_clear_marks(segment);
    }
    segment->state = state;
    if (state == SEGMENT_DELETED) {
        spool->stats.segments--;
        drop_deleted(spool, segment);
    }
    pthread_mutex_unlock(&spool->lock);
}

static int mark_free_on_disk(struct spool *spool, struct segment *segment)
{
    struct segment_header header = {.in_use = false};

    if (fault_point("spool.release") || write_header(segment, &header) || fault_point("spool.release.written"))
        return -1;
    return spool_sync_data(spool, segment->fd);
}

/* The name is gone; what the file holds must not come back with it. A sync that failed is not asked again: the next one
 * may say that all is well because the kernel has forgotten. Only the next start, which reads what is there, knows. */
static void make_sure_it_is_gone(struct spool *spool, struct segment *segment)
{
    if (!spool_sync_directory(spool)) {
        set_state(spool, segment, SEGMENT_DELETED);
        return;
    }
    diag(DIAG_ERROR, NULL,
         "spool %s: the name of segment %08x is gone, but not durably: %s; deletion marks stay until a restart",
         spool->name, segment->file_number, strerror(errno));
    set_state(spool, segment, SEGMENT_LINGERING);
}

static int delete_or_abandon(struct spool *spool, struct segment *segment)
{
    char name[NAME_BYTES];

    file_name(segment->file_number, name);
    if (!fault_point("spool.unlink") && (!spool_io()->unlink_at(spool->directory, name) || errno == ENOENT)) {
        make_sure_it_is_gone(spool, segment);
        return 0;
    }
    diag(DIAG_ERROR, NULL, "spool %s: cannot remove segment %08x: %s; trying again", spool->name, segment->file_number,
         strerror(errno));
    set_state(spool, segment, SEGMENT_ABANDONED);
    return -1;
}

/* What it still tells a person outlives it: the file goes out of our way as it is. */
static int put_aside(struct spool *spool, struct segment *segment)
{
    char name[NAME_BYTES];
    struct error error = {0};

    file_name(segment->file_number, name);
    if (aside_put(spool, name, &error)) {
        diag_error(NULL, &error, "a damaged segment cannot be put aside; trying again");
        return -1;
    }
    make_sure_it_is_gone(spool, segment);
    return 0;
}

int segment_release(struct spool *spool, struct segment *segment)
{
    if (segment->damaged)
        return put_aside(spool, segment);
    if (segment->state == SEGMENT_CLOSED && !mark_free_on_disk(spool, segment)) {
        set_state(spool, segment, SEGMENT_FREE);
        segment_unlink_free(spool, FREE_KEPT);
        return 0;
    }
    return delete_or_abandon(spool, segment);
}

/* Free segments of another size than the present one's are of no use. */
static struct segment *surplus_segment(struct spool *spool, size_t keep)
{
    struct segment *surplus = NULL;
    size_t kept = 0;

    pthread_mutex_lock(&spool->lock);
    for (size_t i = 0; i < spool->segment_count && !surplus; i++) {
        struct segment *segment = spool->segments[i];

        if (segment && segment->state == SEGMENT_FREE && (segment->size != spool->segment_bytes || kept++ >= keep))
            surplus = segment;
    }
    pthread_mutex_unlock(&spool->lock);
    return surplus;
}

void segment_unlink_free(struct spool *spool, size_t keep)
{
    struct segment *segment;
    char name[NAME_BYTES];

    /* no sync: should the name come back, its header says that it is free */
    while ((segment = surplus_segment(spool, keep))) {
        file_name(segment->file_number, name);
        if (spool_io()->unlink_at(spool->directory, name) && errno != ENOENT)
            return;
        set_state(spool, segment, SEGMENT_DELETED);
    }
}
