/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the files of this node's own memory: cells in shards, each with a lock of its own.
 */
#ifndef GATEPOST_TALLY_MEMORY_PRIVATE_H
#define GATEPOST_TALLY_MEMORY_PRIVATE_H

#include "tally/tally_private.h"

struct cell {
    struct cell *next;
    uint64_t hash;
    uint16_t key_len;
    uint8_t type;   /* enum tally_type */
    uint8_t hits;   /* asked for again, up to 255 */
    bool is_pinned; /* a running batch has it in hand */
    bool is_unsent; /* changed while Redis was away */
    union {
        struct tally_counter counter;
        struct tally_budget budget;
        struct tally_mark mark;
        struct tally_members members;
    };
    char key[];
};

struct shard {
    pthread_mutex_t lock;
    struct cell **buckets;
    size_t count;  /* cells */
    size_t weight; /* cells, and a share for members */
};

struct memory {
    /* fixed after start */
    size_t shard_count; /* powers of two */
    size_t bucket_count;
    size_t weight_limit; /* of a shard */
    struct shard *shards;
};

static inline struct span cell_key(const struct cell *cell) { return span_make(cell->key, cell->key_len); }

struct shard *memory_shard(struct memory *memory, uint64_t hash);
/* The link that points to the cell, or to the NULL where it would be. */
struct cell **memory_find(struct memory *memory, uint64_t hash, enum tally_type type, struct span key);
struct cell *memory_make(struct memory *memory, uint64_t hash, enum tally_type type, struct span key);
void memory_unlink(struct memory *memory, struct cell *cell); /* the cell is the caller's then */
void memory_link(struct memory *memory, struct cell *cell);
void memory_drop(struct memory *memory, struct cell *cell); /* unlinks and frees */
void memory_cell_free(struct cell *cell);
/* After members came or went: from what it weighed before. */
size_t memory_weight(const struct cell *cell);
void memory_reweigh(struct memory *memory, const struct cell *cell, size_t former_weight);
/* Until nothing is left of it; 0: it may go. */
uint64_t memory_left_ms(const struct cell *cell, uint64_t now_ms);
/* Makes room in a shard that holds too much. */
void memory_evict(struct memory *memory, struct shard *shard, uint64_t now_ms);

#endif
