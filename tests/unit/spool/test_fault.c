/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk that fails: every system call of a run fails once, or from some point on for a
 * while, with EIO or ENOSPC, and the promise must hold each time: what was answered well
 * is there, what was refused is there at most once, and when the disk works again so does
 * the spool, without a restart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/clock.h"

#include "workload.h"

enum failing { CALL_OPEN, CALL_ALLOCATE, CALL_WRITE, CALL_SYNC, CALL_SYNC_DIRECTORY, CALL_UNLINK, CALL_READ, CALLS };

static struct {
    enum failing call;
    int from;
    atomic_int count; /* fails passes from..from+count-1 */
    int with_errno;
    atomic_int passes;
} plan;

static bool fails(enum failing call)
{
    int pass;

    if (call != plan.call)
        return false;
    pass = atomic_fetch_add(&plan.passes, 1);
    errno = plan.with_errno;
    return pass >= plan.from && pass - plan.from < plan.count;
}

static int failing_open(int directory, const char *name, int flags, mode_t mode)
{
    return fails(CALL_OPEN) ? -1 : spool_io_real()->open_at(directory, name, flags, mode);
}

static int failing_allocate(int fd, off_t bytes)
{
    return fails(CALL_ALLOCATE) ? -1 : spool_io_real()->allocate(fd, bytes);
}

static ssize_t failing_write(int fd, const struct iovec *parts, int count, off_t at)
{
    if (!fails(CALL_WRITE))
        return spool_io_real()->write_at(fd, parts, count, at);
    /* half of it gets there first */
    struct iovec half = {.iov_base = parts[0].iov_base, .iov_len = parts[0].iov_len / 2};
    int saved = errno;

    (void)spool_io_real()->write_at(fd, &half, 1, at);
    errno = saved;
    return -1;
}

/* A failed sync has lost the data, whatever later syncs say. That is for the crash test;
 * here the data stays, and must not be shown as safe. */
static int failing_sync(int fd)
{
    (void)fd;
    return fails(CALL_SYNC) ? -1 : 0;
}

static int failing_sync_directory(int fd)
{
    (void)fd;
    return fails(CALL_SYNC_DIRECTORY) ? -1 : 0;
}

static int failing_unlink(int directory, const char *name)
{
    return fails(CALL_UNLINK) ? -1 : spool_io_real()->unlink_at(directory, name);
}

static ssize_t failing_read(int fd, void *data, size_t len, off_t at)
{
    return fails(CALL_READ) ? -1 : spool_io_real()->read_at(fd, data, len, at);
}

static atomic_uint_fast64_t now_us = 1000000;
/* every look at the clock takes a while: what is tried again each second is tried soon */
static uint64_t hasty_mono_us(void) { return atomic_fetch_add(&now_us, 20000); }
static int64_t fixed_wall_us(void) { return 1700000000000000; }

/* How many passes of the call there were. */
static int run_once(const char *path, enum failing call, int from, int count, int with_errno)
{
    struct spool_io io = *spool_io_real();
    struct clock_source clock = {hasty_mono_us, fixed_wall_us};
    struct accounts *accounts = accounts_new();
    unsigned seed = 7, before;
    struct spool *spool;
    int passes, broken;

    io.open_at = failing_open;
    io.allocate = failing_allocate;
    io.write_at = failing_write;
    io.sync_data = failing_sync;
    io.sync_directory = failing_sync_directory;
    io.unlink_at = failing_unlink;
    io.read_at = failing_read;
    clock_inject(&clock);
    spool_io_inject(&io);
    plan.call = call;
    plan.from = from;
    plan.count = count;
    plan.with_errno = with_errno;
    atomic_store(&plan.passes, 0);
    mkdir(path, 0700);
    {
        struct spool_config config = small_config(path);

        spool = spool_open(&config, NULL);
    }
    if (spool) {
        work(spool, accounts, 150, &seed);
        passes = atomic_load(&plan.passes);
        /* the disk works again, and soon so does the spool */
        plan.count = 0;
        for (before = accounts->used; accounts->used < before + 600;) {
            store_some(spool, accounts, 1);
            if (accounts->list[accounts->used - 1].state == STORED)
                break;
        }
        assert_int_equal(accounts->list[accounts->used - 1].state, STORED);
        spool_close(spool);
    } else {
        passes = atomic_load(&plan.passes);
    }
    spool_io_inject(NULL);
    clock_inject(NULL);
    broken = audit(path, accounts, true);
    broken += audit(path, accounts, true);
    if (broken)
        fprintf(stderr, "call %d, pass %d, %d times, errno %d\n", call, from, count, with_errno);
    assert_int_equal(broken, 0);
    accounts_free(accounts);
    remove_tree(path);
    return passes;
}

static void fail_each(const char *base, enum failing call, int with_errno, int most)
{
    char *path = mem_printf("%s/spool", base);
    int passes = run_once(path, call, 1 << 30, 1, with_errno);
    int step = passes / most + 1;

    for (int from = 0; from < passes; from += step) {
        run_once(path, call, from, 1, with_errno);
        run_once(path, call, from, 9, with_errno);
    }
    free(path);
}

static void open_fails(void **state) { fail_each(*state, CALL_OPEN, EMFILE, 40); }
static void allocation_fails(void **state) { fail_each(*state, CALL_ALLOCATE, ENOSPC, 40); }
static void writing_fails(void **state) { fail_each(*state, CALL_WRITE, EIO, 60); }
static void writing_finds_no_space(void **state) { fail_each(*state, CALL_WRITE, ENOSPC, 20); }
static void syncing_fails(void **state) { fail_each(*state, CALL_SYNC, EIO, 60); }
static void syncing_the_directory_fails(void **state) { fail_each(*state, CALL_SYNC_DIRECTORY, EIO, 40); }
static void unlinking_fails(void **state) { fail_each(*state, CALL_UNLINK, EACCES, 20); }

static void reading_fails(void **state) { fail_each(*state, CALL_READ, EIO, 20); }

/* A full disk: new mail is refused as "again", what is there can still be removed, and
 * that alone makes room. */
static void a_full_disk_refuses_and_recovers(void **state)
{
    struct spool_io io = *spool_io_real();
    struct clock_source clock = {hasty_mono_us, fixed_wall_us};
    struct spool *spool = open_small(*state);
    static char space[3000];
    uint64_t refs[400], extra;
    int count = 0;

    spool_close(spool);
    io.allocate = failing_allocate;
    io.sync_data = failing_sync;
    plan.call = CALL_ALLOCATE;
    plan.from = 2;
    plan.count = 1 << 30;
    plan.with_errno = ENOSPC;
    atomic_store(&plan.passes, 0);
    clock_inject(&clock);
    spool_io_inject(&io);
    spool = open_small(*state);
    while (count < 400 && (refs[count] = store_one(spool, "x", span_make(space, sizeof space))))
        count++;
    assert_in_range(count, 10, 399);
    {
        struct spool_item item = {.record = SPAN_LIT("x"), .body = bytes_copy(span_make(space, sizeof space))};

        assert_int_equal(store_items(spool, &item, 1), ERROR_AGAIN);
        bytes_unref(&item.body);
    }
    assert_false(spool_accepts(spool));
    for (int i = 0; i < count; i++)
        spool_remove(spool, refs[i]);
    do
        extra = store_one(spool, "y", span_make(space, sizeof space));
    while (!extra || !spool_accepts(spool));
    spool_close(spool);
    clock_inject(NULL);
}

/* ---- a name that a power cut brings back ---- */

static char *graveyard;
static atomic_int unlinked;
static atomic_bool disk_is_bad;

/* Keeps what is unlinked. */
static int burying_unlink(int directory, const char *name)
{
    char *grave = mem_printf("%s/%s", graveyard, name);

    if (!linkat(directory, name, AT_FDCWD, grave, 0))
        atomic_fetch_add(&unlinked, 1);
    free(grave);
    return spool_io_real()->unlink_at(directory, name);
}

static int bad_sync(int fd)
{
    (void)fd;
    errno = EIO;
    return atomic_load(&disk_is_bad) ? -1 : 0;
}

/* Fails once: the next one says that all is well, as Linux does. */
static int forgetful_sync_directory(int fd)
{
    static int told;

    (void)fd;
    errno = EIO;
    return atomic_load(&unlinked) && !told++ ? -1 : 0;
}

static void let_mail_pass(struct spool *spool, int count)
{
    static char space[3000];

    for (int i = 0; i < count; i++)
        spool_remove(spool, store_one(spool, "passes", span_make(space, sizeof space)));
}

static size_t count_in(const struct picture *picture, const char *record)
{
    size_t count = 0;

    for (size_t i = 0; i < picture->count; i++)
        count += !strcmp(picture->list[i].record, record);
    return count;
}

static size_t count_seen(struct spool *spool, const char *record)
{
    struct picture picture = enumerate(spool);
    size_t count = count_in(&picture, record);

    drop_picture(&picture);
    return count;
}

/* A segment that was abandoned, emptied and unlinked while the directory's sync failed comes back after a power cut:
 * what had left by then must not come back with it, however much was written since. */
static void what_was_not_unlinked_for_sure_brings_nothing_back(void **state)
{
    struct spool_io io = *spool_io_real();
    struct clock_source clock = {hasty_mono_us, fixed_wall_us};
    char *path = mem_printf("%s/spool", (char *)*state);
    struct spool *spool;
    uint64_t gone;

    graveyard = mem_printf("%s/graveyard", (char *)*state);
    mkdir(graveyard, 0700);
    io.unlink_at = burying_unlink;
    io.sync_data = bad_sync;
    io.sync_directory = forgetful_sync_directory;
    clock_inject(&clock);
    spool_io_inject(&io);
    spool = open_small(path);
    gone = store_one(spool, "gone", SPAN_LIT("body"));
    atomic_store(&disk_is_bad, true);
    assert_int_equal(store_one(spool, "refused", SPAN_LIT("body")), 0);
    atomic_store(&disk_is_bad, false);
    while (!atomic_load(&unlinked))
        let_mail_pass(spool, 1);
    let_mail_pass(spool, 20); /* and it is tried again, if it is */
    spool_remove(spool, gone);
    let_mail_pass(spool, 200); /* the copy's segment goes, and then that with the mark could */
    spool_close(spool);
    spool_io_inject(NULL);
    clock_inject(NULL);

    copy_tree(graveyard, path);
    spool = open_small(path);
    assert_int_equal(count_seen(spool, "gone"), 0);
    spool_close(spool);
    remove_tree(graveyard);
    remove_tree(path);
    free(graveyard);
    free(path);
}

/* ---- marks that are moved in more than one write ---- */

#define MARKS_SEGMENT 131072
#define ROUNDS 4
#define PER_ROUND 1300 /* messages: two rounds fill a segment, nearly */
#define ONE_STAYS_OF 26
/* what compaction writes of marks at once, where there are more */
#define MARKS_AT_ONCE (FRAME_HEADER_BYTES + 4096 * MARK_BYTES)
/* a body that leaves no room for a mark behind it, with a record of up to 8 bytes */
#define FILLS_SEGMENT (MARKS_SEGMENT - SEGMENT_HEADER_BYTES - FRAME_HEADER_BYTES - ITEM_BYTES - 8)

static atomic_bool marks_failed;

static ssize_t write_but_not_the_marks(int fd, const struct iovec *parts, int count, off_t at)
{
    size_t total = 0;

    for (int i = 0; i < count; i++)
        total += parts[i].iov_len;
    if (total != MARKS_AT_ONCE || atomic_exchange(&marks_failed, true))
        return spool_io_real()->write_at(fd, parts, count, at);
    errno = EIO;
    return -1;
}

static struct spool *open_for_marks(const char *path)
{
    struct spool_config config = {.name = "test", .path = path, .flush = true, .segment_bytes = MARKS_SEGMENT};

    return spool_open(&config, NULL);
}

static void store_round(struct spool *spool, uint64_t refs[PER_ROUND])
{
    static struct spool_item items[PER_ROUND];
    struct bytes *body = bytes_copy(SPAN_LIT("the body"));

    for (size_t i = 0; i < PER_ROUND; i++)
        items[i] = (struct spool_item){.record = SPAN_LIT("a record"), .body = body};
    assert_int_equal(store_items(spool, items, PER_ROUND), ERROR_NONE);
    for (size_t i = 0; i < PER_ROUND; i++)
        refs[i] = items[i].ref;
    bytes_unref(&body);
}

/* A segment with 5000 marks in it, needed because some of what was with those they delete is still there; and then the
 * power fails. */
static void leave_many_marks(const char *path, const char *copy)
{
    static uint64_t refs[ROUNDS * PER_ROUND];
    static char space[FILLS_SEGMENT];
    struct spool *spool = open_for_marks(path);
    struct spool_stats stats = {0};
    struct picture none = enumerate(spool);
    uint64_t removed = 0;

    drop_picture(&none);
    for (size_t i = 0; i < ROUNDS; i++)
        store_round(spool, refs + i * PER_ROUND);
    assert_true(store_one(spool, "fills it", span_make(space, sizeof space)));
    for (size_t i = 0; i < ROUNDS * PER_ROUND; i++)
        if (i % ONE_STAYS_OF) {
            spool_remove(spool, refs[i]);
            removed++;
        }
    while (stats.removed < removed) {
        sched_yield();
        spool_get_stats(spool, &stats);
    }
    copy_tree(path, copy);
    spool_close(spool);
}

/* The write that fails is made to make room for the next: the segment that is being emptied is not any more then. */
static void a_failed_write_of_many_marks_gives_up_that_segment_alone(void **state)
{
    struct spool_io io = *spool_io_real();
    char *path = mem_printf("%s/spool", (char *)*state), *copy = mem_printf("%s/copy", (char *)*state);
    static char space[56000]; /* leaves room for 4096 marks, and not for the others */
    struct picture picture;
    struct spool *spool;

    leave_many_marks(path, copy);
    io.write_at = write_but_not_the_marks;
    spool_io_inject(&io);
    spool = open_for_marks(copy);
    assert_true(store_one(spool, "takes room", span_make(space, sizeof space)));
    picture = enumerate(spool);
    drop_picture(&picture);
    while (!atomic_load(&marks_failed))
        sched_yield();
    assert_true(store_one(spool, "after that", SPAN_LIT("body")));
    spool_close(spool);
    spool_io_inject(NULL);

    spool = open_for_marks(copy);
    picture = enumerate(spool);
    assert_int_equal(count_in(&picture, "a record"), ROUNDS * PER_ROUND / ONE_STAYS_OF);
    assert_int_equal(count_in(&picture, "fills it"), 1);
    assert_int_equal(count_in(&picture, "takes room"), 1);
    assert_int_equal(count_in(&picture, "after that"), 1);
    drop_picture(&picture);
    spool_close(spool);
    remove_tree(path);
    remove_tree(copy);
    free(path);
    free(copy);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_fails),
        TEST(allocation_fails),
        TEST(writing_fails),
        TEST(writing_finds_no_space),
        TEST(syncing_fails),
        TEST(syncing_the_directory_fails),
        TEST(unlinking_fails),
        TEST(a_full_disk_refuses_and_recovers),
        TEST(reading_fails),
        TEST(what_was_not_unlinked_for_sure_brings_nothing_back),
        TEST(a_failed_write_of_many_marks_gives_up_that_segment_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
