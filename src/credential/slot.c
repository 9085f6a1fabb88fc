/* SPDX-License-Identifier: Apache-2.0
 *
 * One store with all that is its own: the driver and what that has (keys, tokens, connections), what is being asked of
 * it, its entries in the cache. A reload that leaves its settings as they are hands it on, by reference, to the set of
 * the new rules; so what it said before an outage outlives an edit that is about somebody else. When the last set, the
 * last lookup and the last question have let go of it, it is closed on the lookup thread, and its entries go. They
 * were nobody else's before that either: no other store ever has its number.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "credential/credential_private.h"

static atomic_uint numbers;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list alive = {.head = {&alive.head, &alive.head}}; /* slots */

void slots_lock(void) { pthread_mutex_lock(&lock); }

void slots_unlock(void) { pthread_mutex_unlock(&lock); }

struct slot *slots_next(const struct slot *slot)
{
    struct list_node *node = slot ? list_next(&alive, &slot->alive) : list_first(&alive);

    return node ? CONTAINER_OF(node, struct slot, alive) : NULL;
}

struct slot *slot_new(const struct store_setup *setup, const struct store_identity *identity, struct cache *cache)
{
    struct slot *slot = mem_zalloc(sizeof *slot);

    atomic_init(&slot->refs, 1);
    slot->setup = *setup;
    slot->setup.name = mem_strdup(setup->name);
    if (identity)
        slot->identity = *identity;
    slot->number = atomic_fetch_add(&numbers, 1);
    slot->cache = cache_ref(cache);
    list_node_init(&slot->node);
    map_init(&slot->shared);
    list_init(&slot->out);
    list_init(&slot->queued);
    slots_lock();
    list_push_back(&alive, &slot->alive);
    slots_unlock();
    return slot;
}

struct slot *slot_ref(struct slot *slot)
{
    atomic_fetch_add_explicit(&slot->refs, 1, memory_order_relaxed);
    return slot;
}

void slot_unref(struct slot **slot)
{
    struct slot *gone = *slot;

    *slot = NULL;
    if (gone && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
        service_close_slot(gone);
}

/* Whoever goes through those that are alive may call their drivers: it is none of them when its own goes. */
void slot_close(struct slot *slot)
{
    if (slot->is_closed)
        return;
    slot->is_closed = true;
    slots_lock();
    list_remove(&alive, &slot->alive);
    slots_unlock();
    slot->setup.driver->close(slot->setup.store);
}

void slot_free(struct slot *slot)
{
    if (slot->setup.driver->kind == STORE_RECORDS)
        cache_forget_store(slot->cache, slot->number);
    cache_unref(&slot->cache);
    map_done(&slot->shared, NULL);
    free((char *)(uintptr_t)slot->setup.name);
    free(slot);
}
