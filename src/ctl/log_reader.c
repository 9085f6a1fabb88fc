/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments come and go while they are read: each is kept open, with its decoder, until it
 * is read-only (finished) and read to its end, so that no line is lost over a rotation.
 */
#include "ctl/log_reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "ctl/ctl.h"

#define LINE_BYTES_MOST ((size_t)256 << 20)
#define WAIT_MS 1000

struct file {
    char *name;
    int fd; /* -1: finished, and known so that it is not read again */
    ZSTD_DCtx *zstd;
    struct buf line; /* the beginning of a line whose end is not there yet */
};

struct log_reader {
    char *dir;
    int64_t since;
    bool is_watched;
    int inotify_fd;   /* -1: none */
    struct map files; /* by name */
};

static bool is_segment_name(const char *name) { return strspn(name, "0123456789") == 8 && name[8] == '-'; }

static void file_close(struct file *file)
{
    if (file->fd < 0)
        return;
    close(file->fd);
    ZSTD_freeDCtx(file->zstd);
    buf_done(&file->line);
    file->fd = -1;
}

static void file_free(void *arg)
{
    struct file *file = arg;

    file_close(file);
    free(file->name);
    free(file);
}

struct log_reader *log_reader_new(const char *dir, int64_t since, struct error *error)
{
    struct log_reader *reader;

    if (access(dir, R_OK | X_OK) < 0) {
        error_set_errno(error, ERROR_PERM, errno, "%s", dir);
        return NULL;
    }
    reader = mem_zalloc(sizeof *reader);
    reader->dir = mem_strdup(dir);
    reader->since = since;
    reader->inotify_fd = -1;
    map_init(&reader->files);
    return reader;
}

void log_reader_free(struct log_reader *reader)
{
    if (!reader)
        return;
    map_done(&reader->files, file_free);
    if (reader->inotify_fd >= 0)
        close(reader->inotify_fd);
    free(reader->dir);
    free(reader);
}

/* ---- which files there are ---- */

static struct file *file_new(const struct log_reader *reader, const char *name)
{
    char *path = mem_printf("%s/%s", reader->dir, name);
    struct file *file = mem_zalloc(sizeof *file);
    struct stat status;

    file->name = mem_strdup(name);
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    free(path);
    if (file->fd < 0)
        return file; /* gone again, or not for us */
    file->zstd = ZSTD_createDCtx();
    MUST(file->zstd != NULL);
    buf_init(&file->line, LINE_BYTES_MOST);
    if (fstat(file->fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        (!(status.st_mode & S_IWUSR) && status.st_mtime < reader->since))
        file_close(file);
    return file;
}

static int scan(struct log_reader *reader, struct error *error)
{
    DIR *dir = opendir(reader->dir);
    struct dirent *entry;

    if (!dir)
        return error_set_errno(error, ERROR_PERM, errno, "%s", reader->dir);
    while ((entry = readdir(dir))) {
        struct span name = span_of(entry->d_name);

        if (is_segment_name(entry->d_name) && !map_find(&reader->files, name))
            map_put(&reader->files, name, file_new(reader, entry->d_name));
    }
    closedir(dir);
    return 0;
}

/* ---- reading one ---- */

static void give_lines(struct file *file, struct span text, log_line_fn *on_line, void *ctx)
{
    while (text.len > 0) {
        size_t end = span_find(text, '\n');

        if (buf_append_span(&file->line, span_head(text, end)) < 0) {
            ctl_complain("%s: a line is longer than 256 MiB, the rest of the file is passed over", file->name);
            file_close(file);
            return;
        }
        if (end == text.len)
            return;
        on_line(ctx, buf_span(&file->line));
        buf_clear(&file->line);
        text = span_from(text, end + 1);
    }
}

static void decode(struct file *file, const char *data, size_t len, log_line_fn *on_line, void *ctx)
{
    ZSTD_inBuffer in = {data, len, 0};
    char text[1 << 16];
    ZSTD_outBuffer out;

    do {
        out = (ZSTD_outBuffer){text, sizeof text, 0};
        if (ZSTD_isError(ZSTD_decompressStream(file->zstd, &out, &in))) {
            ctl_complain("%s cannot be read to its end: it is not zstd, or damaged", file->name);
            file_close(file);
            return;
        }
        give_lines(file, span_make(text, out.pos), on_line, ctx);
    } while (file->fd >= 0 && (in.pos < in.size || out.pos == out.size));
}

static void read_file(struct file *file, log_line_fn *on_line, void *ctx)
{
    char data[1 << 16];
    struct stat status;
    ssize_t got;
    bool finished;

    if (file->fd < 0)
        return;
    /* Asked before reading: what is read-only now has no more to come. A file without a name was
     * replaced by its mended copy, of which all lines but a cut one were here already. */
    finished = fstat(file->fd, &status) < 0 || !(status.st_mode & S_IWUSR) || status.st_nlink == 0;
    while (file->fd >= 0 && (got = read(file->fd, data, sizeof data)) > 0)
        decode(file, data, (size_t)got, on_line, ctx);
    if (finished)
        file_close(file);
}

/* ---- all of them ---- */

static int by_name(const void *a, const void *b)
{
    const struct file *const *left = a, *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

int log_reader_read(struct log_reader *reader, log_line_fn *on_line, void *ctx, struct error *error)
{
    struct map_cursor cursor = {0};
    struct file **open_files;
    size_t count = 0;
    struct span name;
    void *value;

    if (scan(reader, error) < 0)
        return -1;
    open_files = mem_alloc((reader->files.count + 1) * sizeof *open_files);
    while (map_next(&reader->files, &cursor, &name, &value)) {
        struct file *file = value;

        if (file->fd >= 0)
            open_files[count++] = file;
    }
    qsort(open_files, count, sizeof *open_files, by_name);
    for (size_t i = 0; i < count; i++)
        read_file(open_files[i], on_line, ctx);
    free(open_files);
    return 0;
}

/* Only for whoever waits: the kernel takes some ten milliseconds to let go of a watch. */
static void watch(struct log_reader *reader)
{
    reader->is_watched = true;
    reader->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (reader->inotify_fd >= 0) /* without it, a look every second does */
        (void)inotify_add_watch(reader->inotify_fd, reader->dir, IN_MODIFY | IN_CREATE | IN_ATTRIB | IN_MOVED_TO);
}

void log_reader_wait(struct log_reader *reader)
{
    struct pollfd wait = {.events = POLLIN};
    char events[4096];

    if (!reader->is_watched) {
        watch(reader);
        return;
    }
    wait.fd = reader->inotify_fd;
    poll(&wait, 1, WAIT_MS);
    while (reader->inotify_fd >= 0 && read(reader->inotify_fd, events, sizeof events) > 0)
        ;
}
