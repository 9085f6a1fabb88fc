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

struct block {
    /* owned by its thread; read by others */
    _Atomic int64_t values[METRIC_COUNT];
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
static int64_t folded[METRIC_COUNT];
static _Thread_local struct block *mine;

static int64_t load(const struct block *block, int metric)
{
    return atomic_load_explicit(&block->values[metric], memory_order_relaxed);
}

static void on_thread_end(void *arg)
{
    struct block *block = arg;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < METRIC_COUNT; i++)
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

void metrics_add(enum metric metric, int64_t amount)
{
    struct block *block = mine ? mine : new_block();

    /* Only this thread writes here: a plain load and store, seen whole by readers. */
    atomic_store_explicit(&block->values[metric], load(block, (int)metric) + amount, memory_order_relaxed);
}

int64_t metrics_get(enum metric metric)
{
    int64_t sum;

    pthread_once(&once, set_up);
    pthread_mutex_lock(&lock);
    sum = folded[metric];
    for (struct list_node *node = list_first(&blocks); node; node = list_next(&blocks, node))
        sum += load(CONTAINER_OF(node, struct block, node), (int)metric);
    pthread_mutex_unlock(&lock);
    return sum;
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
