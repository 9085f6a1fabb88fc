/* SPDX-License-Identifier: Apache-2.0
 *
 * Chunks in a list, the newest first; small requests are cut from it.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define CHUNK_BYTES 1024
/* NULL is what callers take for "more than the ceiling"; so a want of memory is told that way only for sizes that a
 * peer chose. */
#define SMALL_BYTES 65536

struct arena_chunk {
    struct arena_chunk *next;
    size_t used;
    size_t capacity;
    alignas(max_align_t) char data[];
};

void arena_init(struct arena *arena, size_t limit_bytes) { *arena = (struct arena){.limit_bytes = limit_bytes}; }

void arena_done(struct arena *arena)
{
    while (arena->chunks) {
        struct arena_chunk *next = arena->chunks->next;

        free(arena->chunks);
        arena->chunks = next;
    }
    arena->used_bytes = 0;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    size_t rounded = (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct arena_chunk *chunk = arena->chunks;
    void *at;

    if (rounded < bytes || rounded > arena->limit_bytes - arena->used_bytes)
        return NULL;
    if (!chunk || chunk->capacity - chunk->used < rounded) {
        size_t capacity = rounded > CHUNK_BYTES ? rounded : CHUNK_BYTES;

        chunk = capacity <= SMALL_BYTES ? mem_alloc(sizeof *chunk + capacity)
                                        : mem_try_realloc(NULL, sizeof *chunk + capacity);
        if (!chunk)
            return NULL;
        *chunk = (struct arena_chunk){.next = arena->chunks, .capacity = capacity};
        arena->chunks = chunk;
    }
    at = chunk->data + chunk->used;
    chunk->used += rounded;
    arena->used_bytes += rounded;
    memset(at, 0, rounded);
    return at;
}

char *arena_strdup(struct arena *arena, struct span text)
{
    char *copy = arena_alloc(arena, text.len + 1);

    if (copy && text.len)
        memcpy(copy, text.data, text.len);
    return copy;
}
