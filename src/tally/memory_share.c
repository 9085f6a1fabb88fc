/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory beside Redis: it follows what Redis answers, tells what it knows when Redis has lost it, and lists itself.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "tally/memory_private.h"

/* ---- following ---- */

static void follow_counter(struct cell *cell, const struct tally_result *shared, uint64_t now_ms)
{
    if (rules_counter_now(&cell->counter, now_ms) <= shared->value)
        return;
    cell->counter.value = shared->value;
    cell->counter.at_ms = now_ms;
}

static void follow_budget(struct cell *cell, const struct tally_result *shared, uint64_t now_ms)
{
    if (rules_budget_now(&cell->budget, now_ms) <= shared->value)
        return;
    cell->budget.former = 0;
    cell->budget.present = shared->value;
}

/* More than all nodes together have: somebody forgot them there. Of ours only the one just asked about is known. */
static void follow_members(struct memory *memory, struct cell *cell, const struct tally_item *item,
                           const struct tally_result *shared)
{
    size_t weight = memory_weight(cell);
    struct tally_member *member = rules_member_find(&cell->members, item->member);
    struct tally_member kept;

    if (cell->members.count <= shared->value)
        return;
    if (member)
        kept = *member;
    cell->members.count = 0;
    if (member && shared->value > 0)
        rules_member_put(&cell->members, &kept);
    memory_reweigh(memory, cell, weight);
}

static void lower_to(struct memory *memory, const struct tally_item *item, enum tally_type type,
                     const struct tally_result *shared)
{
    uint64_t hash = map_hash(item->key);
    struct shard *shard = memory_shard(memory, hash);
    struct cell *cell;

    pthread_mutex_lock(&shard->lock);
    cell = *memory_find(memory, hash, type, item->key);
    if (cell && type == TALLY_COUNTER)
        follow_counter(cell, shared, clock_mono_ms());
    else if (cell && type == TALLY_BUDGET)
        follow_budget(cell, shared, clock_mono_ms());
    else if (cell && type == TALLY_SET)
        follow_members(memory, cell, item, shared);
    pthread_mutex_unlock(&shard->lock);
}

/* A mark is what Redis says it is, however it came there. */
static void copy_mark(struct memory *memory, const struct tally_item *item, const struct tally_result *shared)
{
    uint64_t hash = map_hash(item->key);
    struct shard *shard = memory_shard(memory, hash);
    struct cell *cell;

    pthread_mutex_lock(&shard->lock);
    cell = *memory_find(memory, hash, TALLY_MARKED, item->key);
    if (!cell && shared->left_ms)
        cell = memory_make(memory, hash, TALLY_MARKED, item->key);
    if (cell && shared->left_ms)
        cell->mark = (struct tally_mark){.value = shared->value, .until_ms = clock_mono_ms() + shared->left_ms};
    else if (cell)
        memory_drop(memory, cell);
    memory_evict(memory, shard, clock_mono_ms());
    pthread_mutex_unlock(&shard->lock);
}

static void follow_one(struct memory *memory, struct tally_batch *one, const struct tally_result *shared)
{
    const struct tally_item *item = &one->items[0];

    if (item->kind == TALLY_MARK || item->kind == TALLY_IS_MARKED) {
        copy_mark(memory, item, shared);
        return;
    }
    memory_run(memory, one, false);
    if (item->kind == TALLY_COUNT)
        lower_to(memory, item, TALLY_COUNTER, shared);
    else if (item->kind == TALLY_TAKE)
        lower_to(memory, item, TALLY_BUDGET, shared);
    else if (item->kind != TALLY_FORGET)
        lower_to(memory, item, TALLY_SET, shared);
}

void memory_follow(struct memory *memory, const struct tally_batch *batch)
{
    struct tally_batch *one;

    if (batch->refused_by >= 0)
        return;
    one = tally_batch_new();
    one->is_forced = true;
    one->count = 1;
    for (size_t i = 0; i < batch->count; i++) {
        one->items[0] = batch->items[i];
        one->items[0].if_new = 0;
        if (!batch->items[i].if_new || !batch->results[batch->items[i].if_new - 1].was_there)
            follow_one(memory, one, &batch->results[i]);
    }
    tally_batch_free(one);
}

/* ---- telling what it knows ---- */

static void export_members(struct cell *cell, struct tally_item *item, uint64_t now_ms, memory_emit_fn *emit, void *ctx)
{
    item->kind = TALLY_JOIN;
    item->most = UINT32_MAX;
    for (uint32_t i = 0; i < cell->members.count; i++) {
        if (cell->members.list[i].until_ms <= now_ms)
            continue;
        item->time_ms = cell->members.list[i].until_ms - now_ms;
        memcpy(item->member, cell->members.list[i].id, sizeof item->member);
        emit(ctx, item);
    }
}

static void export_amount(const struct cell *cell, struct tally_item *item, uint64_t now_ms)
{
    if (cell->type == TALLY_COUNTER) {
        item->kind = TALLY_COUNT;
        item->amount = rules_counter_now(&cell->counter, now_ms);
        item->time_ms = cell->counter.half_life_ms;
    } else {
        item->kind = TALLY_TAKE;
        item->amount = rules_budget_now(&cell->budget, now_ms);
        item->time_ms = cell->budget.window_ms;
    }
}

static void export_cell(struct cell *cell, bool everything, uint64_t now_ms, memory_emit_fn *emit, void *ctx)
{
    struct tally_item item = {.key = cell_key(cell)};
    bool may_be_twice = cell->type == TALLY_MARKED || cell->type == TALLY_SET;

    if (!memory_left_ms(cell, now_ms) || !(everything || (cell->is_unsent && may_be_twice)))
        return;
    if (cell->type == TALLY_SET) {
        export_members(cell, &item, now_ms, emit, ctx);
        return;
    }
    if (cell->type == TALLY_MARKED) {
        item.kind = TALLY_MARK;
        item.keep = everything; /* another node may have told of a later one */
        item.amount = cell->mark.value;
        item.time_ms = cell->mark.until_ms - now_ms;
    } else {
        export_amount(cell, &item, now_ms);
    }
    emit(ctx, &item);
}

void memory_export(struct memory *memory, size_t shard_index, bool everything, memory_emit_fn *emit, void *ctx)
{
    struct shard *shard = &memory->shards[shard_index];
    uint64_t now_ms = clock_mono_ms();

    pthread_mutex_lock(&shard->lock);
    for (size_t i = 0; i < memory->bucket_count; i++) {
        for (struct cell *cell = shard->buckets[i]; cell; cell = cell->next) {
            export_cell(cell, everything, now_ms, emit, ctx);
            cell->is_unsent = false;
        }
    }
    pthread_mutex_unlock(&shard->lock);
}

/* ---- listing ---- */

static double value_of(struct cell *cell, uint64_t now_ms)
{
    uint32_t count = 0;

    switch ((enum tally_type)cell->type) {
    case TALLY_COUNTER:
        return rules_counter_now(&cell->counter, now_ms);
    case TALLY_BUDGET:
        return rules_budget_now(&cell->budget, now_ms);
    case TALLY_MARKED:
        return cell->mark.value;
    case TALLY_SET:
        for (uint32_t i = 0; i < cell->members.count; i++)
            count += cell->members.list[i].until_ms > now_ms;
    }
    return count;
}

static void list_bucket(struct memory *memory, struct cell *cell, const struct tally_wanted *wanted,
                        struct tally_found *found)
{
    uint64_t now_ms = clock_mono_ms();
    struct cell *next;

    for (; cell && found->count < wanted->limit; cell = next) {
        struct tally_entry entry = {.key = cell_key(cell), .type = (enum tally_type)cell->type};

        next = cell->next;
        entry.left_ms = memory_left_ms(cell, now_ms);
        if (!entry.left_ms || !tally_is_wanted(wanted, cell_key(cell)))
            continue;
        entry.value = value_of(cell, now_ms);
        if (!wanted->remove) {
            tally_found_add(found, &entry);
            continue;
        }
        memory_drop(memory, cell);
        found->removed++;
    }
}

bool memory_list(struct memory *memory, const struct tally_wanted *wanted, struct tally_found *found)
{
    for (size_t s = 0; s < memory->shard_count; s++) {
        struct shard *shard = &memory->shards[s];

        pthread_mutex_lock(&shard->lock);
        for (size_t i = 0; i < memory->bucket_count; i++)
            list_bucket(memory, shard->buckets[i], wanted, found);
        pthread_mutex_unlock(&shard->lock);
    }
    return wanted->remove || found->count < wanted->limit;
}
