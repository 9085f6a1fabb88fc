/* SPDX-License-Identifier: Apache-2.0
 *
 * At start: segments that a crash left open. Whoever reads the directory waits for a file
 * to become read-only; these never would. A whole one is only marked; one that was cut is
 * rewritten with every whole line that can be read from it. One that the disk does not give
 * now is left as it is: it may at the next start.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/mem.h"
#include "base/must.h"
#include "log/diag.h"
#include "log/log_private.h"

struct reading {
    int fd;
    ZSTD_DCtx *zstd;
    size_t pending; /* what zstd still wants: 0 at the end of a frame */
    ZSTD_inBuffer in;
    bool broken;
    bool failed; /* the file could not be read, which says nothing of what is in it */
    char in_data[1 << 16];
};

static struct reading *reading_new(int fd)
{
    struct reading *reading = mem_zalloc(sizeof *reading);

    reading->fd = fd;
    reading->zstd = ZSTD_createDCtx();
    MUST(reading->zstd != NULL);
    reading->in.src = reading->in_data;
    return reading;
}

static void reading_free(struct reading *reading)
{
    ZSTD_freeDCtx(reading->zstd);
    free(reading);
}

/* Up to `len` bytes of text; 0 at the end, or where the rest cannot be read. */
static size_t read_text(struct reading *reading, char *data, size_t len)
{
    ZSTD_outBuffer out = {data, len, 0};

    while (out.pos == 0 && !reading->broken) {
        if (reading->in.pos == reading->in.size) {
            ssize_t got = read(reading->fd, reading->in_data, sizeof reading->in_data);

            reading->failed = got < 0;
            if (got <= 0)
                return 0;
            reading->in.size = (size_t)got;
            reading->in.pos = 0;
        }
        reading->pending = ZSTD_decompressStream(reading->zstd, &out, &reading->in);
        reading->broken = ZSTD_isError(reading->pending);
    }
    return out.pos;
}

enum condition { IS_WHOLE, IS_CUT, IS_UNREADABLE };

/* Reads to the end. Whole is a text whose last frame is complete and that ends with a line. */
static enum condition look_through(int fd)
{
    struct reading *reading = reading_new(fd);
    char data[1 << 14];
    char last = '\n';
    size_t got;
    enum condition condition;

    while ((got = read_text(reading, data, sizeof data)) > 0)
        last = data[got - 1];
    if (reading->failed)
        condition = IS_UNREADABLE;
    else
        condition = !reading->broken && reading->pending == 0 && last == '\n' ? IS_WHOLE : IS_CUT;
    reading_free(reading);
    lseek(fd, 0, SEEK_SET);
    return condition;
}

/* ---- rewriting ---- */

static int write_compressed(int fd, ZSTD_CCtx *zstd, const char *data, size_t len, ZSTD_EndDirective directive)
{
    ZSTD_inBuffer in = {data, len, 0};
    char out_data[1 << 14];
    size_t left;

    do {
        ZSTD_outBuffer out = {out_data, sizeof out_data, 0};

        left = ZSTD_compressStream2(zstd, &out, &in, directive);
        if (ZSTD_isError(left) || write(fd, out_data, out.pos) != (ssize_t)out.pos)
            return -1;
    } while (directive == ZSTD_e_continue ? in.pos < in.size : left > 0);
    return 0;
}

/* Copies whole lines. A line that goes on into the next piece waits in `held`; only the last
 * one of all, cut by the crash, stays there and is dropped. */
static int copy_lines(struct reading *from, int to, ZSTD_CCtx *zstd)
{
    struct buf held;
    char data[1 << 14];
    size_t got;
    int result = 0;

    buf_init(&held, (size_t)256 << 20);
    while (result == 0 && (got = read_text(from, data, sizeof data)) > 0) {
        const char *newline = memrchr(data, '\n', got);
        size_t whole = newline ? (size_t)(newline - data) + 1 : 0;

        if (whole > 0) {
            result |= write_compressed(to, zstd, buf_span(&held).data, buf_len(&held), ZSTD_e_continue);
            result |= write_compressed(to, zstd, data, whole, ZSTD_e_continue);
            buf_clear(&held);
        }
        result |= buf_append(&held, data + whole, got - whole);
    }
    buf_done(&held);
    if (from->failed)
        return -1;
    return result | write_compressed(to, zstd, "", 0, ZSTD_e_end);
}

/* The dot in front keeps readers and the next start away from a half-made copy. */
static int rewrite(int fd, const char *log_dir, const char *name, const char *path)
{
    char *copy_path = mem_printf("%s/.%s.mending", log_dir, name);
    int to = open(copy_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    struct reading *reading = reading_new(fd);
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    int result = -1;

    MUST(zstd != NULL);
    if (to >= 0 && copy_lines(reading, to, zstd) == 0 && fsync(to) == 0 && fchmod(to, 0440) == 0)
        result = rename(copy_path, path);
    if (result < 0)
        unlink(copy_path);
    if (to >= 0)
        close(to);
    ZSTD_freeCCtx(zstd);
    reading_free(reading);
    free(copy_path);
    return result;
}

static bool finish(int fd, const char *log_dir, const char *name, const char *path)
{
    switch (look_through(fd)) {
    case IS_WHOLE:
        return fchmod(fd, 0440) == 0;
    case IS_CUT:
        return rewrite(fd, log_dir, name, path) == 0;
    case IS_UNREADABLE:
        break;
    }
    return false;
}

/* True when the file was open at the crash and is finished now. */
static bool recover_file(const char *log_dir, const char *name)
{
    char *path = mem_printf("%s/%s", log_dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    bool mended = false;

    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & S_IWUSR) &&
        flock(fd, LOCK_EX | LOCK_NB) == 0) {
        mended = status.st_size == 0 ? unlink(path) == 0 : finish(fd, log_dir, name, path);
        if (!mended)
            diag(DIAG_WARN, NULL, "log segment %s was left open and could not be finished", path);
    }
    if (fd >= 0)
        close(fd);
    free(path);
    return mended;
}

unsigned recover_directory(const char *log_dir)
{
    DIR *directory = opendir(log_dir);
    struct dirent *entry;
    unsigned mended = 0;

    if (!directory)
        return 0;
    while ((entry = readdir(directory)))
        if (segment_is_name(entry->d_name))
            mended += recover_file(log_dir, entry->d_name);
    closedir(directory);
    return mended;
}
