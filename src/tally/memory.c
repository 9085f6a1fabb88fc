/* SPDX-License-Identifier: Apache-2.0
 *
 * The cells, and who must go when there are too many. A flood of new keys must not push out what matters, so of a few
 * cells picked at random the one goes that would be nothing soonest: what was counted once before what was counted
 * often, what nobody asked for again before what is in use, what is short-lived before a mark of weeks.
 */
#include "tally/memory_private.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "metrics/metrics.h"

#define ENTRIES_DEFAULT 1000000
#define SHARDS 64
#define SHARD_LEAST_ENTRIES 256 /* fewer, and one shard is enough */
/* A third of a shard's picks may be worth keeping: with so many, none of them is given up in a million evictions. */
#define EVICTION_SAMPLES 24
#define MEMBERS_PER_WEIGHT 4 /* as many bytes as a cell */

struct memory *memory_new(size_t entries)
{
    struct memory *memory = mem_zalloc(sizeof *memory);

    entries = entries ? entries : ENTRIES_DEFAULT;
    memory->shard_count = entries >= SHARDS * SHARD_LEAST_ENTRIES ? SHARDS : 1;
    memory->weight_limit = entries / memory->shard_count;
    memory->bucket_count = 1;
    while (memory->bucket_count < memory->weight_limit)
        memory->bucket_count *= 2;
    memory->shards = mem_zalloc(memory->shard_count * sizeof *memory->shards);
    for (size_t i = 0; i < memory->shard_count; i++) {
        pthread_mutex_init(&memory->shards[i].lock, NULL);
        memory->shards[i].buckets = mem_zalloc(memory->bucket_count * sizeof(struct cell *));
    }
    return memory;
}

static void free_shard(struct memory *memory, struct shard *shard)
{
    for (size_t i = 0; i < memory->bucket_count; i++)
        while (shard->buckets[i])
            memory_drop(memory, shard->buckets[i]);
    free(shard->buckets);
    pthread_mutex_destroy(&shard->lock);
}

void memory_free(struct memory *memory)
{
    if (!memory)
        return;
    for (size_t i = 0; i < memory->shard_count; i++)
        free_shard(memory, &memory->shards[i]);
    free(memory->shards);
    free(memory);
}

size_t memory_count(struct memory *memory)
{
    size_t count = 0;

    for (size_t i = 0; i < memory->shard_count; i++) {
        pthread_mutex_lock(&memory->shards[i].lock);
        count += memory->shards[i].count;
        pthread_mutex_unlock(&memory->shards[i].lock);
    }
    return count;
}

size_t memory_shards(const struct memory *memory) { return memory->shard_count; }

/* ---- finding ---- */

struct shard *memory_shard(struct memory *memory, uint64_t hash)
{
    return &memory->shards[(hash >> 48) & (memory->shard_count - 1)];
}

static struct cell **bucket_of(struct memory *memory, uint64_t hash)
{
    return &memory_shard(memory, hash)->buckets[hash & (memory->bucket_count - 1)];
}

struct cell **memory_find(struct memory *memory, uint64_t hash, enum tally_type type, struct span key)
{
    struct cell **link = bucket_of(memory, hash);

    while (*link && !((*link)->hash == hash && (*link)->type == type && span_eq(cell_key(*link), key)))
        link = &(*link)->next;
    return link;
}

void memory_link(struct memory *memory, struct cell *cell)
{
    struct cell **link = bucket_of(memory, cell->hash);
    struct shard *shard = memory_shard(memory, cell->hash);

    cell->next = *link;
    *link = cell;
    shard->count++;
    shard->weight += memory_weight(cell);
    metrics_add(METRIC_TALLY_ENTRIES, 1);
}

/* The dead are swept where the living come in: the chain is at hand, and the lock is held. */
static void sweep(struct memory *memory, struct cell *cell)
{
    uint64_t now_ms = clock_mono_ms();
    struct cell *next;

    for (; cell; cell = next) {
        next = cell->next;
        if (!cell->is_pinned && !memory_left_ms(cell, now_ms))
            memory_drop(memory, cell);
    }
}

struct cell *memory_make(struct memory *memory, uint64_t hash, enum tally_type type, struct span key)
{
    struct cell *cell = mem_zalloc(sizeof *cell + key.len);

    cell->hash = hash;
    cell->type = (uint8_t)type;
    cell->key_len = (uint16_t)key.len;
    memcpy(cell->key, key.data, key.len);
    sweep(memory, *bucket_of(memory, hash));
    memory_link(memory, cell);
    return cell;
}

void memory_unlink(struct memory *memory, struct cell *cell)
{
    struct cell **link = bucket_of(memory, cell->hash);
    struct shard *shard = memory_shard(memory, cell->hash);

    while (*link != cell)
        link = &(*link)->next;
    *link = cell->next;
    shard->count--;
    shard->weight -= memory_weight(cell);
    metrics_add(METRIC_TALLY_ENTRIES, -1);
}

void memory_cell_free(struct cell *cell)
{
    if (cell->type == TALLY_SET)
        free(cell->members.list);
    free(cell);
}

void memory_drop(struct memory *memory, struct cell *cell)
{
    memory_unlink(memory, cell);
    memory_cell_free(cell);
}

/* ---- weighing ---- */

size_t memory_weight(const struct cell *cell)
{
    return cell->type == TALLY_SET ? 1 + cell->members.count / MEMBERS_PER_WEIGHT : 1;
}

void memory_reweigh(struct memory *memory, const struct cell *cell, size_t former_weight)
{
    memory_shard(memory, cell->hash)->weight += memory_weight(cell) - former_weight;
}

uint64_t memory_left_ms(const struct cell *cell, uint64_t now_ms)
{
    uint64_t until_ms = 0;

    switch ((enum tally_type)cell->type) {
    case TALLY_COUNTER:
        return rules_counter_left_ms(&cell->counter, now_ms);
    case TALLY_BUDGET:
        return rules_budget_left_ms(&cell->budget, now_ms);
    case TALLY_MARKED:
        until_ms = cell->mark.until_ms;
        break;
    case TALLY_SET:
        until_ms = cell->members.count ? cell->members.until_ms : 0;
        break;
    }
    return until_ms > now_ms ? until_ms - now_ms : 0;
}

/* ---- eviction ---- */

static double worth(const struct cell *cell, uint64_t now_ms)
{
    return (double)memory_left_ms(cell, now_ms) * (1 + cell->hits);
}

static struct cell *pick(const struct memory *memory, const struct shard *shard)
{
    size_t bucket = (size_t)random_below(memory->bucket_count);

    for (size_t i = 0; i < memory->bucket_count; i++) {
        struct cell *cell = shard->buckets[(bucket + i) & (memory->bucket_count - 1)];

        while (cell && cell->is_pinned)
            cell = cell->next;
        if (cell)
            return cell;
    }
    return NULL;
}

static struct cell *pick_least(const struct memory *memory, const struct shard *shard, uint64_t now_ms)
{
    struct cell *least = NULL;
    double least_worth = 0;

    for (int i = 0; i < EVICTION_SAMPLES; i++) {
        struct cell *cell = pick(memory, shard);
        double cell_worth = cell ? worth(cell, now_ms) : 0;

        if (cell && (!least || cell_worth < least_worth)) {
            least = cell;
            least_worth = cell_worth;
        }
    }
    return least;
}

void memory_evict(struct memory *memory, struct shard *shard, uint64_t now_ms)
{
    while (shard->weight > memory->weight_limit) {
        struct cell *least = pick_least(memory, shard, now_ms);

        if (!least) /* all of them in hand: the next batch will find more */
            return;
        memory_drop(memory, least);
        metrics_count(METRIC_TALLY_EVICTIONS);
    }
}
