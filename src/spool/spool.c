/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening and closing: the directory and its lock, the segments' headers, the threads.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/must.h"
#include "spool/spool_private.h"

#define DEFAULT_SEGMENT_BYTES (64u << 20)
#define LEAST_SEGMENT_BYTES (16u << 10)
#define READER_THREADS 2
#define READERS_QUEUE_LIMIT 4096
/* A segment holds far fewer messages than this, so refs given out after a restart are
 * above all that any segment can hold, before any of them was read. */
#define REFS_PER_RUN (UINT64_C(1) << 32)

/* ---- the directory ---- */

/* Its name must be as durable as what will be in it; whoever made it may have died before he synced that. */
static int sync_parent(const char *path, bool is_new, struct error *error)
{
    char *parent = mem_strdup(path), *slash = strrchr(parent, '/');
    int fd, status = 0;

    if (slash)
        *(slash == parent ? slash + 1 : slash) = '\0';
    fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(parent);
    if (fd < 0 && !is_new)
        return 0; /* who may not look there has not made it */
    if (fd < 0 || fsync(fd))
        status = error_set_errno(error, ERROR_TEMP, errno, "cannot sync the directory that holds %s", path);
    if (fd >= 0)
        close(fd);
    return status;
}

static int make_directory(const char *path, struct error *error)
{
    bool is_new = !mkdir(path, 0700);

    if (!is_new && errno != EEXIST)
        return error_set_errno(error, ERROR_PERM, errno, "cannot make the spool directory %s", path);
    return sync_parent(path, is_new, error);
}

static int open_directory(const char *path, struct error *error)
{
    int fd;

    if (make_directory(path, error))
        return -1;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_PERM, errno, "cannot open the spool directory %s", path);
    if (!flock(fd, LOCK_EX | LOCK_NB))
        return fd;
    if (errno == EWOULDBLOCK)
        error_set(error, ERROR_PERM, "the spool directory %s is in use by another process", path);
    else
        error_set_errno(error, ERROR_PERM, errno, "cannot lock the spool directory %s", path);
    close(fd);
    return -1;
}

/* ---- the segments that are there ---- */

/* Its header is beyond repair, so what it holds cannot be told from what an earlier use left. */
static int put_aside(struct spool *spool, const char *name, int fd, struct error *error)
{
    close(fd);
    atomic_fetch_add(&spool->damaged, 1);
    return aside_put(spool, name, error);
}

static void adopt(struct spool *spool, int fd, uint32_t number, uint64_t size, const struct segment_header *header)
{
    struct segment *segment = segment_add(spool, fd, number, size);

    segment->filled = SEGMENT_HEADER_BYTES;
    segment->state = SEGMENT_FREE;
    if (!header->in_use)
        return;
    segment->state = SEGMENT_CLOSED;
    segment->unread = true;
    segment->sequence = header->sequence;
    segment->generation = header->generation;
    segment->limit = size;
    segment->end = SEGMENT_HEADER_BYTES;
    ledger_insert_sequence(spool, segment);
    if (header->sequence > spool->last_sequence)
        spool->last_sequence = header->sequence;
    if (header->base_ref > spool->next_ref)
        spool->next_ref = header->base_ref;
}

/* One header says how far the segment before it was synced. */
struct prior {
    uint32_t sequence;
    uint64_t end;
};

struct priors {
    struct prior *list;
    size_t count, capacity;
};

static void note_prior(struct priors *priors, const struct segment_header *header)
{
    if (!header->in_use || !header->prior_sequence)
        return;
    priors->list = batch_grow(priors->list, priors->count, &priors->capacity, sizeof *priors->list);
    priors->list[priors->count++] = (struct prior){header->prior_sequence, header->prior_end};
}

static void use_priors(struct spool *spool, struct priors *priors)
{
    for (size_t i = 0; i < priors->count; i++) {
        struct segment *segment = ledger_find_sequence(spool, priors->list[i].sequence);

        /* it may lie behind the file's end: then what was cut off was synced, and that is damage */
        if (segment && priors->list[i].end >= SEGMENT_HEADER_BYTES)
            segment->limit = segment->end = priors->list[i].end;
    }
    free(priors->list);
}

static int read_header(struct spool *spool, const char *name, uint32_t number, struct priors *priors,
                       struct error *error)
{
    int fd = spool_io()->open_at(spool->directory, name, O_RDWR | O_CLOEXEC, 0);
    char page[SEGMENT_HEADER_BYTES];
    struct segment_header header = {0};
    uint32_t version = 0;
    struct stat found;
    size_t len;

    if (fd < 0 || fstat(fd, &found)) {
        if (fd >= 0)
            close(fd);
        return error_set_errno(error, ERROR_PERM, errno, "spool %s: cannot open %s", spool->name, name);
    }
    len = found.st_size < (off_t)sizeof page ? 0 : sizeof page;
    if (spool_read_fully(fd, page, len, 0)) {
        /* it may be readable again: who starts without it would pass over its mail */
        error_set_errno(error, ERROR_TEMP, errno, "spool %s: cannot read %s", spool->name, name);
        close(fd);
        return -1;
    }
    switch (segment_header_decode(span_make(page, len), &header, &version)) {
    case HEADER_BLANK:
    case HEADER_OK:
        note_prior(priors, &header);
        adopt(spool, fd, number, (uint64_t)found.st_size, &header);
        return 0;
    case HEADER_DAMAGED:
        return put_aside(spool, name, fd, error);
    case HEADER_FOREIGN:
        break;
    }
    close(fd);
    return error_set(error, ERROR_PERM, "spool %s: %s has format version %u; this program knows version %u",
                     spool->name, name, version, SPOOL_FORMAT_VERSION);
}

static bool parse_name(const char *name, uint32_t *number_out)
{
    char end;

    return strlen(name) == 16 && sscanf(name, "segment-%8x%c", number_out, &end) == 1;
}

static int read_headers(struct spool *spool, struct error *error)
{
    int copy = openat(spool->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    struct priors priors = {0};
    struct dirent *found;
    uint32_t number;
    int status = 0;

    if (!directory) {
        if (copy >= 0)
            close(copy);
        return error_set_errno(error, ERROR_PERM, errno, "spool %s: cannot list the directory", spool->name);
    }
    while (!status && (found = readdir(directory))) {
        if (!parse_name(found->d_name, &number))
            continue;
        if (number > spool->last_file_number)
            spool->last_file_number = number;
        status = read_header(spool, found->d_name, number, &priors, error);
    }
    closedir(directory);
    use_priors(spool, &priors);
    return status;
}

/* ---- open and close ---- */

static uint64_t segment_size(const struct spool_config *config)
{
    uint64_t usual = config->segment_bytes ? config->segment_bytes : DEFAULT_SEGMENT_BYTES;
    uint64_t bytes = fault_size("GATEPOST_FAULT_SEGMENT_BYTES", usual);

    if (bytes < LEAST_SEGMENT_BYTES)
        bytes = LEAST_SEGMENT_BYTES;
    return (bytes + SEGMENT_HEADER_BYTES - 1) & ~(uint64_t)(SEGMENT_HEADER_BYTES - 1);
}

static struct spool *new_spool(const struct spool_config *config)
{
    struct spool *spool = mem_zalloc(sizeof *spool);
    pthread_condattr_t monotonic;

    spool->name = mem_strdup(config->name);
    spool->path = mem_strdup(config->path);
    spool->directory = -1;
    spool->flush = config->flush;
    spool->segment_bytes = segment_size(config);
    spool->min_free_space = config->min_free_space;
    spool->min_free_inodes = config->min_free_inodes;
    pthread_mutex_init(&spool->lock, NULL);
    pthread_mutex_init(&spool->wake_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&spool->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    index_init(&spool->index);
    arena_init(&spool->batch.arena, SIZE_MAX);
    arena_init(&spool->compaction.arena, SIZE_MAX);
    return spool;
}

/* A full disk is no reason not to start: what is there can be delivered, which makes room. */
static int begin_writing(struct spool *spool, struct error *error)
{
    struct error why = {0};

    spool->first_new_ref = spool->next_ref = spool->next_ref + REFS_PER_RUN;
    segment_unlink_free(spool, SIZE_MAX);
    spool->recovered = spool->sequence_count == 0;
    if (!writer_rotate(spool, 0, true, &why))
        return 0;
    if (why.kind == ERROR_AGAIN) {
        diag_error(NULL, &why, "no new mail is taken until there is space");
        return 0;
    }
    if (error)
        *error = why;
    return -1;
}

static int start(struct spool *spool, struct error *error)
{
    int status;

    if (begin_writing(spool, error))
        return -1;
    spool->readers = jobs_new("spool-read", READER_THREADS, READERS_QUEUE_LIMIT, error);
    if (!spool->readers)
        return -1;
    status = pthread_create(&spool->writer, NULL, writer_main, spool);
    if (status)
        return error_set_errno(error, ERROR_TEMP, status, "spool %s: cannot start its thread", spool->name);
    pthread_setname_np(spool->writer, "spool");
    spool->writer_runs = true;
    return 0;
}

/* Who was here before may have died between making a segment and syncing its name; we may be about to use it. */
static int sync_names(struct spool *spool, struct error *error)
{
    if (spool->flush && spool_io()->sync_directory(spool->directory))
        return error_set_errno(error, ERROR_TEMP, errno, "spool %s: cannot sync the directory", spool->name);
    return 0;
}

struct spool *spool_open(const struct spool_config *config, struct error *error)
{
    struct spool *spool = new_spool(config);

    spool->directory = open_directory(config->path, error);
    if (spool->directory < 0 || read_headers(spool, error) || sync_names(spool, error) || start(spool, error)) {
        spool_close(spool);
        return NULL;
    }
    aside_tell(spool);
    if (!config->flush)
        diag(DIAG_WARN, NULL, "spool %s: flush is off: mail that was answered 250 is lost when this machine dies",
             spool->name);
    return spool;
}

static void stop_threads(struct spool *spool)
{
    recovery_end(spool);
    if (spool->writer_runs) {
        atomic_store(&spool->ending, true);
        writer_wake(spool);
        pthread_join(spool->writer, NULL);
    }
    jobs_free(spool->readers);
}

void spool_close(struct spool *spool)
{
    if (!spool)
        return;
    stop_threads(spool);
    for (size_t i = 0; i < spool->segment_count; i++)
        segment_destroy(spool->segments[i]);
    free(spool->segments);
    free(spool->by_sequence);
    free(spool->late_removes);
    free(spool->compaction.moves);
    arena_done(&spool->compaction.arena);
    batch_done(&spool->batch);
    index_done(&spool->index);
    if (spool->directory >= 0)
        close(spool->directory);
    pthread_cond_destroy(&spool->wake);
    pthread_mutex_destroy(&spool->wake_lock);
    pthread_mutex_destroy(&spool->lock);
    free(spool->name);
    free(spool->path);
    free(spool);
}

/* ---- for admission and metrics ---- */

bool spool_accepts(const struct spool *spool)
{
    struct spool *checked = (struct spool *)(uintptr_t)spool; /* the floor's cache is not part of what const promises */

    return !atomic_load(&spool->stuck) && !floor_is_reached(checked, NULL);
}

void spool_get_stats(const struct spool *spool, struct spool_stats *stats_out)
{
    struct spool *locked = (struct spool *)(uintptr_t)spool;

    pthread_mutex_lock(&locked->lock);
    *stats_out = spool->stats;
    stats_out->live_messages = spool->index.count;
    pthread_mutex_unlock(&locked->lock);
    stats_out->damaged = atomic_load(&locked->damaged);
    stats_out->aside = aside_count(spool);
}
