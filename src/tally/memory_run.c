/* SPDX-License-Identifier: Apache-2.0
 *
 * A batch against this node's memory, all or nothing. The shards it needs are locked in order, each operation is done
 * and noted, and when one refuses the notes are undone from the last to the first.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/must.h"
#include "tally/memory_private.h"

#define TYPES 4
#define HITS_MOST 255

struct note {
    struct cell *cell;
    enum { NOTE_CHANGED, NOTE_MADE, NOTE_TAKEN_OUT } what;
    union {
        struct tally_counter counter;
        struct tally_budget budget;
        struct tally_mark mark;
        struct tally_member member; /* until_ms 0: was none */
    } former;
};

struct run {
    struct memory *memory;
    struct tally_batch *batch;
    uint64_t now_ms;
    bool is_apart;
    uint64_t hashes[TALLY_OPS_MOST];
    struct shard *locked[TALLY_OPS_MOST];
    size_t locked_count;
    struct note notes[TALLY_OPS_MOST * TYPES];
    size_t note_count;
};

/* ---- locks ---- */

static int compare_shards(const void *a, const void *b)
{
    const struct shard *x = *(struct shard *const *)a;
    const struct shard *y = *(struct shard *const *)b;

    return x < y ? -1 : x > y;
}

static void lock_shards(struct run *run)
{
    struct shard *all[TALLY_OPS_MOST];

    for (size_t i = 0; i < run->batch->count; i++) {
        run->hashes[i] = map_hash(run->batch->items[i].key);
        all[i] = memory_shard(run->memory, run->hashes[i]);
    }
    qsort(all, run->batch->count, sizeof *all, compare_shards);
    for (size_t i = 0; i < run->batch->count; i++) {
        if (i && all[i] == all[i - 1])
            continue;
        pthread_mutex_lock(&all[i]->lock);
        run->locked[run->locked_count++] = all[i];
    }
}

static void unlock_shards(struct run *run)
{
    for (size_t i = 0; i < run->locked_count; i++) {
        memory_evict(run->memory, run->locked[i], run->now_ms);
        pthread_mutex_unlock(&run->locked[i]->lock);
    }
}

/* ---- cells, and the notes about them ---- */

static enum tally_type type_of(enum tally_kind kind)
{
    switch (kind) {
    case TALLY_COUNT:
        return TALLY_COUNTER;
    case TALLY_TAKE:
        return TALLY_BUDGET;
    case TALLY_MARK:
    case TALLY_IS_MARKED:
        return TALLY_MARKED;
    default:
        return TALLY_SET;
    }
}

/* What only reads makes no cell. */
static bool writes(const struct tally_item *item)
{
    switch (item->kind) {
    case TALLY_COUNT:
    case TALLY_TAKE:
        return item->amount != 0;
    default:
        return item->kind == TALLY_MARK || item->kind == TALLY_JOIN;
    }
}

static struct note *take_note(struct run *run, struct cell *cell, int what)
{
    struct note *note = &run->notes[run->note_count++];

    MUST(run->note_count <= sizeof run->notes / sizeof *run->notes);
    note->cell = cell;
    note->what = (typeof(note->what))what;
    cell->is_pinned = true;
    return note;
}

static void note_former(struct note *note, const struct tally_item *item)
{
    struct cell *cell = note->cell;
    struct tally_member *member;

    switch ((enum tally_type)cell->type) {
    case TALLY_COUNTER:
        note->former.counter = cell->counter;
        return;
    case TALLY_BUDGET:
        note->former.budget = cell->budget;
        return;
    case TALLY_MARKED:
        note->former.mark = cell->mark;
        return;
    case TALLY_SET:
        member = rules_member_find(&cell->members, item->member);
        memcpy(note->former.member.id, item->member, TALLY_DIGEST_BYTES);
        note->former.member.until_ms = member ? member->until_ms : 0;
    }
}

/* NULL: nothing is there, and nothing need be. */
static struct cell *cell_for(struct run *run, size_t index, bool writes)
{
    const struct tally_item *item = &run->batch->items[index];
    enum tally_type type = type_of(item->kind);
    struct cell *cell = *memory_find(run->memory, run->hashes[index], type, item->key);

    if (cell) {
        cell->hits = (uint8_t)(cell->hits + (cell->hits < HITS_MOST));
        note_former(take_note(run, cell, NOTE_CHANGED), item);
    } else if (writes) {
        cell = memory_make(run->memory, run->hashes[index], type, item->key);
        take_note(run, cell, NOTE_MADE);
    }
    if (cell && writes)
        cell->is_unsent |= run->is_apart;
    return cell;
}

static void undo_members(struct memory *memory, struct cell *cell, const struct tally_member *former)
{
    size_t weight = memory_weight(cell);
    struct tally_member *member = rules_member_find(&cell->members, former->id);

    if (former->until_ms)
        rules_member_put(&cell->members, former);
    else if (member)
        rules_member_remove(&cell->members, member);
    memory_reweigh(memory, cell, weight);
}

static void undo_change(struct memory *memory, const struct note *note)
{
    struct cell *cell = note->cell;

    switch ((enum tally_type)cell->type) {
    case TALLY_COUNTER:
        cell->counter = note->former.counter;
        return;
    case TALLY_BUDGET:
        cell->budget = note->former.budget;
        return;
    case TALLY_MARKED:
        cell->mark = note->former.mark;
        return;
    case TALLY_SET:
        undo_members(memory, cell, &note->former.member);
    }
}

static void undo(struct run *run)
{
    while (run->note_count) {
        struct note *note = &run->notes[--run->note_count];

        note->cell->is_pinned = false;
        if (note->what == NOTE_MADE)
            memory_drop(run->memory, note->cell);
        else if (note->what == NOTE_TAKEN_OUT)
            memory_link(run->memory, note->cell);
        else
            undo_change(run->memory, note);
    }
}

static void keep(struct run *run)
{
    for (size_t i = 0; i < run->note_count; i++)
        run->notes[i].cell->is_pinned = false;
    for (size_t i = 0; i < run->note_count; i++)
        if (run->notes[i].what == NOTE_TAKEN_OUT)
            memory_cell_free(run->notes[i].cell);
}

/* ---- the operations ---- */

static void forget(struct run *run, size_t index, struct tally_result *result)
{
    for (int type = 0; type < TYPES; type++) {
        struct cell *cell =
            *memory_find(run->memory, run->hashes[index], (enum tally_type)type, run->batch->items[index].key);

        if (!cell)
            continue;
        if (cell->type == TALLY_SET) {
            size_t weight = memory_weight(cell);

            rules_members_expire(&cell->members, run->now_ms);
            memory_reweigh(run->memory, cell, weight);
        }
        result->value += memory_left_ms(cell, run->now_ms) > 0;
        memory_unlink(run->memory, cell);
        take_note(run, cell, NOTE_TAKEN_OUT);
    }
}

static bool run_on_members(struct run *run, struct cell *cell, const struct tally_item *item,
                           struct tally_result *result)
{
    size_t weight = memory_weight(cell);
    bool is_done = true;

    if (item->kind == TALLY_JOIN)
        is_done = rules_join(&cell->members, item, run->batch->is_forced, run->now_ms, result);
    else if (item->kind == TALLY_LEAVE)
        rules_leave(&cell->members, item, run->now_ms, result);
    else
        rules_members(&cell->members, item, run->now_ms, result);
    memory_reweigh(run->memory, cell, weight);
    return is_done;
}

static bool run_on_cell(struct run *run, struct cell *cell, const struct tally_item *item, struct tally_result *result)
{
    switch (item->kind) {
    case TALLY_COUNT:
        rules_count(&cell->counter, item, run->now_ms, result);
        return true;
    case TALLY_TAKE:
        return rules_take(&cell->budget, item, run->batch->is_forced, run->now_ms, result);
    case TALLY_MARK:
        rules_mark(&cell->mark, item, run->now_ms, result);
        return true;
    case TALLY_IS_MARKED:
        rules_is_marked(&cell->mark, run->now_ms, result);
        return true;
    default:
        return run_on_members(run, cell, item, result);
    }
}

static bool run_one(struct run *run, size_t index)
{
    struct tally_item item = run->batch->items[index];
    struct tally_result *result = &run->batch->results[index];
    struct cell *cell;

    if (item.if_new && run->batch->results[item.if_new - 1].was_there) {
        if (item.kind != TALLY_COUNT && item.kind != TALLY_TAKE)
            return true;
        item.amount = 0;
    }
    if (item.kind == TALLY_FORGET) {
        forget(run, index, result);
        return true;
    }
    cell = cell_for(run, index, writes(&item));
    return !cell || run_on_cell(run, cell, &item, result);
}

static void refuse(struct run *run, size_t index)
{
    struct tally_result refused = run->batch->results[index];

    undo(run);
    memset(run->batch->results, 0, sizeof run->batch->results);
    run->batch->results[index] = refused;
    run->batch->refused_by = (int)index;
}

void memory_run(struct memory *memory, struct tally_batch *batch, bool is_apart)
{
    struct run run = {.memory = memory, .batch = batch, .is_apart = is_apart, .now_ms = clock_mono_ms()};
    size_t index = 0;

    memset(batch->results, 0, sizeof batch->results);
    batch->refused_by = -1;
    lock_shards(&run);
    while (index < batch->count && run_one(&run, index))
        index++;
    if (index < batch->count)
        refuse(&run, index);
    else
        keep(&run);
    unlock_shards(&run);
}
