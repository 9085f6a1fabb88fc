/* SPDX-License-Identifier: Apache-2.0
 *
 * One segment file: a single zstd frame that grows by whole lines. Every flush ends a zstd
 * block, so what stands in the file up to there can be read while the file is open, and can
 * be made a complete file by adding one empty last block.
 *
 * The awkward truth: the frame of an open segment has no end yet, and zstdcat says so on
 * stderr after it has printed every line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "log/log_private.h"

#define NAME_TRIES 1000

struct segment {
    int fd;
    char *path;
    ZSTD_CCtx *zstd;
    uint64_t raw_bytes;
    off_t flushed_end; /* everything before this is whole blocks of whole lines */
    size_t out_size;
    char out[]; /* ZSTD_CStreamOutSize() */
};

/* RFC 8878, section 3.1.1.2: an empty raw block with the last-block bit set. */
static const char last_block[3] = {1, 0, 0};

bool segment_is_name(const char *name)
{
    for (size_t i = 0; i < 15; i++)
        if (i == 8 ? name[i] != '-' : name[i] < '0' || name[i] > '9')
            return false;
    return true;
}

static char *make_path(const struct segment_options *options, int64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm parts;

    gmtime_r(&seconds, &parts);
    return mem_printf("%s/%04d%02d%02d-%02d%02d%02d.%06d%s", options->log_dir, parts.tm_year + 1900, parts.tm_mon + 1,
                      parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, (int)(wall_us % 1000000),
                      options->suffix);
}

/* Names are times; two segments of one moment get neighbouring ones. */
static int create_file(const struct segment_options *options, char **path_out, struct error *error)
{
    int64_t wall_us = clock_wall_us();
    int fd = -1;

    for (int i = 0; i < NAME_TRIES && fd < 0; i++) {
        free(*path_out);
        *path_out = make_path(options, wall_us + i);
        fd = open(*path_out, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0640);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0)
        return error_set_errno(error, ERROR_TEMP, errno, "creating log segment %s", *path_out);
    flock(fd, LOCK_EX | LOCK_NB); /* tells others that it is alive; on a file just made it cannot fail for long */
    return fd;
}

/* The name must survive a power cut as well as the bytes do. */
static void sync_directory(const char *log_dir)
{
    int fd = open(log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static void free_segment(struct segment *segment)
{
    ZSTD_freeCCtx(segment->zstd);
    close(segment->fd);
    free(segment->path);
    free(segment);
}

struct segment *segment_open(const struct segment_options *options, struct error *error)
{
    struct segment *segment = mem_zalloc(sizeof *segment + ZSTD_CStreamOutSize());

    segment->out_size = ZSTD_CStreamOutSize();
    segment->fd = create_file(options, &segment->path, error);
    if (segment->fd < 0) {
        free(segment->path);
        free(segment);
        return NULL;
    }
    segment->zstd = ZSTD_createCCtx();
    MUST(segment->zstd != NULL);
    ZSTD_CCtx_setParameter(segment->zstd, ZSTD_c_compressionLevel, options->compression_level);
    if (*options->header && log_segment_add(segment, span_of(options->header), error) < 0) {
        segment_abandon(segment);
        return NULL;
    }
    segment->raw_bytes = 0; /* the limit is for records */
    sync_directory(options->log_dir);
    return segment;
}

uint64_t segment_raw_bytes(const struct segment *segment) { return segment->raw_bytes; }

static int write_all(struct segment *segment, const char *data, size_t len, struct error *error)
{
    while (len > 0) {
        ssize_t written = write(segment->fd, data, len);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_set_errno(error, ERROR_TEMP, errno, "writing %s", segment->path);
        data += written;
        len -= (size_t)written;
    }
    return 0;
}

static int compress(struct segment *segment, struct span lines, ZSTD_EndDirective directive, struct error *error)
{
    ZSTD_inBuffer in = {lines.data, lines.len, 0};
    size_t left;

    do {
        ZSTD_outBuffer out = {segment->out, segment->out_size, 0};

        left = ZSTD_compressStream2(segment->zstd, &out, &in, directive);
        if (ZSTD_isError(left))
            return error_set(error, ERROR_TEMP, "compressing %s: %s", segment->path, ZSTD_getErrorName(left));
        if (write_all(segment, segment->out, out.pos, error) < 0)
            return -1;
    } while (directive == ZSTD_e_continue ? in.pos < in.size : left > 0);
    return 0;
}

int log_segment_add(struct segment *segment, struct span lines, struct error *error)
{
    segment->raw_bytes += lines.len;
    return compress(segment, lines, ZSTD_e_continue, error);
}

int segment_flush(struct segment *segment, struct error *error)
{
    if (compress(segment, SPAN_LIT(""), ZSTD_e_flush, error) < 0)
        return -1;
    segment->flushed_end = lseek(segment->fd, 0, SEEK_END);
    return 0;
}

/* Read-only is how readers know that no more will come. */
static void mark_finished(struct segment *segment)
{
    fsync(segment->fd);
    fchmod(segment->fd, 0440);
}

int segment_finish(struct segment *segment, struct error *error)
{
    if (!segment)
        return 0;
    if (compress(segment, SPAN_LIT(""), ZSTD_e_end, error) < 0) {
        segment_abandon(segment);
        return -1;
    }
    if (fsync(segment->fd) < 0) {
        error_set_errno(error, ERROR_TEMP, errno, "syncing %s", segment->path);
        segment_abandon(segment);
        return -1;
    }
    fchmod(segment->fd, 0440);
    free_segment(segment);
    return 0;
}

void segment_abandon(struct segment *segment)
{
    struct error ignored;

    if (segment->flushed_end == 0) {
        unlink(segment->path);
    } else if (ftruncate(segment->fd, segment->flushed_end) == 0 &&
               write_all(segment, last_block, sizeof last_block, &ignored) == 0) {
        mark_finished(segment);
    }
    free_segment(segment);
}
