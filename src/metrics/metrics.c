/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting without a lock: every thread adds to a block of its own, and who reads sums the
 * blocks. A thread that ends leaves what it counted behind in `folded`. A sum read while
 * others count may be a moment old; it is never torn.
 */
#include "metrics/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/must.h"
#include "metrics/metrics_private.h"

/* A histogram is a run of values: its buckets, then the sum. */
#define HISTOGRAM_VALUES (METRICS_BOUNDS + 2)
#define VALUES_COUNT (METRIC_COUNT + HISTOGRAM_COUNT * HISTOGRAM_VALUES)

struct block {
    /* owned by its thread; read by others */
    _Atomic int64_t values[VALUES_COUNT];
    /* shared, under lock */
    struct list_node node;
};

struct collector {
    struct list_node node;
    metrics_collect_fn *collect;
    void *ctx;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t collectors_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_end_key;
static struct list blocks;
static struct list collectors;
static int64_t folded[VALUES_COUNT];
static _Thread_local struct block *mine;

static int64_t load(const struct block *block, int value)
{
    return atomic_load_explicit(&block->values[value], memory_order_relaxed);
}

static void on_thread_end(void *arg)
{
    struct block *block = arg;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < VALUES_COUNT; i++)
        folded[i] += load(block, i);
    list_remove(&blocks, &block->node);
    pthread_mutex_unlock(&lock);
    mine = NULL;
    free(block);
}

static void set_up(void)
{
    list_init(&blocks);
    list_init(&collectors);
    MUST(pthread_key_create(&thread_end_key, on_thread_end) == 0);
}

static struct block *new_block(void)
{
    struct block *block = mem_zalloc(sizeof *block);

    pthread_once(&once, set_up);
    MUST(pthread_setspecific(thread_end_key, block) == 0);
    pthread_mutex_lock(&lock);
    list_push_back(&blocks, &block->node);
    pthread_mutex_unlock(&lock);
    return mine = block;
}

static void add(int value, int64_t amount)
{
    struct block *block = mine ? mine : new_block();

    /* Only this thread writes here: a plain load and store, seen whole by readers. */
    atomic_store_explicit(&block->values[value], load(block, value) + amount, memory_order_relaxed);
}

static int64_t sum_of(int value)
{
    int64_t sum = folded[value];

    for (struct list_node *node = list_first(&blocks); node; node = list_next(&blocks, node))
        sum += load(CONTAINER_OF(node, struct block, node), value);
    return sum;
}

void metrics_add(enum metric metric, int64_t amount) { add((int)metric, amount); }

int64_t metrics_get(enum metric metric)
{
    int64_t sum;

    pthread_once(&once, set_up);
    pthread_mutex_lock(&lock);
    sum = sum_of((int)metric);
    pthread_mutex_unlock(&lock);
    return sum;
}

static int first_value_of(enum histogram histogram) { return METRIC_COUNT + (int)histogram * HISTOGRAM_VALUES; }

void metrics_observe_us(enum histogram histogram, uint64_t took_us)
{
    int first = first_value_of(histogram), bucket = 0;

    while (bucket < METRICS_BOUNDS && took_us > metrics_bounds_us[bucket])
        bucket++;
    add(first + bucket, 1);
    add(first + METRICS_BOUNDS + 1, took_us < INT64_MAX ? (int64_t)took_us : INT64_MAX);
}

void metrics_get_histogram(enum histogram histogram, struct histogram_sum *sum_out)
{
    int first = first_value_of(histogram);

    pthread_once(&once, set_up);
    pthread_mutex_lock(&lock);
    for (int i = 0; i <= METRICS_BOUNDS; i++)
        sum_out->buckets[i] = sum_of(first + i);
    sum_out->sum_us = sum_of(first + METRICS_BOUNDS + 1);
    pthread_mutex_unlock(&lock);
}

void metrics_add_collector(metrics_collect_fn *collect, void *ctx)
{
    struct collector *collector = mem_zalloc(sizeof *collector);

    collector->collect = collect;
    collector->ctx = ctx;
    pthread_once(&once, set_up);
    pthread_mutex_lock(&collectors_lock);
    list_push_back(&collectors, &collector->node);
    pthread_mutex_unlock(&collectors_lock);
}

/* Waits for a scrape that is using it: after the return `ctx` may go away. */
void metrics_remove_collector(metrics_collect_fn *collect, void *ctx)
{
    struct list_node *next;

    pthread_once(&once, set_up);
    pthread_mutex_lock(&collectors_lock);
    for (struct list_node *node = list_first(&collectors); node; node = next) {
        struct collector *collector = CONTAINER_OF(node, struct collector, node);

        next = list_next(&collectors, node);
        if (collector->collect == collect && collector->ctx == ctx) {
            list_remove(&collectors, node);
            free(collector);
        }
    }
    pthread_mutex_unlock(&collectors_lock);
}

void metrics_collect(struct buf *out)
{
    pthread_once(&once, set_up);
    pthread_mutex_lock(&collectors_lock);
    for (struct list_node *node = list_first(&collectors); node; node = list_next(&collectors, node)) {
        struct collector *collector = CONTAINER_OF(node, struct collector, node);

        collector->collect(collector->ctx, out);
    }
    pthread_mutex_unlock(&collectors_lock);
}
