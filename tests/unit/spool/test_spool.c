/* SPDX-License-Identifier: Apache-2.0
 *
 * The spool on a healthy disk: what is stored is there, also after opening again; damage
 * to the files costs what was damaged and nothing else; churn against a model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "spool/index.h"

#include "helper.h"

static struct span body_of(char *space, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        space[i] = (char)(seed * 31 + i * 7 + (i >> 8));
    return span_make(space, len);
}

/* ---- pieces ---- */

static void crc_matches_published_values(void **state)
{
    char zeros[32] = {0}, data[5000];

    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, zeros, sizeof zeros), 0x8a9136aa);
    body_of(data, sizeof data, 3);
    for (size_t len = 0; len < sizeof data; len += 37)
        for (size_t from = 0; from < 9; from++) {
            if (from > len)
                continue;
            assert_int_equal(crc32c(0, data + from, len - from), crc32c_portable(0, data + from, len - from));
            assert_int_equal(crc32c(crc32c(0, data, from), data + from, len - from), crc32c(0, data, len));
        }
}

static void index_finds_what_was_inserted(void **state)
{
    struct index index;

    (void)state;
    index_init(&index);
    for (uint64_t ref = 1; ref <= 20000; ref++)
        index_insert(&index, ref)->record.at_8 = (uint32_t)ref;
    for (uint64_t ref = 1; ref <= 20000; ref++)
        if (ref % 3)
            index_remove(&index, index_find(&index, ref));
    for (uint64_t ref = 20001; ref <= 25000; ref++)
        index_insert(&index, ref);
    for (uint64_t ref = 1; ref <= 25000; ref++) {
        struct entry *entry = index_find(&index, ref);

        assert_int_equal(entry != NULL, ref > 20000 || ref % 3 == 0);
        assert_true(!entry || entry->ref == ref);
    }
    assert_int_equal(index.count, 20000 / 3 + 5000);
    index_done(&index);
}

/* ---- the calls ---- */

static void stores_and_reads(void **state)
{
    struct spool *spool = open_small(*state);
    char space[9000];
    struct span body = body_of(space, sizeof space, 1);
    uint64_t ref = store_one(spool, "envelope one", body);

    assert_true(ref != 0);
    assert_true(spool_accepts(spool));
    assert_true(reads_as(spool, ref, "envelope one", body));
    assert_true(reads_as(spool, store_one(spool, "", span_make("", 0)), "", span_make("", 0)));
    spool_close(spool);
}

static void is_there_after_opening_again(void **state)
{
    struct spool *spool = open_small(*state);
    char space[300];
    struct span body = body_of(space, sizeof space, 1);
    uint64_t one = store_one(spool, "one", body), two = store_one(spool, "two", body);
    uint64_t three = store_one(spool, "three", body);
    struct picture picture;

    spool_remove(spool, two);
    assert_int_equal(update_one(spool, &three, "three again"), ERROR_NONE);
    spool_close(spool);

    spool = open_small(*state);
    picture = enumerate(spool);
    assert_int_equal(picture.count, 2);
    assert_int_equal(picture.damaged, 0);
    assert_int_equal(find_record(&picture, "one")->ref, one);
    assert_int_equal(find_record(&picture, "three again")->body_bytes, body.len);
    assert_true(reads_as(spool, one, "one", body));
    assert_true(reads_as(spool, three, "three again", body));
    assert_true(store_one(spool, "four", body) > three);
    drop_picture(&picture);
    spool_close(spool);
}

static void reading_what_is_gone_is_an_error(void **state)
{
    struct spool *spool = open_small(*state);
    uint64_t ref = store_one(spool, "one", SPAN_LIT("body"));
    struct waiting_read got;

    spool_remove(spool, ref);
    spool_remove(spool, ref); /* twice is harmless */
    spool_remove(spool, 4711);
    store_one(spool, "after", SPAN_LIT("body"));
    got = read_one(spool, ref);
    assert_int_equal(got.kind, ERROR_PERM);
    assert_int_equal(update_one(spool, &ref, "x"), ERROR_PERM);
    spool_close(spool);
}

static void items_share_one_body(void **state)
{
    struct spool *spool = open_small(*state);
    static char space[20000];
    struct span body = body_of(space, sizeof space, 9);
    struct bytes *shared = bytes_copy(body), *own = bytes_copy(SPAN_LIT("own"));
    struct spool_item items[4] = {{.record = SPAN_LIT("a"), .body = shared},
                                  {.record = SPAN_LIT("b"), .body = own},
                                  {.record = SPAN_LIT("c"), .body = shared},
                                  {.record = SPAN_LIT("d")}};
    struct spool_stats stats;

    assert_int_equal(store_items(spool, items, 4), ERROR_NONE);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.stored, 4);
    assert_true(stats.bytes_written < 21000);
    assert_true(reads_as(spool, items[0].ref, "a", body));
    assert_true(reads_as(spool, items[1].ref, "b", SPAN_LIT("own")));
    assert_true(reads_as(spool, items[2].ref, "c", body));
    assert_true(reads_as(spool, items[3].ref, "d", SPAN_LIT("")));
    spool_close(spool);
    bytes_unref(&shared);
    bytes_unref(&own);
}

static void takes_what_is_larger_than_a_segment(void **state)
{
    struct spool *spool = open_small(*state);
    static char space[3 * SMALL_SEGMENT];
    struct span body = body_of(space, sizeof space, 2);
    uint64_t big = store_one(spool, "big", body), after = store_one(spool, "small", SPAN_LIT("x"));
    struct picture picture;

    assert_true(reads_as(spool, big, "big", body));
    spool_close(spool);
    spool = open_small(*state);
    picture = enumerate(spool);
    assert_int_equal(picture.count, 2);
    assert_true(reads_as(spool, big, "big", body));
    assert_true(reads_as(spool, after, "small", SPAN_LIT("x")));
    drop_picture(&picture);
    spool_close(spool);
}

static void refuses_a_directory_in_use_and_unknown_versions(void **state)
{
    struct spool_config config = small_config(*state);
    struct spool *spool = open_small(*state);
    struct error error;
    char *name = mem_printf("%s/segment-00000001", (char *)*state);
    int fd;

    assert_null(spool_open(&config, &error));
    assert_non_null(strstr(error.sentence, "in use"));
    store_one(spool, "a", SPAN_LIT("b"));
    spool_close(spool);

    fd = open(name, O_RDWR);
    for (off_t at = 0; at < SEGMENT_HEADER_BYTES; at += SEGMENT_HEADER_BYTES / 2) {
        char head[16];
        uint32_t crc;

        assert_int_equal(pread(fd, head, sizeof head, at), sizeof head);
        head[8] = 7;
        crc = crc32c(0, head, 12);
        memcpy(head + 12, &crc, sizeof crc);
        assert_int_equal(pwrite(fd, head, sizeof head, at), sizeof head);
    }
    close(fd);
    assert_null(spool_open(&config, &error));
    assert_int_equal(error.kind, ERROR_PERM);
    assert_non_null(strstr(error.sentence, "version 7"));
    free(name);
}

/* ---- damage ---- */

static size_t write_three(const char *path)
{
    struct spool *spool = open_small(path);
    struct spool_stats stats;

    store_one(spool, "one", SPAN_LIT("first body"));
    store_one(spool, "two", SPAN_LIT("second body"));
    store_one(spool, "three", SPAN_LIT("third body"));
    spool_get_stats(spool, &stats);
    spool_close(spool);
    return SEGMENT_HEADER_BYTES + (size_t)stats.bytes_written;
}

static void change_byte(const char *path, off_t at, char with)
{
    char *name = mem_printf("%s/segment-00000001", path), byte;
    int fd = open(name, O_RDWR);

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= with;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    free(name);
}

static void a_flipped_bit_costs_one_record_at_most(void **state)
{
    char *copy = mem_printf("%s-copy", (char *)*state);
    size_t end = write_three(*state);

    for (size_t at = 0; at < end; at++) {
        struct spool *spool;
        struct picture picture;

        if (at == 64)
            at = SEGMENT_HEADER_BYTES;
        copy_tree(*state, copy);
        change_byte(copy, (off_t)at, (char)(1 << at % 8));
        spool = open_small(copy);
        assert_non_null(spool);
        picture = enumerate(spool);
        assert_true(picture.count >= 2);
        /* what is missing is counted; padding carries nothing */
        assert_int_equal(picture.damaged, picture.count == 3 ? picture.damaged : 1);
        for (size_t i = 0; i < picture.count; i++) {
            struct waiting_read got = read_one(spool, picture.list[i].ref);

            assert_int_equal(got.kind, ERROR_NONE);
            drop_read(&got);
        }
        drop_picture(&picture);
        spool_close(spool);
        remove_tree(copy);
    }
    free(copy);
}

static void zero_from(const char *path, size_t at)
{
    char *name = mem_printf("%s/segment-00000001", path);

    assert_int_equal(truncate(name, (off_t)at), 0);
    assert_int_equal(truncate(name, SMALL_SEGMENT), 0);
    free(name);
}

static void a_torn_tail_costs_what_was_torn(void **state)
{
    char *copy = mem_printf("%s-copy", (char *)*state);
    size_t end = write_three(*state);
    size_t before = 0;

    for (size_t at = SEGMENT_HEADER_BYTES; at <= end; at++) {
        struct spool *spool;
        struct picture picture;

        copy_tree(*state, copy);
        zero_from(copy, at);
        spool = open_small(copy);
        picture = enumerate(spool);
        assert_true(picture.count >= before && picture.count <= 3);
        before = picture.count;
        assert_true(store_one(spool, "new", SPAN_LIT("n")) != 0);
        drop_picture(&picture);
        spool_close(spool);

        /* and what was shown is there for good, although the tail was uncertain */
        spool = open_small(copy);
        picture = enumerate(spool);
        assert_int_equal(picture.count, before + 1);
        assert_int_equal(picture.damaged, 0);
        drop_picture(&picture);
        spool_close(spool);
        remove_tree(copy);
    }
    assert_int_equal(before, 3);
    free(copy);
}

static void a_torn_transaction_is_not_there_at_all(void **state)
{
    char *copy = mem_printf("%s-copy", (char *)*state);
    struct spool *spool = open_small(*state);
    struct spool_item items[3] = {{.record = SPAN_LIT("a"), .body = bytes_copy(SPAN_LIT("body a"))},
                                  {.record = SPAN_LIT("b"), .body = bytes_copy(SPAN_LIT("body b"))},
                                  {.record = SPAN_LIT("c"), .body = bytes_copy(SPAN_LIT("body c"))}};
    struct spool_stats stats;

    assert_int_equal(store_items(spool, items, 3), ERROR_NONE);
    spool_get_stats(spool, &stats);
    spool_close(spool);
    for (size_t at = 0; at < stats.bytes_written; at++) {
        struct picture picture;

        copy_tree(*state, copy);
        zero_from(copy, SEGMENT_HEADER_BYTES + at);
        spool = open_small(copy);
        picture = enumerate(spool);
        assert_true(picture.count == 0 || picture.count == 3);
        drop_picture(&picture);
        spool_close(spool);
        remove_tree(copy);
    }
    for (int i = 0; i < 3; i++)
        bytes_unref(&items[i].body);
    free(copy);
}

/* ---- churn against a model ---- */

#define MODEL 400

struct model {
    uint64_t ref; /* 0: not there */
    unsigned version, body_len, seed;
};

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static const char *record_of(unsigned number, const struct model *model)
{
    static char text[64];

    snprintf(text, sizeof text, "message %u version %u seed %u", number, model->version, model->seed);
    return text;
}

static void churn_once(struct spool *spool, struct model *models, unsigned *seed)
{
    static char space[6000];
    unsigned number = next_random(seed) % MODEL;
    /* every tenth lives long: it is what compaction has to carry */
    struct model *model = &models[number];

    if (!model->ref) {
        *model = (struct model){.body_len = next_random(seed) % sizeof space, .seed = next_random(seed)};
        model->ref = store_one(spool, record_of(number, model), body_of(space, model->body_len, model->seed));
        assert_true(model->ref != 0);
    } else if (next_random(seed) % 3 == 0) {
        model->version++;
        assert_int_equal(update_one(spool, &model->ref, record_of(number, model)), ERROR_NONE);
    } else if (number % 10 || next_random(seed) % 50 == 0) {
        spool_remove(spool, model->ref);
        model->ref = 0;
    }
}

static void compare(struct spool *spool, const struct model *models)
{
    static char space[6000];

    for (unsigned i = 0; i < MODEL; i++)
        if (models[i].ref)
            assert_true(reads_as(spool, models[i].ref, record_of(i, &models[i]),
                                 body_of(space, models[i].body_len, models[i].seed)));
}

static struct spool *reopen(const char *path, struct spool *spool, const struct model *models)
{
    struct picture picture;
    size_t live = 0;

    spool_close(spool);
    spool = open_small(path);
    picture = enumerate(spool);
    for (unsigned i = 0; i < MODEL; i++)
        if (models[i].ref) {
            const struct seen *seen = find_record(&picture, record_of(i, &models[i]));

            live++;
            assert_non_null(seen);
            assert_int_equal(seen->ref, models[i].ref);
            assert_int_equal(seen->body_bytes, models[i].body_len);
        }
    assert_int_equal(picture.count, live);
    assert_int_equal(picture.damaged, 0);
    drop_picture(&picture);
    return spool;
}

static void churn_keeps_to_the_model_and_reuses_segments(void **state)
{
    struct spool *spool = open_small(*state);
    struct model models[MODEL] = {0};
    struct spool_stats stats;
    unsigned seed = 42;
    uint64_t written = 0, compacted = 0;

    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 1500; i++)
            churn_once(spool, models, &seed);
        compare(spool, models);
        spool_get_stats(spool, &stats);
        written += stats.bytes_written;
        compacted += stats.compacted;
        /* bounded by what lives, not by what was written */
        assert_true(stats.segments * SMALL_SEGMENT < 3 * stats.live_bytes + 16 * SMALL_SEGMENT);
        spool = reopen(*state, spool, models);
    }
    assert_true(written > 300 * SMALL_SEGMENT);
    assert_true(compacted > 0);
    spool_close(spool);
}

/* A backlog that stays, and much mail passing through: the deletion marks must not hold
 * the segments of what passes. */
static void a_backlog_does_not_hold_what_passes_through(void **state)
{
    struct spool *spool = open_small(*state);
    static char space[4000];
    struct span body = body_of(space, sizeof space, 5);
    struct spool_stats stats;

    for (int i = 0; i < 100; i++)
        store_one(spool, "stays", body);
    for (int i = 0; i < 2000; i++)
        spool_remove(spool, store_one(spool, "passes", body));
    spool_get_stats(spool, &stats);
    assert_true(stats.segments < 30);
    spool_close(spool);
}

/* ---- floors ---- */

static struct statvfs pretended;

static int pretend_free_space(int fd, struct statvfs *out)
{
    (void)fd;
    *out = pretended;
    return 0;
}

static uint64_t pretended_us = 1000000000;
static uint64_t pretend_mono_us(void) { return pretended_us; }
static int64_t pretend_wall_us(void) { return 1700000000000000; }

static void keeps_to_the_floors(void **state)
{
    struct spool_io io = *spool_io_real();
    struct spool_config config = small_config(*state);
    struct clock_source clock = {pretend_mono_us, pretend_wall_us};
    struct spool *spool;

    io.free_space = pretend_free_space;
    spool_io_inject(&io);
    clock_inject(&clock);
    pretended = (struct statvfs){.f_frsize = 4096, .f_blocks = 1000, .f_bavail = 100, .f_files = 1000, .f_favail = 50};
    config.min_free_space.percent = 10;
    config.min_free_inodes.bytes_or_inodes = 50;
    spool = spool_open(&config, NULL);
    assert_true(spool_accepts(spool));
    pretended.f_bavail = 99;
    assert_true(spool_accepts(spool)); /* asked less than a second ago */
    pretended_us += 1000000;
    assert_false(spool_accepts(spool));
    assert_int_equal(store_one(spool, "a", SPAN_LIT("b")), 0);
    pretended.f_bavail = 100;
    pretended.f_favail = 49;
    pretended_us += 1000000;
    assert_false(spool_accepts(spool));
    pretended.f_favail = 50;
    pretended_us += 1000000;
    assert_true(spool_accepts(spool));
    assert_true(store_one(spool, "a", SPAN_LIT("b")) != 0);
    spool_close(spool);
    clock_inject(NULL);
}

/* ---- many threads ---- */

#define THREADS 4
#define PER_THREAD 300
#define AT_ONCE 8

struct writer {
    pthread_t thread;
    struct spool *spool;
    struct loop *loop;
    unsigned number;
    int started, finished, read;
    struct one *first;
};

struct one {
    struct spool_store store;
    struct spool_item item;
    struct writer *writer;
    char record[32];
    struct bytes *body;
};

static void start_next(struct writer *writer, struct one *one);

static void on_one_read(void *ctx, char *record, size_t len, struct bytes *body, const struct error *error)
{
    struct one *one = ctx;
    struct writer *writer = one->writer;

    MUST(!error && len == strlen(one->record) && !memcmp(record, one->record, len));
    MUST(span_eq(bytes_span(body), bytes_span(one->item.body)));
    free(record);
    bytes_unref(&body);
    bytes_unref(&one->item.body);
    if (writer->read++ % 2 == 0)
        spool_remove(writer->spool, one->item.ref);
    start_next(writer, one);
}

static void on_one_stored(struct spool_store *store, const struct error *error)
{
    struct one *one = CONTAINER_OF(store, struct one, store);

    MUST(!error);
    one->writer->finished++;
    spool_read(one->writer->spool, one->item.ref, on_one_read, one);
}

static void start_next(struct writer *writer, struct one *one)
{
    static _Thread_local char space[3000];

    if (writer->started == PER_THREAD) {
        free(one);
        if (writer->read == PER_THREAD)
            loop_stop(writer->loop);
        return;
    }
    snprintf(one->record, sizeof one->record, "%u-%d", writer->number, writer->started++);
    one->item.record = span_of(one->record);
    one->item.body = bytes_copy(body_of(space, 100 + (size_t)writer->started * 7, writer->number));
    one->store = (struct spool_store){.items = &one->item, .count = 1, .on_done = on_one_stored};
    spool_store(writer->spool, &one->store);
}

static void start_some(void *ctx)
{
    struct writer *writer = ctx;

    for (int i = 0; i < AT_ONCE; i++) {
        struct one *one = mem_zalloc(sizeof *one);

        one->writer = writer;
        start_next(writer, one);
    }
}

static void *writer_thread(void *arg)
{
    struct writer *writer = arg;
    struct timer timer;

    writer->loop = loop_new("writer", NULL);
    timer_init(&timer, writer->loop, start_some, writer);
    timer_start(&timer, 0);
    loop_run(writer->loop);
    loop_free(writer->loop);
    return NULL;
}

static void many_threads_at_once(void **state)
{
    struct spool *spool = open_small(*state);
    struct writer writers[THREADS] = {0};
    struct picture picture;
    struct spool_stats stats;

    for (unsigned i = 0; i < THREADS; i++) {
        writers[i].spool = spool;
        writers[i].number = i;
        pthread_create(&writers[i].thread, NULL, writer_thread, &writers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(writers[i].thread, NULL);
    spool_get_stats(spool, &stats);
    assert_true(stats.syncs <= stats.stored + stats.removed + stats.compacted + 2);
    spool_close(spool);
    spool = open_small(*state);
    picture = enumerate(spool);
    assert_int_equal(picture.count, THREADS * PER_THREAD / 2);
    drop_picture(&picture);
    spool_close(spool);
}

/* It finds out, ever more seldom, that nobody joins it. */
static void whoever_writes_alone_is_seldom_made_to_wait(void **state)
{
    static const int waits[] = {1, 3, 6, 11, 20, 37, 70, 135, 200};
    struct spool *spool = open_small(*state);
    struct spool_stats stats;
    size_t expected = 0;

    for (int i = 1; i <= 200; i++) {
        assert_true(store_one(spool, "a", SPAN_LIT("b")) != 0);
        expected += i == waits[expected];
        spool_get_stats(spool, &stats);
        assert_int_equal(stats.moments, expected);
    }
    spool_close(spool);
}

static void without_flush_nothing_is_synced(void **state)
{
    struct spool_config config = small_config(*state);
    struct spool *spool;
    struct spool_stats stats;

    config.flush = false;
    spool = spool_open(&config, NULL);
    assert_true(store_one(spool, "a", SPAN_LIT("b")) != 0);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.syncs, 0);
    spool_close(spool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(crc_matches_published_values),
        TEST(index_finds_what_was_inserted),
        TEST(stores_and_reads),
        TEST(is_there_after_opening_again),
        TEST(reading_what_is_gone_is_an_error),
        TEST(items_share_one_body),
        TEST(takes_what_is_larger_than_a_segment),
        TEST(refuses_a_directory_in_use_and_unknown_versions),
        TEST(a_flipped_bit_costs_one_record_at_most),
        TEST(a_torn_tail_costs_what_was_torn),
        TEST(a_torn_transaction_is_not_there_at_all),
        TEST(churn_keeps_to_the_model_and_reuses_segments),
        TEST(a_backlog_does_not_hold_what_passes_through),
        TEST(keeps_to_the_floors),
        TEST(many_threads_at_once),
        TEST(whoever_writes_alone_is_seldom_made_to_wait),
        TEST(without_flush_nothing_is_synced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
