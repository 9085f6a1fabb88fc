/* SPDX-License-Identifier: Apache-2.0
 *
 * See read_ahead.h. Two buffers and a thread: it fills one while the other is in use.
 */
#include "spool/read_ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/must.h"

#define READ_BYTES (1u << 20)
#define SECTOR_BYTES 4096
#define READ_TRIES 3
#define MOMENT_MS 100
#define BUFFERS 2

struct read_ahead {
    /* fixed after start */
    struct spool *spool;
    struct segment *const *segments;
    size_t count;
    pthread_t thread;

    /* of whoever asks */
    size_t next;

    /* shared: a buffer belongs to the thread, then to whoever asks, and the semaphores hand it over */
    struct {
        char *data;
        int read_errno;
        bool sync_failed;
    } buffers[BUFFERS];
    sem_t empty, full;
    atomic_bool ending;
};

static void wait_for(sem_t *what)
{
    while (sem_wait(what))
        ; /* interrupted by a signal */
}

static int read_whole(const struct segment *segment, char *data)
{
    for (uint64_t at = 0; at < segment->size; at += READ_BYTES) {
        uint64_t rest = segment->size - at;

        if (spool_read_fully(segment->fd, data + at, rest < READ_BYTES ? (size_t)rest : READ_BYTES, at))
            return -1;
    }
    return 0;
}

/* A sector at a time, with zeros for what does not come: what is whole between them can be used. 0, or an errno. */
static int read_sectors(const struct segment *segment, char *data)
{
    int missing = 0;

    for (uint64_t at = 0; at < segment->size; at += SECTOR_BYTES) {
        uint64_t rest = segment->size - at;
        size_t bytes = rest < SECTOR_BYTES ? (size_t)rest : SECTOR_BYTES;

        if (!spool_read_fully(segment->fd, data + at, bytes, at))
            continue;
        missing = errno;
        memset(data + at, 0, bytes);
    }
    return missing;
}

/* A path to a disk that is being switched, or a bus that stumbled, is back in a moment. */
static int read_segment(const struct segment *segment, char *data)
{
    static const struct timespec moment = {.tv_nsec = MOMENT_MS * 1000000};

    for (unsigned tries = 1; read_whole(segment, data); tries++) {
        if (tries == READ_TRIES)
            return read_sectors(segment, data);
        nanosleep(&moment, NULL);
    }
    return 0;
}

/* The disk is faster when more is asked of it than the one read that is waited for. */
static void ask_the_disk_for(const struct read_ahead *ahead, size_t i)
{
    if (i < ahead->count)
        (void)posix_fadvise(ahead->segments[i]->fd, 0, (off_t)ahead->segments[i]->size, POSIX_FADV_WILLNEED);
}

static void *read_all(void *arg)
{
    struct read_ahead *ahead = arg;

    ask_the_disk_for(ahead, 0);
    for (size_t i = 0; i < ahead->count; i++) {
        ask_the_disk_for(ahead, i + 1);
        wait_for(&ahead->empty);
        if (atomic_load(&ahead->ending))
            break;
        /* kill -9 leaves writes that only the page cache has */
        ahead->buffers[i % BUFFERS].sync_failed = spool_sync_data(ahead->spool, ahead->segments[i]->fd) != 0;
        ahead->buffers[i % BUFFERS].read_errno = read_segment(ahead->segments[i], ahead->buffers[i % BUFFERS].data);
        sem_post(&ahead->full);
    }
    return NULL;
}

static size_t largest(struct segment *const *segments, size_t count)
{
    uint64_t most = 1;

    for (size_t i = 0; i < count; i++)
        if (segments[i]->size > most)
            most = segments[i]->size;
    return (size_t)most;
}

struct read_ahead *read_ahead_new(struct spool *spool, struct segment *const *segments, size_t count)
{
    struct read_ahead *ahead = mem_zalloc(sizeof *ahead);

    ahead->spool = spool;
    ahead->segments = segments;
    ahead->count = count;
    for (size_t i = 0; i < BUFFERS; i++)
        ahead->buffers[i].data = mem_alloc(largest(segments, count));
    sem_init(&ahead->empty, 0, BUFFERS);
    sem_init(&ahead->full, 0, 0);
    MUST(!pthread_create(&ahead->thread, NULL, read_all, ahead));
    pthread_setname_np(ahead->thread, "spool-ahead");
    return ahead;
}

struct read_ahead_segment read_ahead_next(struct read_ahead *ahead)
{
    size_t i = ahead->next++;

    MUST(i < ahead->count);
    if (i > 0)
        sem_post(&ahead->empty); /* the former has been looked at */
    wait_for(&ahead->full);
    return (struct read_ahead_segment){
        .bytes = span_make(ahead->buffers[i % BUFFERS].data, (size_t)ahead->segments[i]->size),
        .read_errno = ahead->buffers[i % BUFFERS].read_errno,
        .sync_failed = ahead->buffers[i % BUFFERS].sync_failed,
    };
}

void read_ahead_free(struct read_ahead *ahead)
{
    atomic_store(&ahead->ending, true);
    sem_post(&ahead->empty);
    pthread_join(ahead->thread, NULL);
    for (size_t i = 0; i < BUFFERS; i++)
        free(ahead->buffers[i].data);
    sem_destroy(&ahead->empty);
    sem_destroy(&ahead->full);
    free(ahead);
}
