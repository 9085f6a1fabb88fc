/* SPDX-License-Identifier: Apache-2.0
 *
 * Where each live message is: about 60 bytes per message. Not locked here; the spool's
 * lock is held around every call, and a pointer is good until the next insert or remove.
 */
#ifndef GATEPOST_SPOOL_INDEX_H
#define GATEPOST_SPOOL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLACE_NOWHERE UINT32_MAX

struct place {
    uint32_t segment; /* its slot, or PLACE_NOWHERE */
    uint32_t at_8;    /* offset / 8 */
    uint32_t len;
    uint32_t crc;
};

enum entry_flag {
    ENTRY_REMOVING = 1, /* a deletion mark is on its way */
};

struct entry {
    uint64_t ref; /* 0: not in use */
    struct place record, body;
    uint16_t sharers; /* how many had this body when it was written: its bytes are split among them */
    uint16_t flags;
};

#define ENTRIES_PER_BLOCK 1024

struct index {
    struct entry **blocks; /* an entry never moves */
    size_t block_count;
    uint32_t free_first; /* number + 1 of a free entry, linked through record.segment */
    uint32_t *table;     /* number + 1 of an entry; open addressing */
    size_t table_size;   /* a power of two */
    size_t count;
};

void index_init(struct index *index);
void index_done(struct index *index);
struct entry *index_find(const struct index *index, uint64_t ref); /* NULL when not there */
struct entry *index_insert(struct index *index, uint64_t ref);     /* must not be there yet */
void index_remove(struct index *index, struct entry *entry);

/* Entries by number, for visiting: 0 to index_limit - 1, some of them not in use. */
static inline size_t index_limit(const struct index *index) { return index->block_count * ENTRIES_PER_BLOCK; }
static inline struct entry *index_at(const struct index *index, size_t number)
{
    return &index->blocks[number / ENTRIES_PER_BLOCK][number % ENTRIES_PER_BLOCK];
}

#endif
