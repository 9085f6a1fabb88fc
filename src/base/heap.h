/* SPDX-License-Identifier: Apache-2.0
 *
 * A binary heap of nodes that live inside the objects they order: timers, due
 * messages, due queues. The node with the least key is first; equal keys leave in
 * no particular order. A node may be removed from anywhere in O(log n).
 */
#ifndef GATEPOST_BASE_HEAP_H
#define GATEPOST_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    size_t slot; /* 1-based place in the heap; 0 when in none */
};

struct heap {
    struct heap_node **slots;
    size_t count;
    size_t capacity;
};

void heap_init(struct heap *heap);
void heap_done(struct heap *heap); /* frees the heap's array, not the nodes */
void heap_insert(struct heap *heap, struct heap_node *node, uint64_t key);
void heap_remove(struct heap *heap, struct heap_node *node);
struct heap_node *heap_first(const struct heap *heap); /* NULL when empty */

static inline bool heap_has(const struct heap_node *node) { return node->slot != 0; }

#endif
