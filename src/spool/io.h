/* SPDX-License-Identifier: Apache-2.0
 *
 * The system calls the spool makes on its files, as a table, so that tests can make the
 * n-th one fail or take the power away.
 */
#ifndef GATEPOST_SPOOL_IO_H
#define GATEPOST_SPOOL_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

struct spool_io {
    int (*open_at)(int directory, const char *name, int flags, mode_t mode);
    int (*allocate)(int fd, off_t bytes); /* 0, or -1 with errno */
    ssize_t (*write_at)(int fd, const struct iovec *parts, int count, off_t at);
    ssize_t (*read_at)(int fd, void *data, size_t len, off_t at);
    int (*sync_data)(int fd);
    int (*sync_directory)(int fd);
    int (*unlink_at)(int directory, const char *name);
    int (*rename_at)(int directory, const char *from, const char *to);
    int (*free_space)(int fd, struct statvfs *out);
};

/* NULL puts the real calls back. For tests, while no spool is open. */
void spool_io_inject(const struct spool_io *io);
const struct spool_io *spool_io(void);
const struct spool_io *spool_io_real(void);

/* Reads all of it: 0, or -1 with errno (EIO when the file is too short). */
int spool_read_fully(int fd, void *data, size_t len, uint64_t at) __attribute__((warn_unused_result));

/* Writes all of it; changes `parts` on the way. */
int spool_write_fully(int fd, struct iovec *parts, size_t count, uint64_t at) __attribute__((warn_unused_result));

#endif
