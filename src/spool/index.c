/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries live in blocks and are found through a table of their numbers, so that growing
 * moves four bytes per message and not forty-eight.
 */
#include "spool/index.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"

#define FIRST_TABLE_SIZE 1024

void index_init(struct index *index)
{
    *index = (struct index){.table_size = FIRST_TABLE_SIZE};
    index->table = mem_zalloc(FIRST_TABLE_SIZE * sizeof *index->table);
}

void index_done(struct index *index)
{
    for (size_t i = 0; i < index->block_count; i++)
        free(index->blocks[i]);
    free(index->blocks);
    free(index->table);
    *index = (struct index){0};
}

static size_t home(const struct index *index, uint64_t ref)
{
    return (size_t)(ref * 0x9e3779b97f4a7c15u >> 20) & (index->table_size - 1);
}

/* Where `ref` is in the table, or the empty place where it would be. */
static size_t locate(const struct index *index, uint64_t ref)
{
    size_t at = home(index, ref);

    while (index->table[at] && index_at(index, index->table[at] - 1)->ref != ref)
        at = (at + 1) & (index->table_size - 1);
    return at;
}

struct entry *index_find(const struct index *index, uint64_t ref)
{
    uint32_t number = index->table[locate(index, ref)];

    return number ? index_at(index, number - 1) : NULL;
}

static void grow_table(struct index *index)
{
    uint32_t *old = index->table;
    size_t old_size = index->table_size;

    index->table_size *= 2;
    index->table = mem_zalloc(index->table_size * sizeof *index->table);
    for (size_t i = 0; i < old_size; i++)
        if (old[i])
            index->table[locate(index, index_at(index, old[i] - 1)->ref)] = old[i];
    free(old);
}

static void add_block(struct index *index)
{
    struct entry *block = mem_zalloc(ENTRIES_PER_BLOCK * sizeof *block);
    size_t first = index->block_count * ENTRIES_PER_BLOCK;

    if ((index->block_count & (index->block_count - 1)) == 0)
        index->blocks =
            mem_realloc(index->blocks, (index->block_count ? index->block_count * 2 : 1) * sizeof *index->blocks);
    index->blocks[index->block_count++] = block;
    MUST(first + ENTRIES_PER_BLOCK < UINT32_MAX);
    for (size_t i = ENTRIES_PER_BLOCK; i > 0; i--) {
        block[i - 1].record.segment = index->free_first;
        index->free_first = (uint32_t)(first + i);
    }
}

struct entry *index_insert(struct index *index, uint64_t ref)
{
    struct entry *entry;
    uint32_t number;
    size_t at;

    if ((index->count + 1) * 4 > index->table_size * 3)
        grow_table(index);
    if (!index->free_first)
        add_block(index);
    at = locate(index, ref);
    MUST(ref != 0 && !index->table[at]);
    number = index->free_first;
    entry = index_at(index, number - 1);
    index->free_first = entry->record.segment;
    *entry = (struct entry){.ref = ref, .record.segment = PLACE_NOWHERE, .body.segment = PLACE_NOWHERE, .sharers = 1};
    index->table[at] = number;
    index->count++;
    return entry;
}

/* Moves later members of the run back over the gap, so that no tombstones are needed. */
static void close_gap(struct index *index, size_t gap)
{
    size_t mask = index->table_size - 1;

    for (size_t at = (gap + 1) & mask; index->table[at]; at = (at + 1) & mask) {
        size_t wanted = home(index, index_at(index, index->table[at] - 1)->ref);

        if (((at - wanted) & mask) < ((at - gap) & mask))
            continue;
        index->table[gap] = index->table[at];
        index->table[at] = 0;
        gap = at;
    }
}

void index_remove(struct index *index, struct entry *entry)
{
    size_t at = locate(index, entry->ref);
    uint32_t number = index->table[at];

    MUST(number && index_at(index, number - 1) == entry);
    index->table[at] = 0;
    close_gap(index, at);
    *entry = (struct entry){.record.segment = index->free_first};
    index->free_first = number;
    index->count--;
}
