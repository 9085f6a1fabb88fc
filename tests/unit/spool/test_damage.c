/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk that gives back something else than was written, or nothing, while the spool is in use: it costs what was
 * damaged, and is told; nothing else is lost, and nothing that was deleted stays away for good at another's cost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>

#include "base/clock.h"

#include "helper.h"

/* Every place in segment files that holds these bytes gets another first byte. Returns how many there were. */
static unsigned damage(const char *path, const void *bytes, size_t len)
{
    DIR *directory = opendir(path);
    struct dirent *found;
    unsigned count = 0;
    static char data[8 << 20];

    while ((found = readdir(directory))) {
        int fd = strncmp(found->d_name, "segment-", 8) ? -1 : openat(dirfd(directory), found->d_name, O_RDWR);
        ssize_t got = fd < 0 ? 0 : pread(fd, data, sizeof data, 0);
        char *at = data;

        while (got > 0 && (at = memmem(at, (size_t)(data + got - at), bytes, len))) {
            char other = (char)~*at;

            assert_int_equal(pwrite(fd, &other, 1, at - data), 1);
            count++;
            at++;
        }
        if (fd >= 0)
            close(fd);
    }
    closedir(directory);
    return count;
}

static uint64_t damaged_in(const struct spool *spool)
{
    struct spool_stats stats;

    spool_get_stats(spool, &stats);
    return stats.damaged;
}

static enum error_kind kind_of_reading(struct spool *spool, uint64_t ref)
{
    struct waiting_read got = read_one(spool, ref);

    drop_read(&got);
    return got.kind;
}

/* ---- reading ---- */

static void a_message_that_became_another_is_not_given_out(void **state)
{
    struct spool *spool = open_small(*state);
    uint64_t one = store_one(spool, "one", SPAN_LIT("the first body"));
    uint64_t two = store_one(spool, "the second record", SPAN_LIT("two"));
    uint64_t three = store_one(spool, "three", SPAN_LIT("the third body"));

    assert_int_equal(damage(*state, "the first body", 14), 1);
    assert_int_equal(damage(*state, "the second record", 17), 1);
    assert_int_equal(kind_of_reading(spool, one), ERROR_PERM);
    assert_int_equal(kind_of_reading(spool, two), ERROR_PERM);
    assert_int_equal(damaged_in(spool), 2);
    assert_true(reads_as(spool, three, "three", SPAN_LIT("the third body")));
    spool_close(spool);
}

static atomic_bool reads_fail;

static ssize_t read_or_fail(int fd, void *data, size_t len, off_t at)
{
    if (!atomic_load(&reads_fail))
        return spool_io_real()->read_at(fd, data, len, at);
    errno = EIO;
    return -1;
}

/* It may be readable again, so it is not given up. */
static void a_disk_that_cannot_read_is_no_damage(void **state)
{
    struct spool_io io = *spool_io_real();
    struct spool *spool;
    uint64_t one;

    io.read_at = read_or_fail;
    spool_io_inject(&io);
    spool = open_small(*state);
    one = store_one(spool, "one", SPAN_LIT("body"));
    atomic_store(&reads_fail, true);
    assert_int_equal(kind_of_reading(spool, one), ERROR_TEMP);
    assert_int_equal(damaged_in(spool), 0);
    atomic_store(&reads_fail, false);
    assert_true(reads_as(spool, one, "one", SPAN_LIT("body")));
    spool_close(spool);
}

/* ---- what is put aside ---- */

static bool holds(const char *path, const char *name, const char *text)
{
    char *whole = mem_printf("%s/%s", path, name);
    static char data[SMALL_SEGMENT];
    int fd = open(whole, O_RDONLY);
    ssize_t got = fd < 0 ? 0 : read(fd, data, sizeof data);

    if (fd >= 0)
        close(fd);
    free(whole);
    return got > 0 && memmem(data, (size_t)got, text, strlen(text));
}

static uint64_t aside_in(const struct spool *spool)
{
    struct spool_stats stats;

    spool_get_stats(spool, &stats);
    return stats.aside;
}

static void let_mail_pass(struct spool *spool, int count)
{
    static char space[3000];

    for (int i = 0; i < count; i++)
        spool_remove(spool, store_one(spool, "passes", span_make(space, sizeof space)));
}

/* The writer puts it aside in its own time, between batches. */
static void wait_until_one_is_aside(struct spool *spool)
{
    for (int i = 0; i < 1000 && !aside_in(spool); i++)
        let_mail_pass(spool, 1);
    assert_int_equal(aside_in(spool), 1);
}

static uint64_t ref_of(const struct picture *picture, const char *record)
{
    const struct seen *seen = find_record(picture, record);

    assert_non_null(seen);
    return seen->ref;
}

/* Three messages, of which the second is damaged before the spool is opened again; the others' refs. */
static struct spool *open_with_damage(const char *path, uint64_t *first, uint64_t *last)
{
    struct spool *spool = open_small(path);
    struct picture picture;

    assert_true(store_one(spool, "first", SPAN_LIT("the first body")));
    assert_true(store_one(spool, "bad", SPAN_LIT("the bad body")));
    assert_true(store_one(spool, "last", SPAN_LIT("the last body")));
    spool_close(spool);
    assert_int_equal(damage(path, "the bad body", 12), 1);
    spool = open_small(path);
    picture = enumerate(spool);
    assert_int_equal(picture.count, 2);
    assert_int_equal(picture.damaged, 1);
    *first = ref_of(&picture, "first");
    *last = ref_of(&picture, "last");
    drop_picture(&picture);
    return spool;
}

/* It was promised to somebody, and a person may still be able to read it. */
static void what_recovery_cannot_read_is_kept_for_a_person(void **state)
{
    uint64_t first, last;
    struct spool *spool = open_with_damage(*state, &first, &last);
    struct picture picture;

    let_mail_pass(spool, 100);
    assert_int_equal(aside_in(spool), 0); /* two are still waiting in it */
    assert_true(reads_as(spool, first, "first", SPAN_LIT("the first body")));
    assert_true(reads_as(spool, last, "last", SPAN_LIT("the last body")));
    spool_remove(spool, first);
    spool_remove(spool, last);
    wait_until_one_is_aside(spool);
    let_mail_pass(spool, 100);
    spool_close(spool);
    assert_true(holds(*state, "damaged-segment-00000001", "he bad body"));

    spool = open_small(*state);
    picture = enumerate(spool);
    assert_null(find_record(&picture, "first"));
    assert_null(find_record(&picture, "last"));
    assert_int_equal(picture.damaged, 0);
    assert_int_equal(aside_in(spool), 1);
    drop_picture(&picture);
    spool_close(spool);
}

/* Found late, by whoever wanted to deliver it; then it was given up. */
static void what_a_reader_finds_damaged_is_kept_for_a_person(void **state)
{
    struct spool *spool = open_small(*state);
    uint64_t bad = store_one(spool, "bad", SPAN_LIT("the bad body"));

    assert_int_equal(damage(*state, "the bad body", 12), 1);
    assert_int_equal(kind_of_reading(spool, bad), ERROR_PERM);
    spool_remove(spool, bad);
    wait_until_one_is_aside(spool);
    spool_close(spool);
    assert_true(holds(*state, "damaged-segment-00000001", "he bad body"));
}

static uint32_t sequence_of(const char *path, const char *segment)
{
    char *name = mem_printf("%s/%s", path, segment), page[SEGMENT_HEADER_BYTES];
    int fd = open(name, O_RDONLY);
    struct segment_header header = {0};
    uint32_t version;

    assert_int_equal(pread(fd, page, sizeof page, 0), sizeof page);
    assert_int_equal(segment_header_decode(span_make(page, sizeof page), &header, &version), HEADER_OK);
    close(fd);
    free(name);
    return header.sequence;
}

/* What a crash tears was promised to nobody: its segment is used again. */
static void a_torn_tail_is_no_damage(void **state)
{
    char *copy = mem_printf("%s-copy", (char *)*state);
    struct spool *spool = open_small(*state);
    struct picture picture;

    assert_true(store_one(spool, "first", SPAN_LIT("the first body")));
    assert_true(store_one(spool, "torn", SPAN_LIT("the torn body")));
    copy_tree(*state, copy);
    spool_close(spool);
    assert_int_equal(damage(copy, "the torn body", 13), 1);
    spool = open_small(copy);
    picture = enumerate(spool);
    assert_int_equal(picture.count, 1);
    assert_int_equal(picture.damaged, 0);
    drop_picture(&picture);
    let_mail_pass(spool, 100);
    assert_int_equal(aside_in(spool), 0);
    spool_close(spool);
    assert_int_not_equal(sequence_of(copy, "segment-00000001"), 1);
    remove_tree(copy);
    free(copy);
}

/* A file system that was mended after a crash may have cut a file short. */
static void what_was_cut_off_is_damage(void **state)
{
    char *name = mem_printf("%s/segment-00000001", (char *)*state);
    struct spool *spool = open_small(*state);
    struct picture picture;

    assert_true(store_one(spool, "first", SPAN_LIT("the first body")));
    let_mail_pass(spool, 10);
    assert_true(store_one(spool, "cut off", SPAN_LIT("body")));
    let_mail_pass(spool, 15); /* the next segment's header says how far this one was synced */
    spool_close(spool);
    assert_int_equal(truncate(name, 8192), 0);
    spool = open_small(*state);
    picture = enumerate(spool);
    assert_non_null(find_record(&picture, "first"));
    assert_null(find_record(&picture, "cut off"));
    assert_int_equal(picture.damaged, 1);
    drop_picture(&picture);
    spool_close(spool);
    free(name);
}

/* ---- where putting aside fails ---- */

static atomic_int renames_to_fail;

static int rename_or_fail(int directory, const char *from, const char *to)
{
    errno = EACCES;
    return atomic_fetch_sub(&renames_to_fail, 1) > 0 ? -1 : spool_io_real()->rename_at(directory, from, to);
}

static atomic_uint_fast64_t now_us = 1000000;
/* every look at the clock takes a while: what is tried again each second is tried soon */
static uint64_t hasty_mono_us(void) { return atomic_fetch_add(&now_us, 20000); }
static int64_t fixed_wall_us(void) { return 1700000000000000; }
static struct clock_source hasty_clock = {hasty_mono_us, fixed_wall_us};

static void what_cannot_be_put_aside_now_stays_until_it_can(void **state)
{
    struct spool_io io = *spool_io_real();
    uint64_t first, last;
    struct spool *spool;

    io.rename_at = rename_or_fail;
    spool_io_inject(&io);
    clock_inject(&hasty_clock);
    atomic_store(&renames_to_fail, 3);
    spool = open_with_damage(*state, &first, &last);
    spool_remove(spool, first);
    spool_remove(spool, last);
    wait_until_one_is_aside(spool);
    assert_true(atomic_load(&renames_to_fail) < 0);
    spool_close(spool);
    clock_inject(NULL);
    assert_true(holds(*state, "damaged-segment-00000001", "he bad body"));
}

static atomic_bool renamed;

static int noted_rename(int directory, const char *from, const char *to)
{
    atomic_store(&renamed, true);
    return spool_io_real()->rename_at(directory, from, to);
}

/* The next one after a renaming fails, and from then on all is well, it says. */
static int sync_directory_or_fail(int fd)
{
    (void)fd;
    errno = EIO;
    return atomic_exchange(&renamed, false) ? -1 : 0;
}

static void take_back_name(const char *path)
{
    char *aside = mem_printf("%s/damaged-segment-00000001", path), *name = mem_printf("%s/segment-00000001", path);

    assert_int_equal(rename(aside, name), 0);
    free(aside);
    free(name);
}

/* The old name is back after a power cut, and with it what was good in there: it had left. */
static void what_was_not_put_aside_for_sure_brings_nothing_back(void **state)
{
    struct spool_io io = *spool_io_real();
    uint64_t first, last;
    struct spool *spool;
    struct picture picture;

    io.rename_at = noted_rename;
    io.sync_directory = sync_directory_or_fail;
    spool_io_inject(&io);
    clock_inject(&hasty_clock);
    spool = open_with_damage(*state, &first, &last);
    spool_remove(spool, first);
    spool_remove(spool, last);
    wait_until_one_is_aside(spool);
    let_mail_pass(spool, 200);
    spool_close(spool);
    spool_io_inject(NULL);
    clock_inject(NULL);

    take_back_name(*state);
    spool = open_small(*state);
    picture = enumerate(spool);
    assert_null(find_record(&picture, "first"));
    assert_null(find_record(&picture, "last"));
    drop_picture(&picture);
    wait_until_one_is_aside(spool);
    spool_close(spool);
    assert_true(holds(*state, "damaged-segment-00000001", "he bad body"));
}

/* ---- a disk that does not give what it has ---- */

static atomic_int reads_to_fail;

/* Reads fail that touch the bad body, or are of a record alone. */
static ssize_t read_around_the_bad(int fd, void *data, size_t len, off_t at)
{
    ssize_t got = spool_io_real()->read_at(fd, data, len, at);
    bool is_record = got == 3 && !memcmp(data, "bad", 3);

    if (got <= 0 || (!is_record && !memmem(data, (size_t)got, "the bad body", 12)))
        return got;
    errno = EIO;
    return atomic_fetch_sub(&reads_to_fail, 1) > 0 ? -1 : got;
}

static atomic_int syncs_to_fail;

static int sync_or_fail(int fd)
{
    (void)fd;
    errno = EIO;
    return atomic_fetch_sub(&syncs_to_fail, 1) > 0 ? -1 : 0;
}

static void inject_reads(int to_fail)
{
    static struct spool_io io;

    io = *spool_io_real();
    io.read_at = read_around_the_bad;
    io.sync_data = sync_or_fail;
    atomic_store(&reads_to_fail, to_fail);
    spool_io_inject(&io);
}

/* Three messages, some sectors apart; the second has a new record in a later segment. */
static void fill(const char *path)
{
    struct spool *spool = open_small(path);
    uint64_t bad;

    assert_true(store_one(spool, "first", SPAN_LIT("the first body")));
    let_mail_pass(spool, 2);
    bad = store_one(spool, "bad", SPAN_LIT("the bad body"));
    let_mail_pass(spool, 2);
    assert_true(store_one(spool, "last", SPAN_LIT("the last body")));
    let_mail_pass(spool, 30);
    assert_int_equal(update_one(spool, &bad, "bad, again"), ERROR_NONE);
    let_mail_pass(spool, 30);
    spool_close(spool);
}

static uint64_t segments_in(const struct spool *spool)
{
    struct spool_stats stats;

    spool_get_stats(spool, &stats);
    return stats.segments;
}

static void a_read_that_fails_at_start_is_made_again(void **state)
{
    struct spool *spool;
    struct picture picture;
    struct spool_stats stats;

    fill(*state);
    inject_reads(2);
    spool = open_small(*state);
    picture = enumerate(spool);
    assert_true(atomic_load(&reads_to_fail) <= 0);
    assert_int_equal(picture.count, 3);
    assert_int_equal(picture.damaged, 0);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.unreadable, 0);
    drop_picture(&picture);
    spool_close(spool);
}

/* The rest goes on meanwhile, and what there was stays: it may say what became of the missing one. */
static void what_cannot_be_read_now_comes_at_another_start(void **state)
{
    struct spool *spool;
    struct picture picture;
    struct spool_stats stats;

    fill(*state);
    inject_reads(1 << 30);
    atomic_store(&syncs_to_fail, 1); /* that of the first segment, which is uncertain then */
    spool = open_small(*state);
    picture = enumerate(spool);
    assert_int_equal(picture.damaged, 0);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.unreadable, 1);
    spool_remove(spool, ref_of(&picture, "first"));
    spool_remove(spool, ref_of(&picture, "last"));
    drop_picture(&picture);
    let_mail_pass(spool, 400);
    assert_in_range(segments_in(spool), 1, 20); /* what is new is used again */
    assert_int_equal(aside_in(spool), 0);
    spool_close(spool);

    spool_io_inject(NULL);
    spool = open_small(*state);
    picture = enumerate(spool);
    assert_null(find_record(&picture, "first"));
    assert_null(find_record(&picture, "last"));
    assert_true(reads_as(spool, ref_of(&picture, "bad, again"), "bad, again", SPAN_LIT("the bad body")));
    spool_remove(spool, ref_of(&picture, "bad, again"));
    drop_picture(&picture);
    let_mail_pass(spool, 400);
    spool_close(spool);
    assert_int_not_equal(sequence_of(*state, "segment-00000001"), 1);
}

static void a_record_that_cannot_be_shown_now_comes_at_another_start(void **state)
{
    struct spool *spool = open_small(*state);
    struct picture picture;

    assert_true(store_one(spool, "bad", SPAN_LIT("body")));
    assert_true(store_one(spool, "good", SPAN_LIT("body")));
    spool_close(spool);
    inject_reads(1 << 30);
    spool = open_small(*state);
    picture = enumerate(spool);
    assert_int_equal(picture.count, 1);
    assert_int_equal(picture.damaged, 0);
    spool_remove(spool, ref_of(&picture, "good"));
    drop_picture(&picture);
    let_mail_pass(spool, 100);
    spool_close(spool);
    spool_io_inject(NULL);
    spool = open_small(*state);
    picture = enumerate(spool);
    assert_int_equal(aside_in(spool), 0);
    assert_true(reads_as(spool, ref_of(&picture, "bad"), "bad", SPAN_LIT("body")));
    drop_picture(&picture);
    spool_close(spool);
}

/* ---- headers ---- */

static void wreck_header(const char *path, const char *segment)
{
    char *name = mem_printf("%s/%s", path, segment);
    int fd = open(name, O_RDWR);

    for (off_t at = 0; at < SEGMENT_HEADER_BYTES; at += SEGMENT_HEADER_BYTES / 2)
        assert_int_equal(pwrite(fd, "not a header", 12, at), 12);
    close(fd);
    free(name);
}

static bool exists(const char *path, const char *name)
{
    char *whole = mem_printf("%s/%s", path, name);
    bool found = !access(whole, F_OK);

    free(whole);
    return found;
}

/* Whoever started without it would pass over what is in there, and it would never be looked at again. */
static void a_header_that_cannot_be_read_is_no_damage(void **state)
{
    struct spool_io io = *spool_io_real();
    struct spool *spool = open_small(*state);
    struct picture picture;

    assert_true(store_one(spool, "one", SPAN_LIT("body")));
    spool_close(spool);
    io.read_at = read_or_fail;
    spool_io_inject(&io);
    atomic_store(&reads_fail, true);
    spool = open_small(*state);
    atomic_store(&reads_fail, false);
    assert_null(spool);
    assert_false(exists(*state, "damaged-segment-00000001"));
    spool = open_small(*state);
    picture = enumerate(spool);
    assert_true(reads_as(spool, ref_of(&picture, "one"), "one", SPAN_LIT("body")));
    drop_picture(&picture);
    spool_close(spool);
}

static void put_file(const char *path, const char *name, const char *text)
{
    char *whole = mem_printf("%s/%s", path, name);
    int fd = open(whole, O_WRONLY | O_CREAT, 0600);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    free(whole);
}

/* Numbers begin anew in an empty folder, so there may be such a file already: it is somebody's mail, too. */
static void a_segment_without_a_header_is_kept_aside(void **state)
{
    struct spool *spool = open_small(*state);
    struct picture picture;

    assert_true(store_one(spool, "one", SPAN_LIT("the first body")));
    spool_close(spool);
    wreck_header(*state, "segment-00000001");
    put_file(*state, "damaged-segment-00000001", "of an earlier time");
    spool = open_small(*state);
    assert_non_null(spool);
    assert_int_equal(damaged_in(spool), 1);
    assert_true(store_one(spool, "two", SPAN_LIT("the second body")));
    spool_close(spool);

    spool = open_small(*state);
    picture = enumerate(spool);
    assert_int_equal(picture.count, 1);
    drop_picture(&picture);
    spool_close(spool);
    assert_true(holds(*state, "damaged-segment-00000001", "of an earlier time"));
    assert_true(holds(*state, "damaged-segment-00000001.2", "the first body"));
}

/* ---- compaction ---- */

#define SPREAD 24

static char filling[4000];

/* One message that stays in each of many segments, and then enough mail for all of them to be emptied. */
static void spread(struct spool *spool, uint64_t *refs)
{
    struct span body = span_make(filling, sizeof filling);

    for (int i = 0; i < SPREAD; i++) {
        refs[i] = store_one(spool, "stays", body);
        for (int k = 0; k < 16; k++)
            spool_remove(spool, store_one(spool, "passes", body));
    }
}

static void expect_spread(struct spool *spool, const uint64_t *refs)
{
    for (int i = 0; i < SPREAD; i++)
        assert_true(reads_as(spool, refs[i], "stays", span_make(filling, sizeof filling)));
}

static size_t count_records(const struct picture *picture, const char *record)
{
    size_t count = 0;

    for (size_t i = 0; i < picture->count; i++)
        count += !strcmp(picture->list[i].record, record);
    return count;
}

/* And its segment goes out of the way: as long as it stayed, no deletion mark could be dropped. */
static void a_damaged_message_is_left_behind_and_the_others_move(void **state)
{
    struct spool *spool = open_small(*state);
    uint64_t refs[SPREAD], first, bad, last;
    struct spool_stats stats;
    struct picture picture;

    first = store_one(spool, "first", SPAN_LIT("the first body"));
    bad = store_one(spool, "bad", SPAN_LIT("the bad body"));
    last = store_one(spool, "last", SPAN_LIT("the last body"));
    assert_int_equal(damage(*state, "the bad body", 12), 1);
    spread(spool, refs);
    spool_get_stats(spool, &stats);
    assert_true(stats.compacted > 0);
    assert_int_equal(stats.damaged, 1);
    assert_int_equal(kind_of_reading(spool, bad), ERROR_PERM);
    assert_true(reads_as(spool, first, "first", SPAN_LIT("the first body")));
    assert_true(reads_as(spool, last, "last", SPAN_LIT("the last body")));
    expect_spread(spool, refs);
    wait_until_one_is_aside(spool);
    assert_int_equal(update_one(spool, &bad, "bad, again"), ERROR_PERM);
    spool_remove(spool, bad);
    spool_close(spool);
    assert_true(holds(*state, "damaged-segment-00000001", "he bad body"));

    spool = open_small(*state);
    picture = enumerate(spool);
    assert_int_equal(picture.damaged, 0);
    assert_int_equal(count_records(&picture, "first"), 1);
    assert_int_equal(count_records(&picture, "last"), 1);
    assert_int_equal(count_records(&picture, "stays"), SPREAD);
    assert_int_equal(count_records(&picture, "passes"), 0);
    drop_picture(&picture);
    spool_close(spool);
}

/* The record is not where the body is: both files tell a person something. */
static void a_damaged_record_is_left_behind_with_its_body(void **state)
{
    struct spool *spool = open_small(*state);
    uint64_t refs[SPREAD], bad;

    bad = store_one(spool, "bad", SPAN_LIT("the bad body"));
    let_mail_pass(spool, 30);
    assert_int_equal(update_one(spool, &bad, "a record made later"), ERROR_NONE);
    assert_int_equal(damage(*state, "a record made later", 19), 1);
    spread(spool, refs);
    wait_until_one_is_aside(spool);
    expect_spread(spool, refs);
    for (int i = 0; i < SPREAD; i++)
        spool_remove(spool, refs[i]); /* some are where the record is */
    for (int i = 0; i < 1000 && aside_in(spool) < 2; i++)
        let_mail_pass(spool, 1);
    assert_int_equal(aside_in(spool), 2);
    spool_close(spool);
    assert_true(holds(*state, "damaged-segment-00000001", "the bad body"));
}

/* One that was abandoned goes as soon as it is empty: not this one. */
static void a_damaged_segment_is_not_unlinked(void **state)
{
    struct spool_io io = *spool_io_real();
    struct spool *spool;
    uint64_t good;

    io.sync_data = sync_or_fail;
    spool_io_inject(&io);
    spool = open_small(*state);
    good = store_one(spool, "good", SPAN_LIT("the good body"));
    assert_true(store_one(spool, "bad", SPAN_LIT("the bad body")));
    assert_int_equal(damage(*state, "the bad body", 12), 1);
    atomic_store(&syncs_to_fail, 1);
    assert_int_equal(store_one(spool, "refused", SPAN_LIT("body")), 0);
    wait_until_one_is_aside(spool);
    assert_true(reads_as(spool, good, "good", SPAN_LIT("the good body")));
    spool_close(spool);
    assert_true(holds(*state, "damaged-segment-00000001", "he bad body"));
}

/* The disk may give it again: nothing is given up, nor put aside. */
static void what_cannot_be_read_is_not_given_up(void **state)
{
    struct spool *spool;
    uint64_t refs[SPREAD], bad;
    struct spool_stats stats;

    inject_reads(0);
    spool = open_small(*state);
    bad = store_one(spool, "bad", SPAN_LIT("the bad body"));
    atomic_store(&reads_to_fail, 1 << 30);
    spread(spool, refs);
    spool_get_stats(spool, &stats);
    assert_true(stats.compacted > 0);
    assert_int_equal(stats.damaged, 0);
    assert_int_equal(kind_of_reading(spool, bad), ERROR_TEMP);
    atomic_store(&reads_to_fail, 0);
    assert_true(reads_as(spool, bad, "bad", SPAN_LIT("the bad body")));
    assert_int_equal(aside_in(spool), 0);
    expect_spread(spool, refs);
    spool_close(spool);
}

#define LIVE 9 /* of them make a segment that is more than half full, and so not emptied */

/* A mark that cannot be read deletes nothing: its message may come again, and no other goes. It is needed, since the
 * first segment stays. */
static void damaged_marks_cost_no_message(void **state)
{
    struct spool *spool = open_small(*state);
    uint64_t refs[SPREAD], more[SPREAD], live[LIVE], gone;
    struct spool_stats stats;
    struct picture picture;
    unsigned char mark[12] = {0};

    for (int i = 0; i < LIVE; i++)
        live[i] = store_one(spool, "lives", span_make(filling, sizeof filling));
    gone = store_one(spool, "gone", SPAN_LIT("body"));
    for (int i = 0; i < 40; i++)
        spool_remove(spool, store_one(spool, "passes", span_make(filling, sizeof filling)));
    spool_remove(spool, gone);
    assert_true(store_one(spool, "after", SPAN_LIT("body"))); /* the mark is on disk */
    for (size_t i = 0; i < 8; i++)
        mark[i] = (unsigned char)(gone >> 8 * i);
    mark[8] = 1; /* the first segment */
    assert_int_equal(damage(*state, mark, sizeof mark), 1);
    spread(spool, refs);
    spread(spool, more);
    spool_get_stats(spool, &stats);
    assert_true(stats.compacted > 0);
    expect_spread(spool, refs);
    expect_spread(spool, more);
    for (int i = 0; i < LIVE; i++)
        assert_true(reads_as(spool, live[i], "lives", span_make(filling, sizeof filling)));
    assert_int_equal(kind_of_reading(spool, gone), ERROR_PERM);
    wait_until_one_is_aside(spool);
    spool_close(spool);

    spool = open_small(*state);
    picture = enumerate(spool);
    assert_int_equal(picture.damaged, 0);
    assert_int_equal(count_records(&picture, "lives"), LIVE);
    assert_int_equal(count_records(&picture, "stays"), 2 * SPREAD);
    assert_int_equal(count_records(&picture, "after"), 1);
    assert_true(count_records(&picture, "gone") <= 1);
    drop_picture(&picture);
    spool_close(spool);
}

/* ---- deleted while it is being moved ---- */

#define LARGE_SEGMENT (4u << 20)
#define BODY_BYTES (64u << 10)
#define SLICE_LEAST (900u << 10) /* of what is written in many parts, only the compaction's is as large */
#define MOVED 40

static struct spool *large;
static uint64_t early, late; /* survivors: of the first slice, and of a later one */
static atomic_int slices;

static ssize_t remove_at_first_slice(int fd, const struct iovec *parts, int count, off_t at)
{
    size_t bytes = 0;

    for (int i = 0; i < count; i++)
        bytes += parts[i].iov_len;
    if (count > 2 && bytes >= SLICE_LEAST && atomic_fetch_add(&slices, 1) == 0) {
        spool_remove(large, early);
        spool_remove(large, late);
    }
    return spool_io_real()->write_at(fd, parts, count, at);
}

static struct spool *open_large(const char *path)
{
    struct spool_config config = small_config(path);
    struct error error;

    config.segment_bytes = LARGE_SEGMENT;
    return spool_open(&config, &error);
}

/* Two copies of it are on disk then, and the mark has to speak of both. What a crash left is moved as a whole. */
static void what_is_deleted_while_it_moves_stays_deleted(void **state)
{
    char *copy = mem_printf("%s-copy", (char *)*state);
    struct spool_io io = *spool_io_real();
    static char space[BODY_BYTES];
    struct span body = span_make(space, sizeof space);
    uint64_t refs[MOVED];
    struct picture picture;

    large = open_large(*state);
    for (int i = 0; i < MOVED; i++)
        refs[i] = store_one(large, "stays", body);
    copy_tree(*state, copy);
    spool_close(large);

    io.write_at = remove_at_first_slice;
    spool_io_inject(&io);
    early = refs[0];
    late = refs[MOVED - 1];
    large = open_large(copy);
    picture = enumerate(large);
    assert_int_equal(picture.count, MOVED);
    drop_picture(&picture);
    for (int i = 0; i < 1000 && atomic_load(&slices) < 2; i++)
        spool_remove(large, store_one(large, "passes", SPAN_LIT("x")));
    assert_true(atomic_load(&slices) >= 2);
    for (int i = 0; i < 200; i++)
        spool_remove(large, store_one(large, "passes", body));
    for (int i = 0; i < MOVED; i++)
        assert_int_equal(kind_of_reading(large, refs[i]), i == 0 || i == MOVED - 1 ? ERROR_PERM : ERROR_NONE);
    spool_close(large);

    spool_io_inject(NULL);
    large = open_large(copy);
    picture = enumerate(large);
    assert_int_equal(picture.count, MOVED - 2);
    assert_int_equal(picture.damaged, 0);
    drop_picture(&picture);
    spool_close(large);
    remove_tree(copy);
    free(copy);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_that_became_another_is_not_given_out),
        TEST(a_disk_that_cannot_read_is_no_damage),
        TEST(what_recovery_cannot_read_is_kept_for_a_person),
        TEST(what_a_reader_finds_damaged_is_kept_for_a_person),
        TEST(a_torn_tail_is_no_damage),
        TEST(what_was_cut_off_is_damage),
        TEST(what_cannot_be_put_aside_now_stays_until_it_can),
        TEST(what_was_not_put_aside_for_sure_brings_nothing_back),
        TEST(a_read_that_fails_at_start_is_made_again),
        TEST(what_cannot_be_read_now_comes_at_another_start),
        TEST(a_record_that_cannot_be_shown_now_comes_at_another_start),
        TEST(a_header_that_cannot_be_read_is_no_damage),
        TEST(a_segment_without_a_header_is_kept_aside),
        TEST(a_damaged_message_is_left_behind_and_the_others_move),
        TEST(a_damaged_record_is_left_behind_with_its_body),
        TEST(a_damaged_segment_is_not_unlinked),
        TEST(what_cannot_be_read_is_not_given_up),
        TEST(damaged_marks_cost_no_message),
        TEST(what_is_deleted_while_it_moves_stays_deleted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
