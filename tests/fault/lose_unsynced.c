/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into the daemon: keeps a journal outside it from which a power cut can be played
 * after a kill. Before each change to a file below GATEPOST_POWER_UNDER, what was there is
 * appended to GATEPOST_POWER_JOURNAL; after each sync, that it was synced. tools/crash then takes
 * back, in reverse, what no sync covered (some sectors at random stay, as when the kernel wrote
 * them early).
 *
 * With GATEPOST_POWER_SYNCS=lie a sync does nothing and says it went well: then mail must be
 * seen to be lost, or the whole exercise proves nothing.
 *
 * The real sync is never made: the kernel outlives the daemon, and the journal is the disk.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum entry_kind { WRITTEN = 1, SYNCED, MADE, DIRECTORY_SYNCED, UNLINKED, SIZED };

/* Followed by `name_len` bytes of a name and `len` bytes that were there before. */
struct entry {
    uint32_t kind;
    uint32_t name_len;
    uint64_t inode;
    uint64_t at;
    uint64_t len;
    uint64_t old_size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what)
{
    fprintf(stderr, "lose_unsynced: %s: %m\n", what);
    _exit(99);
}

static void note(const struct entry *entry, const char *name, const void *before)
{
    struct iovec parts[] = {
        {(void *)entry, sizeof *entry}, {(void *)name, entry->name_len}, {(void *)before, entry->len}};
    int fd = REAL(open64)(getenv("GATEPOST_POWER_JOURNAL"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    ssize_t all = (ssize_t)(sizeof *entry + entry->name_len + entry->len);

    if (fd < 0 || writev(fd, parts, 3) != all)
        die("journal");
    close(fd);
}

static void descriptor_link(int fd, char out[64]) { snprintf(out, 64, "/proc/self/fd/%d", fd); }

static bool is_watched(int fd)
{
    const char *under = getenv("GATEPOST_POWER_UNDER");
    char link[64], path[PATH_MAX];
    ssize_t len;

    descriptor_link(fd, link);
    len = readlink(link, path, sizeof path - 1);
    if (!under || len < 0)
        return false;
    path[len] = '\0';
    return !strncmp(path, under, strlen(under));
}

static bool syncs_lie(void)
{
    const char *setting = getenv("GATEPOST_POWER_SYNCS");

    return setting && !strcmp(setting, "lie");
}

static struct stat look(int fd)
{
    struct stat found;

    if (fstat(fd, &found))
        die("fstat");
    return found;
}

static void note_write(int fd, off64_t at, size_t len)
{
    struct stat now = look(fd);
    struct entry entry = {WRITTEN, 0, now.st_ino, (uint64_t)at, 0, (uint64_t)now.st_size};
    char link[64], *before = malloc(len ? len : 1);
    int reader;
    ssize_t got;

    descriptor_link(fd, link);
    reader = REAL(open64)(link, O_RDONLY | O_CLOEXEC);
    got = before && reader >= 0 ? REAL(pread64)(reader, before, len, at) : -1;
    if (got < 0)
        die("before-image");
    /* behind the end there was nothing, which reads as zeros */
    memset(before + got, 0, len - (size_t)got);
    close(reader);
    entry.len = len;
    note(&entry, "", before);
    free(before);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    size_t len = 0;
    ssize_t put;

    if (!is_watched(fd))
        return REAL(pwritev64)(fd, parts, count, at);
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    pthread_mutex_lock(&lock);
    note_write(fd, at, len);
    put = REAL(pwritev64)(fd, parts, count, at);
    pthread_mutex_unlock(&lock);
    return put;
}

int posix_fallocate64(int fd, off64_t at, off64_t len)
{
    struct entry entry = {.kind = SIZED};
    struct stat now;
    int status;

    if (!is_watched(fd))
        return REAL(posix_fallocate64)(fd, at, len);
    pthread_mutex_lock(&lock);
    now = look(fd);
    entry.inode = now.st_ino;
    entry.old_size = (uint64_t)now.st_size;
    note(&entry, "", NULL);
    status = REAL(posix_fallocate64)(fd, at, len);
    pthread_mutex_unlock(&lock);
    return status;
}

static int sync_one(int fd)
{
    struct stat now = look(fd);
    struct entry entry = {.kind = S_ISDIR(now.st_mode) ? DIRECTORY_SYNCED : SYNCED, .inode = now.st_ino};

    if (syncs_lie())
        return 0;
    pthread_mutex_lock(&lock);
    note(&entry, "", NULL);
    pthread_mutex_unlock(&lock);
    return 0;
}

int fdatasync(int fd) { return is_watched(fd) ? sync_one(fd) : REAL(fdatasync)(fd); }

int fsync(int fd) { return is_watched(fd) ? sync_one(fd) : REAL(fsync)(fd); }

static void note_name(enum entry_kind kind, const char *name, ino_t inode)
{
    struct entry entry = {.kind = kind, .name_len = (uint32_t)strlen(name), .inode = inode};

    note(&entry, name, NULL);
}

int openat64(int directory, const char *name, int flags, ...)
{
    va_list args;
    mode_t mode = 0;
    int fd;

    va_start(args, flags);
    if (flags & O_CREAT)
        mode = va_arg(args, mode_t);
    va_end(args);
    if (!(flags & O_CREAT) || directory == AT_FDCWD || !is_watched(directory))
        return REAL(openat64)(directory, name, flags, mode);
    pthread_mutex_lock(&lock);
    if (faccessat(directory, name, F_OK, 0) != 0)
        note_name(MADE, name, 0);
    fd = REAL(openat64)(directory, name, flags, mode);
    pthread_mutex_unlock(&lock);
    return fd;
}

/* The file stays under another name until it is known whether the unlinking lasts. */
static void keep(int directory, const char *name)
{
    struct stat now;
    char path[PATH_MAX];

    if (fstatat(directory, name, &now, 0))
        return;
    snprintf(path, sizeof path, "%s/%llu", getenv("GATEPOST_POWER_KEEP"), (unsigned long long)now.st_ino);
    if (linkat(directory, name, AT_FDCWD, path, 0) && errno != EEXIST)
        die(path);
    note_name(UNLINKED, name, now.st_ino);
}

int unlinkat(int directory, const char *name, int flags)
{
    int status;

    if (!is_watched(directory))
        return REAL(unlinkat)(directory, name, flags);
    pthread_mutex_lock(&lock);
    keep(directory, name);
    status = REAL(unlinkat)(directory, name, flags);
    pthread_mutex_unlock(&lock);
    return status;
}
