/* SPDX-License-Identifier: Apache-2.0
 *
 * Durable insert then delete: so many writers, each storing one message and removing the
 * one before as soon as it is told; and the time to read a backlog back. Prints messages
 * per second and CPU microseconds of the whole process per message.
 *   spool_bench DIRECTORY WRITERS BYTES SECONDS [backlog N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "loop/loop.h"
#include "spool/spool.h"

struct writer {
    struct spool_store store;
    struct spool_item item;
    struct bench *bench;
};

struct bench {
    struct spool *spool;
    struct loop *loop;
    uint64_t end_us, stored, limit;
    unsigned writers, running;
    bool removes;
};

static void store_next(struct writer *writer)
{
    writer->store.items = &writer->item;
    writer->store.count = 1;
    spool_store(writer->bench->spool, &writer->store);
}

static void on_done(struct spool_store *store, const struct error *error)
{
    struct writer *writer = CONTAINER_OF(store, struct writer, store);
    struct bench *bench = writer->bench;

    MUST(!error);
    bench->stored++;
    if (bench->removes)
        spool_remove(bench->spool, writer->item.ref);
    if (clock_mono_us() < bench->end_us && bench->stored + bench->running <= bench->limit)
        store_next(writer);
    else if (--bench->running == 0)
        loop_stop(bench->loop);
}

static double cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static struct writer *writers;

static void start(void *ctx)
{
    struct bench *bench = ctx;

    for (unsigned i = 0; i < bench->writers; i++)
        store_next(&writers[i]);
}

static void run(struct bench *bench, size_t body_bytes, double seconds)
{
    static char record[300];
    struct bytes *body = bytes_take(mem_zalloc(body_bytes), body_bytes);
    uint64_t began = clock_mono_us();
    double cpu = cpu_us(), took;
    struct spool_stats stats;
    struct timer timer;

    writers = mem_zalloc(bench->writers * sizeof *writers);
    for (unsigned i = 0; i < bench->writers; i++)
        writers[i] = (struct writer){.item = {.record = span_make(record, sizeof record), .body = body},
                                     .store.on_done = on_done,
                                     .bench = bench};
    bench->running = bench->writers;
    bench->end_us = began + (uint64_t)(seconds * 1e6);
    timer_init(&timer, bench->loop, start, bench);
    timer_start(&timer, 0);
    loop_run(bench->loop);
    took = (double)(clock_mono_us() - began);
    spool_get_stats(bench->spool, &stats);
    printf("writers %u, %zu bytes: %.0f messages/s, %.1f CPU us per message, %.1f messages per sync, %llu segments\n",
           bench->writers, body_bytes, (double)bench->stored / took * 1e6, (cpu_us() - cpu) / (double)bench->stored,
           (double)stats.stored / (double)(stats.syncs ? stats.syncs : 1), (unsigned long long)stats.segments);
    free(writers);
    bytes_unref(&body);
}

/* ---- reading a backlog back ---- */

static uint64_t began_us, first_us;

static void on_entry(void *ctx, uint64_t ref, struct span record, size_t body_bytes)
{
    (void)ctx, (void)ref, (void)record, (void)body_bytes;
    if (!first_us)
        first_us = clock_mono_us();
}

static void on_end(void *ctx, uint64_t shown, uint64_t damaged)
{
    printf("recovered %llu (%llu damaged): first after %.3f s, all after %.3f s\n", (unsigned long long)shown,
           (unsigned long long)damaged, (double)(first_us - began_us) / 1e6,
           (double)(clock_mono_us() - began_us) / 1e6);
    loop_stop(ctx);
}

static void start_recovery(void *ctx)
{
    struct bench *bench = ctx;

    spool_enumerate(bench->spool, on_entry, on_end, bench->loop);
}

static void recover(const struct spool_config *config)
{
    struct bench bench = {.loop = loop_new("bench", NULL)};
    struct timer timer;

    began_us = clock_mono_us();
    bench.spool = spool_open(config, NULL);
    MUST(bench.spool);
    timer_init(&timer, bench.loop, start_recovery, &bench);
    timer_start(&timer, 0);
    loop_run(bench.loop);
    spool_close(bench.spool);
    loop_free(bench.loop);
}

int main(int argc, char **argv)
{
    struct error error = {0};
    struct bench bench = {.limit = UINT64_MAX, .removes = true};
    struct spool_config config = {.name = "bench", .flush = true};
    uint64_t count = 0;

    if (argc < 5) {
        fprintf(stderr, "usage: %s DIRECTORY WRITERS BYTES SECONDS [backlog N]\n", argv[0]);
        return 2;
    }
    config.path = argv[1];
    bench.writers = (unsigned)strtoul(argv[2], NULL, 10);
    if (argc == 7) {
        count = strtoull(argv[6], NULL, 10);
        bench.limit = count;
        bench.removes = false;
    }
    bench.loop = loop_new("bench", &error);
    bench.spool = spool_open(&config, &error);
    if (!bench.loop || !bench.spool) {
        fprintf(stderr, "%s\n", error.sentence);
        return 1;
    }
    run(&bench, strtoul(argv[3], NULL, 10), strtod(argv[4], NULL));
    spool_close(bench.spool);
    loop_free(bench.loop);
    if (count)
        recover(&config);
    return 0;
}
