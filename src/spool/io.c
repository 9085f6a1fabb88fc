/* SPDX-License-Identifier: Apache-2.0
 *
 * The real calls, and the two loops that deal with short reads and writes.
 */
#include "spool/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static int real_open_at(int directory, const char *name, int flags, mode_t mode)
{
    return openat(directory, name, flags, mode);
}

static int real_allocate(int fd, off_t bytes)
{
    int status = posix_fallocate(fd, 0, bytes);

    errno = status;
    return status ? -1 : 0;
}

static ssize_t real_write_at(int fd, const struct iovec *parts, int count, off_t at)
{
    return pwritev(fd, parts, count, at);
}

static ssize_t real_read_at(int fd, void *data, size_t len, off_t at) { return pread(fd, data, len, at); }

static int real_unlink_at(int directory, const char *name) { return unlinkat(directory, name, 0); }

static int real_rename_at(int directory, const char *from, const char *to)
{
    return renameat(directory, from, directory, to);
}

static const struct spool_io real = {
    .open_at = real_open_at,
    .allocate = real_allocate,
    .write_at = real_write_at,
    .read_at = real_read_at,
    .sync_data = fdatasync,
    .sync_directory = fsync,
    .unlink_at = real_unlink_at,
    .rename_at = real_rename_at,
    .free_space = fstatvfs,
};

static const struct spool_io *in_use = &real;

void spool_io_inject(const struct spool_io *io) { in_use = io ? io : &real; }

const struct spool_io *spool_io(void) { return in_use; }

const struct spool_io *spool_io_real(void) { return &real; }

int spool_read_fully(int fd, void *data, size_t len, uint64_t at)
{
    char *to = data;

    while (len) {
        ssize_t got = in_use->read_at(fd, to, len, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = EIO;
        if (got <= 0)
            return -1;
        to += got;
        len -= (size_t)got;
        at += (uint64_t)got;
    }
    return 0;
}

static void skip(struct iovec **parts, size_t *count, size_t bytes)
{
    while (*count && bytes >= (*parts)->iov_len) {
        bytes -= (*parts)->iov_len;
        (*parts)++;
        (*count)--;
    }
    if (bytes) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + bytes;
        (*parts)->iov_len -= bytes;
    }
}

int spool_write_fully(int fd, struct iovec *parts, size_t count, uint64_t at)
{
    while (count) {
        ssize_t put = in_use->write_at(fd, parts, count < IOV_MAX ? (int)count : IOV_MAX, (off_t)at);

        if (put < 0 && errno == EINTR)
            continue;
        if (put == 0)
            errno = ENOSPC;
        if (put <= 0)
            return -1;
        skip(&parts, &count, (size_t)put);
        at += (uint64_t)put;
    }
    return 0;
}
