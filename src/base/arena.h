/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that is freed all at once: one per connection, one per transaction. What a
 * peer can make it hold is limited by the ceiling given at arena_init.
 */
#ifndef GATEPOST_BASE_ARENA_H
#define GATEPOST_BASE_ARENA_H

#include <stddef.h>

#include "base/span.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks;
    size_t used_bytes; /* over all chunks */
    size_t limit_bytes;
};

void arena_init(struct arena *arena, size_t limit_bytes);
void arena_done(struct arena *arena); /* frees everything; may be used again after */

/* NULL when the ceiling is reached, or when there is no memory for a large size; without memory for a small one it
 * dies. Aligned for any type; zeroed. */
void *arena_alloc(struct arena *arena, size_t bytes) __attribute__((warn_unused_result));

/* NUL-terminated copy, or NULL. */
char *arena_strdup(struct arena *arena, struct span text) __attribute__((warn_unused_result));

#endif
