/* SPDX-License-Identifier: Apache-2.0
 *
 * A plain array heap; every move writes the node's slot so that removal needs no
 * search.
 */
#include "base/heap.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"

void heap_init(struct heap *heap) { *heap = (struct heap){0}; }

void heap_done(struct heap *heap)
{
    free(heap->slots);
    *heap = (struct heap){0};
}

static void put(struct heap *heap, size_t slot, struct heap_node *node)
{
    heap->slots[slot - 1] = node;
    node->slot = slot;
}

static void sift_up(struct heap *heap, size_t slot)
{
    struct heap_node *node = heap->slots[slot - 1];

    while (slot > 1 && heap->slots[slot / 2 - 1]->key > node->key) {
        put(heap, slot, heap->slots[slot / 2 - 1]);
        slot /= 2;
    }
    put(heap, slot, node);
}

static void sift_down(struct heap *heap, size_t slot)
{
    struct heap_node *node = heap->slots[slot - 1];

    for (;;) {
        size_t child = slot * 2;

        if (child > heap->count)
            break;
        if (child < heap->count && heap->slots[child]->key < heap->slots[child - 1]->key)
            child++;
        if (heap->slots[child - 1]->key >= node->key)
            break;
        put(heap, slot, heap->slots[child - 1]);
        slot = child;
    }
    put(heap, slot, node);
}

void heap_insert(struct heap *heap, struct heap_node *node, uint64_t key)
{
    MUST(node->slot == 0);
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity ? heap->capacity * 2 : 16;
        heap->slots = mem_realloc(heap->slots, heap->capacity * sizeof *heap->slots);
    }
    node->key = key;
    heap->count++;
    put(heap, heap->count, node);
    sift_up(heap, heap->count);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    size_t slot = node->slot;
    struct heap_node *last;

    MUST(slot != 0 && slot <= heap->count && heap->slots[slot - 1] == node);
    last = heap->slots[heap->count - 1];
    heap->count--;
    node->slot = 0;
    if (last == node)
        return;
    put(heap, slot, last);
    sift_up(heap, slot);
    sift_down(heap, last->slot);
}

struct heap_node *heap_first(const struct heap *heap) { return heap->count ? heap->slots[0] : NULL; }
