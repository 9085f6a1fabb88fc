/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash map from byte strings to pointers. Keys are copied; hashes are keyed with
 * a per-process random secret (SipHash-1-3), so that a peer who chooses keys cannot
 * choose collisions. Values belong to the caller.
 */
#ifndef GATEPOST_BASE_MAP_H
#define GATEPOST_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct map_entry;

struct map {
    struct map_entry **buckets;
    size_t bucket_count; /* a power of two, or 0 */
    size_t count;
};

void map_init(struct map *map);

/* Frees the map's own memory; calls `free_value` (may be NULL) for each value. */
void map_done(struct map *map, void (*free_value)(void *));

void *map_find(const struct map *map, struct span key); /* NULL when absent */

/* Returns the value that was there before, or NULL. `value` must not be NULL. */
void *map_put(struct map *map, struct span key, void *value);
void *map_remove(struct map *map, struct span key);

/* Visits entries in no particular order: start with *cursor = 0; false at the end.
 * The map must not change between calls, except that the entry just visited may be
 * removed. */
struct map_cursor {
    size_t bucket;
    struct map_entry *next;
};
bool map_next(const struct map *map, struct map_cursor *cursor, struct span *key_out, void **value_out);

/* The keyed hash itself, for tables that keep no keys. */
uint64_t map_hash(struct span key);

#endif
