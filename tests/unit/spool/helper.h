/* SPDX-License-Identifier: Apache-2.0
 *
 * What the spool's tests share: a scratch directory, blocking forms of the calls, and a
 * picture of what a spool shows.
 */
#ifndef GATEPOST_TESTS_SPOOL_HELPER_H
#define GATEPOST_TESTS_SPOOL_HELPER_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "loop/loop.h"
#include "spool/format.h"
#include "spool/io.h"
#include "spool/spool.h"

#define SMALL_SEGMENT 65536

static struct loop *test_loop;

static void remove_tree(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *found;

    while (directory && (found = readdir(directory)))
        if (found->d_name[0] != '.')
            unlinkat(dirfd(directory), found->d_name, 0);
    if (directory)
        closedir(directory);
    rmdir(path);
}

static char *make_scratch(void)
{
    const char *base = getenv("TMPDIR");
    char *path = mem_printf("%s/spool-test-XXXXXX", base ? base : "/tmp");

    MUST(mkdtemp(path));
    return path;
}

__attribute__((unused)) static void copy_tree(const char *from, const char *to)
{
    DIR *directory = opendir(from);
    struct dirent *found;
    static char data[1 << 20];

    mkdir(to, 0700);
    while (directory && (found = readdir(directory))) {
        int in, out;
        ssize_t got;

        if (found->d_name[0] == '.')
            continue;
        in = openat(dirfd(directory), found->d_name, O_RDONLY);
        char *name = mem_printf("%s/%s", to, found->d_name);
        out = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        free(name);
        MUST(in >= 0 && out >= 0);
        while ((got = read(in, data, sizeof data)) > 0)
            MUST(write(out, data, (size_t)got) == got);
        close(in);
        close(out);
    }
    if (directory)
        closedir(directory);
}

static struct spool_config small_config(const char *path)
{
    return (struct spool_config){.name = "test", .path = path, .flush = true, .segment_bytes = SMALL_SEGMENT};
}

__attribute__((unused)) static struct spool *open_small(const char *path)
{
    struct spool_config config = small_config(path);
    struct error error = {0};
    struct spool *spool = spool_open(&config, &error);

    if (!spool)
        fprintf(stderr, "spool_open: %s\n", error.sentence);
    return spool;
}

/* ---- blocking forms ---- */

struct waiting_store {
    struct spool_store store;
    bool done;
    enum error_kind kind;
};

static void on_stored(struct spool_store *store, const struct error *error)
{
    struct waiting_store *waiting = CONTAINER_OF(store, struct waiting_store, store);

    waiting->kind = error ? error->kind : ERROR_NONE;
    waiting->done = true;
}

/* spool_store takes the loop from loop_current, so it is called from within a turn. */
struct call {
    struct deferred deferred;
    void (*run)(void *arg);
    void *arg;
};

static void run_call(struct deferred *deferred)
{
    struct call *call = CONTAINER_OF(deferred, struct call, deferred);

    call->run(call->arg);
}

static void in_loop(void (*run)(void *arg), void *arg)
{
    struct call call = {.deferred.run = run_call, .run = run, .arg = arg};

    list_node_init(&call.deferred.node);
    loop_defer(test_loop, &call.deferred);
    loop_turn(test_loop, false);
    while (list_has(&call.deferred.node))
        loop_turn(test_loop, false);
}

static void start_store(void *arg)
{
    struct waiting_store *waiting = arg;

    spool_store(waiting->store.spool, &waiting->store);
}

static enum error_kind store_items(struct spool *spool, struct spool_item *items, size_t count)
{
    struct waiting_store waiting = {.store = {.spool = spool, .items = items, .count = count, .on_done = on_stored}};

    in_loop(start_store, &waiting);
    while (!waiting.done)
        loop_turn(test_loop, true);
    return waiting.kind;
}

/* 0 when it failed. */
__attribute__((unused)) static uint64_t store_one(struct spool *spool, const char *record, struct span body)
{
    struct spool_item item = {.record = span_of(record), .body = bytes_copy(body)};
    enum error_kind kind = store_items(spool, &item, 1);

    bytes_unref(&item.body);
    return kind == ERROR_NONE ? item.ref : 0;
}

struct waiting_update {
    struct spool *spool;
    uint64_t ref;
    struct span record;
    bool done;
    enum error_kind kind;
};

static void on_updated(void *ctx, uint64_t ref, const struct error *error)
{
    struct waiting_update *waiting = ctx;

    waiting->ref = ref;
    waiting->kind = error ? error->kind : ERROR_NONE;
    waiting->done = true;
}

static void start_update(void *arg)
{
    struct waiting_update *waiting = arg;

    spool_update(waiting->spool, waiting->ref, waiting->record, on_updated, waiting);
}

__attribute__((unused)) static enum error_kind update_one(struct spool *spool, uint64_t *ref, const char *record)
{
    struct waiting_update waiting = {.spool = spool, .ref = *ref, .record = span_of(record)};

    in_loop(start_update, &waiting);
    while (!waiting.done)
        loop_turn(test_loop, true);
    *ref = waiting.ref;
    return waiting.kind;
}

struct waiting_read {
    struct spool *spool;
    uint64_t ref;
    bool done;
    enum error_kind kind;
    char *record;
    size_t record_len;
    struct bytes *body;
};

static void on_read(void *ctx, char *record, size_t record_len, struct bytes *body, const struct error *error)
{
    struct waiting_read *waiting = ctx;

    waiting->record = record;
    waiting->record_len = record_len;
    waiting->body = body;
    waiting->kind = error ? error->kind : ERROR_NONE;
    waiting->done = true;
}

static void start_read(void *arg)
{
    struct waiting_read *waiting = arg;

    spool_read(waiting->spool, waiting->ref, on_read, waiting);
}

static struct waiting_read read_one(struct spool *spool, uint64_t ref)
{
    struct waiting_read waiting = {.spool = spool, .ref = ref};

    in_loop(start_read, &waiting);
    while (!waiting.done)
        loop_turn(test_loop, true);
    return waiting;
}

static void drop_read(struct waiting_read *waiting)
{
    free(waiting->record);
    bytes_unref(&waiting->body);
}

__attribute__((unused)) static bool reads_as(struct spool *spool, uint64_t ref, const char *record, struct span body)
{
    struct waiting_read got = read_one(spool, ref);
    bool same = got.kind == ERROR_NONE && span_eq(span_make(got.record, got.record_len), span_of(record)) &&
                span_eq(bytes_span(got.body), body);

    drop_read(&got);
    return same;
}

/* ---- enumeration ---- */

struct seen {
    uint64_t ref;
    char *record;
    size_t body_bytes;
};

struct picture {
    struct spool *spool;
    struct seen *list;
    size_t count;
    uint64_t damaged;
    bool done;
};

static void on_entry(void *ctx, uint64_t ref, struct span record, size_t body_bytes)
{
    struct picture *picture = ctx;

    picture->list = mem_realloc(picture->list, (picture->count + 1) * sizeof *picture->list);
    picture->list[picture->count++] = (struct seen){ref, span_dup(record), body_bytes};
}

static void on_enumerated(void *ctx, uint64_t shown, uint64_t damaged)
{
    struct picture *picture = ctx;

    MUST(shown == picture->count);
    picture->damaged = damaged;
    picture->done = true;
}

static void start_enumerate(void *arg)
{
    struct picture *picture = arg;

    spool_enumerate(picture->spool, on_entry, on_enumerated, picture);
}

static struct picture enumerate(struct spool *spool)
{
    struct picture picture = {.spool = spool};

    in_loop(start_enumerate, &picture);
    while (!picture.done)
        loop_turn(test_loop, true);
    return picture;
}

static void drop_picture(struct picture *picture)
{
    for (size_t i = 0; i < picture->count; i++)
        free(picture->list[i].record);
    free(picture->list);
}

__attribute__((unused)) static const struct seen *find_record(const struct picture *picture, const char *record)
{
    for (size_t i = 0; i < picture->count; i++)
        if (!strcmp(picture->list[i].record, record))
            return &picture->list[i];
    return NULL;
}

static int set_up(void **state)
{
    struct error error;

    test_loop = loop_new("test", &error);
    *state = make_scratch();
    return test_loop ? 0 : -1;
}

static int tear_down(void **state)
{
    spool_io_inject(NULL);
    remove_tree(*state);
    free(*state);
    loop_free(test_loop);
    return 0;
}

#endif
