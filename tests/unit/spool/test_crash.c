/* SPDX-License-Identifier: Apache-2.0
 *
 * The power goes. A child works on a spool and is killed before or after its n-th system
 * call, for many n, or at a named fault point; what it had not synced is then taken away
 * (some of it at random was written back early, as kernels do), and the spool that is left
 * is held to what the child had been told. Several lives follow each other on one disk.
 *
 * The same run with syncs that do nothing must break the promise, or this test proves
 * nothing; and so it is run that way, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "base/fault.h"

#include "workload.h"

#define SECTOR 512

/* What a child's disk would hold without power: data-<inode> under every durable name. */
struct pending {
    struct pending *next;
    ino_t inode;
    off_t at;
    size_t len;
    char data[];
};

struct naming {
    struct naming *next;
    char name[32];
    ino_t inode; /* 0: unlinked */
};

static struct {
    pthread_mutex_t lock;
    int shadow; /* the directory */
    struct pending *first, **last;
    struct naming *first_naming, **last_naming;
    bool data_syncs_lie, directory_syncs_lie;
    int kill_at; /* calls from now; odd numbers kill after the call, even ones before */
    unsigned seed;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void name_data(ino_t inode, char out[40]) { snprintf(out, 40, "data-%llu", (unsigned long long)inode); }

static void write_shadow(ino_t inode, const char *data, size_t len, off_t at)
{
    char name[40];
    int fd;

    name_data(inode, name);
    fd = openat(disk.shadow, name, O_WRONLY);
    MUST(fd >= 0 && pwrite(fd, data, len, at) == (ssize_t)len);
    close(fd);
}

static void step(void)
{
    if (--disk.kill_at == 0)
        raise(SIGKILL);
}

#define BEFORE()                                                                                                       \
    pthread_mutex_lock(&disk.lock);                                                                                    \
    step()
#define AFTER()                                                                                                        \
    step();                                                                                                            \
    pthread_mutex_unlock(&disk.lock)

static ino_t inode_of(int fd)
{
    struct stat found;

    MUST(!fstat(fd, &found));
    return found.st_ino;
}

static void add_naming(const char *name, ino_t inode)
{
    struct naming *naming = mem_zalloc(sizeof *naming);

    snprintf(naming->name, sizeof naming->name, "%s", name);
    naming->inode = inode;
    *disk.last_naming = naming;
    disk.last_naming = &naming->next;
}

static void begin_shadow_file(ino_t inode)
{
    char name[40];

    name_data(inode, name);
    unlinkat(disk.shadow, name, 0);
    close(openat(disk.shadow, name, O_WRONLY | O_CREAT | O_EXCL, 0600));
}

static int disk_open(int directory, const char *name, int flags, mode_t mode)
{
    int fd;

    BEFORE();
    fd = spool_io_real()->open_at(directory, name, flags, mode);
    if (fd >= 0 && flags & O_CREAT) {
        begin_shadow_file(inode_of(fd));
        add_naming(name, inode_of(fd));
    }
    AFTER();
    return fd;
}

static int disk_allocate(int fd, off_t bytes)
{
    char name[40];
    int status;

    BEFORE();
    status = ftruncate(fd, bytes);
    name_data(inode_of(fd), name);
    if (!status) {
        int shadow = openat(disk.shadow, name, O_WRONLY);

        status = ftruncate(shadow, bytes);
        close(shadow);
    }
    AFTER();
    return status;
}

/* Some sectors reach the disk before anyone asked for it. */
static void write_back_early(const struct pending *pending)
{
    if (chance(&disk.seed) % 4)
        return;
    for (size_t i = 0; i < pending->len; i += SECTOR)
        if (chance(&disk.seed) % 2)
            write_shadow(pending->inode, pending->data + i, pending->len - i < SECTOR ? pending->len - i : SECTOR,
                         pending->at + (off_t)i);
}

static ssize_t disk_write(int fd, const struct iovec *parts, int count, off_t at)
{
    struct pending *pending;
    size_t len = 0;
    ssize_t put;

    BEFORE();
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    pending = mem_zalloc(sizeof *pending + len);
    pending->inode = inode_of(fd);
    pending->at = at;
    for (int i = 0; i < count; i++) {
        memcpy(pending->data + pending->len, parts[i].iov_base, parts[i].iov_len);
        pending->len += parts[i].iov_len;
    }
    *disk.last = pending;
    disk.last = &pending->next;
    write_back_early(pending);
    put = pwritev(fd, parts, count, at);
    MUST(put == (ssize_t)len);
    AFTER();
    return put;
}

static int disk_sync(int fd)
{
    ino_t inode = inode_of(fd);

    BEFORE();
    for (struct pending **at = &disk.first; *at && !disk.data_syncs_lie;) {
        struct pending *pending = *at;

        if (pending->inode != inode) {
            at = &pending->next;
            continue;
        }
        write_shadow(inode, pending->data, pending->len, pending->at);
        *at = pending->next;
        free(pending);
    }
    for (disk.last = &disk.first; *disk.last; disk.last = &(*disk.last)->next)
        ;
    AFTER();
    return 0;
}

static int disk_sync_directory(int fd)
{
    (void)fd;
    BEFORE();
    while (disk.first_naming && !disk.directory_syncs_lie) {
        struct naming *naming = disk.first_naming;
        char data[40];

        name_data(naming->inode, data);
        unlinkat(disk.shadow, naming->name, 0);
        if (naming->inode)
            MUST(!linkat(disk.shadow, data, disk.shadow, naming->name, 0));
        disk.first_naming = naming->next;
        free(naming);
    }
    if (!disk.first_naming)
        disk.last_naming = &disk.first_naming;
    AFTER();
    return 0;
}

static int disk_unlink(int directory, const char *name)
{
    int status;

    BEFORE();
    status = spool_io_real()->unlink_at(directory, name);
    if (!status)
        add_naming(name, 0);
    AFTER();
    return status;
}

/* ---- the child ---- */

struct run {
    char *path, *shadow;
    struct accounts *accounts;
    int kill_at;
    const char *fault; /* or NULL */
    bool data_syncs_lie, directory_syncs_lie;
    unsigned seed, steps;
};

static void make_shadow(const struct run *run)
{
    DIR *directory = opendir(run->path);
    struct dirent *found;

    remove_tree(run->shadow);
    copy_tree(run->path, run->shadow);
    disk.shadow = open(run->shadow, O_RDONLY | O_DIRECTORY);
    while ((found = readdir(directory))) {
        struct stat status;
        char data[40];

        if (found->d_name[0] == '.')
            continue;
        MUST(!fstatat(dirfd(directory), found->d_name, &status, 0));
        name_data(status.st_ino, data);
        MUST(!linkat(disk.shadow, found->d_name, disk.shadow, data, 0));
    }
    closedir(directory);
}

static void live(const struct run *run)
{
    static struct spool_io io;
    struct picture picture;
    struct spool *spool;
    unsigned seed = run->seed;

    io = *spool_io_real();
    io.open_at = disk_open;
    io.allocate = disk_allocate;
    io.write_at = disk_write;
    io.sync_data = disk_sync;
    io.sync_directory = disk_sync_directory;
    io.unlink_at = disk_unlink;
    disk.last = &disk.first;
    disk.last_naming = &disk.first_naming;
    disk.data_syncs_lie = run->data_syncs_lie;
    disk.directory_syncs_lie = run->directory_syncs_lie;
    disk.kill_at = run->kill_at;
    disk.seed = run->seed;
    make_shadow(run);
    spool_io_inject(&io);
#ifdef GATEPOST_FAULT_POINTS
    fault_set(run->fault);
#endif
    test_loop = loop_new("child", NULL);
    spool = open_small(run->path);
    if (!spool)
        raise(SIGKILL); /* a start that fails breaks no promise */
    picture = enumerate(spool);
    drop_picture(&picture);
    work(spool, run->accounts, run->steps, &seed);
    spool_close(spool);
    raise(SIGKILL);
}

/* One life and its end: what is on `path` after is what the disk kept. */
static void live_and_die(const struct run *run)
{
    pid_t child = fork();
    DIR *directory;
    struct dirent *found;
    int status;

    if (child == 0) {
        live(run);
        _exit(1);
    }
    MUST(waitpid(child, &status, 0) == child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    remove_tree(run->path);
    directory = opendir(run->shadow);
    while ((found = readdir(directory)))
        if (!strncmp(found->d_name, "data-", 5))
            unlinkat(dirfd(directory), found->d_name, 0);
    closedir(directory);
    copy_tree(run->shadow, run->path);
}

/* Several lives on one disk; the number of broken promises. */
static int lives(const char *base, struct run run, int count, int kill_step, bool loud)
{
    int broken = 0;

    run.path = mem_printf("%s/spool", base);
    run.shadow = mem_printf("%s/shadow", base);
    run.accounts = accounts_new();
    mkdir(run.path, 0700);
    for (int i = 0; i < count && !broken; i++) {
        live_and_die(&run);
        broken = audit(run.path, run.accounts, loud);
        if (broken && loud)
            fprintf(stderr, "life %d, killed at %d or %s, seed %u\n", i, run.kill_at, run.fault ? run.fault : "-",
                    run.seed);
        run.kill_at += kill_step;
        run.seed++;
    }
    accounts_free(run.accounts);
    remove_tree(run.path);
    remove_tree(run.shadow);
    free(run.path);
    free(run.shadow);
    return broken;
}

static void killed_around_every_call(void **state)
{
    /* each disk sees six lives of growing length; together they end at every call up to
     * 240, and then here and there up to several thousand */
    for (int at = 1; at <= 40; at++)
        assert_int_equal(lives(*state, (struct run){.kill_at = at, .seed = (unsigned)at, .steps = 400}, 6, 40, true),
                         0);
    for (int at = 301; at < 2500; at += 137)
        assert_int_equal(lives(*state, (struct run){.kill_at = at, .seed = (unsigned)at, .steps = 400}, 4, 61, true),
                         0);
}

static void killed_at_every_fault_point(void **state)
{
#ifdef GATEPOST_FAULT_POINTS
    static const char *const points[] = {"spool.append",         "spool.written",         "spool.synced",
                                         "spool.remove",         "spool.segment.made",    "spool.segment.begin",
                                         "spool.directory.sync", "spool.compact",         "spool.compact.marks",
                                         "spool.release",        "spool.release.written", "spool.unlink"};

    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
        for (int pass = 1; pass < 200; pass = pass * 3 + 1) {
            char *kill = mem_printf("%s:%d:kill", points[i], pass), *error = mem_printf("%s:%d:error", points[i], pass);

            assert_int_equal(
                lives(*state, (struct run){.fault = kill, .seed = (unsigned)pass, .steps = 250}, 3, 0, true), 0);
            assert_int_equal(
                lives(*state, (struct run){.fault = error, .seed = (unsigned)pass, .steps = 250}, 2, 0, true), 0);
            free(kill);
            free(error);
        }
#else
    (void)state;
    skip();
#endif
}

static void lying_syncs_are_found_out(void **state)
{
    struct run run = {.kill_at = 900, .seed = 5, .steps = 400};

    run.data_syncs_lie = true;
    assert_true(lives(*state, run, 3, 10, false) > 0);
    run.data_syncs_lie = false;
    run.directory_syncs_lie = true;
    assert_true(lives(*state, run, 3, 10, false) > 0);
    run.directory_syncs_lie = false;
    assert_int_equal(lives(*state, run, 3, 10, true), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(killed_around_every_call),
        TEST(killed_at_every_fault_point),
        TEST(lying_syncs_are_found_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
