/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into the daemon: the n-th call that touches a file below GATEPOST_FAULT_UNDER (paths
 * with colons between) fails, or the process dies just before it. Any build will do: nothing
 * is compiled in. Which kinds of calls count, which of them, and what becomes of it, the
 * control file says.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "control.h"

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static bool is_under(const char *path)
{
    const char *at = getenv("GATEPOST_FAULT_UNDER");

    while (at && *at) {
        size_t len = strcspn(at, ":");

        if (len && !strncmp(path, at, len) && (path[len] == '/' || path[len] == '\0'))
            return true;
        at += len + (at[len] == ':');
    }
    return false;
}

static bool descriptor_is_under(int fd)
{
    char link[64], path[PATH_MAX];
    ssize_t len;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof path - 1);
    if (len < 0)
        return false;
    path[len] = '\0';
    return is_under(path);
}

static bool name_is_under(int directory, const char *name)
{
    return name[0] == '/' || directory == AT_FDCWD ? is_under(name) : descriptor_is_under(directory);
}

/* True when the call is to fail; errno is set. `here`: it touches what is watched. */
static bool fails(enum fault_kind kind, bool here)
{
    struct fault_control *control = fault_control();

    if (!control || !here || !(atomic_load(&control->kinds) & kind) || !fault_fires(&control->calls))
        return false;
    if (atomic_load(&control->outcome) == FAULT_KILL)
        raise(SIGKILL);
    errno = (int)atomic_load(&control->outcome);
    return true;
}

static mode_t mode_in(int flags, va_list args) { return flags & O_CREAT ? va_arg(args, mode_t) : 0; }

int open64(const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = mode_in(flags, args);
    va_end(args);
    return fails(FAULT_OPEN, name_is_under(AT_FDCWD, path)) ? -1 : REAL(open64)(path, flags, mode);
}

int openat64(int directory, const char *name, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = mode_in(flags, args);
    va_end(args);
    return fails(FAULT_OPEN, name_is_under(directory, name)) ? -1 : REAL(openat64)(directory, name, flags, mode);
}

int posix_fallocate64(int fd, off64_t at, off64_t len)
{
    return fails(FAULT_ALLOCATE, descriptor_is_under(fd)) ? errno : REAL(posix_fallocate64)(fd, at, len);
}

/* A write that fails half way: what a full or broken disk leaves behind is a torn tail. */
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    if (!fails(FAULT_WRITE, descriptor_is_under(fd)))
        return REAL(pwritev64)(fd, parts, count, at);
    if (count > 0 && parts[0].iov_len > 1) {
        int error = errno;
        struct iovec half = {parts[0].iov_base, parts[0].iov_len / 2};

        (void)!REAL(pwritev64)(fd, &half, 1, at);
        errno = error;
    }
    return -1;
}

ssize_t pread64(int fd, void *data, size_t len, off64_t at)
{
    return fails(FAULT_READ, descriptor_is_under(fd)) ? -1 : REAL(pread64)(fd, data, len, at);
}

ssize_t read(int fd, void *data, size_t len)
{
    return fails(FAULT_READ, descriptor_is_under(fd)) ? -1 : REAL(read)(fd, data, len);
}

ssize_t write(int fd, const void *data, size_t len)
{
    return fails(FAULT_WRITE, descriptor_is_under(fd)) ? -1 : REAL(write)(fd, data, len);
}

int fdatasync(int fd) { return fails(FAULT_SYNC, descriptor_is_under(fd)) ? -1 : REAL(fdatasync)(fd); }

int fsync(int fd) { return fails(FAULT_SYNC, descriptor_is_under(fd)) ? -1 : REAL(fsync)(fd); }

int rename(const char *from, const char *to)
{
    return fails(FAULT_RENAME, name_is_under(AT_FDCWD, from)) ? -1 : REAL(rename)(from, to);
}

int renameat(int old, const char *from, int new, const char *to)
{
    return fails(FAULT_RENAME, name_is_under(old, from)) ? -1 : REAL(renameat)(old, from, new, to);
}

int unlink(const char *path) { return fails(FAULT_UNLINK, name_is_under(AT_FDCWD, path)) ? -1 : REAL(unlink)(path); }

int unlinkat(int directory, const char *name, int flags)
{
    return fails(FAULT_UNLINK, name_is_under(directory, name)) ? -1 : REAL(unlinkat)(directory, name, flags);
}

int ftruncate64(int fd, off64_t len)
{
    return fails(FAULT_TRUNCATE, descriptor_is_under(fd)) ? -1 : REAL(ftruncate64)(fd, len);
}
