/* SPDX-License-Identifier: Apache-2.0
 *
 * The drivers there are, and a set of stores as one object: counted, shared by all threads. It goes when the last
 * lookup and the last VM have let go of it, so that a reload needs no pause, and lets go of its stores; those that the
 * next set has as well go on (slot.c).
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "credential/credential_private.h"

/* A driver's row stands here as soon as its file is among the room's sources. */
static const struct store_driver *const drivers[] = {
    &store_table,     &store_passwd_file, &store_sqlite,      &store_postgresql, &store_pam, &store_ldap,
    &store_ldap_bind, &store_http,        &store_http_record, &store_vault,      &store_jwt, &store_introspection,
};

const struct store_driver *store_driver_at(size_t index)
{
    return index < sizeof drivers / sizeof *drivers ? drivers[index] : NULL;
}

const struct store_driver *store_driver_find(const char *name)
{
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (strcmp(drivers[i]->name, name) == 0)
            return drivers[i];
    return NULL;
}

/* ---- one set ---- */

struct stores *stores_of_slots(struct slot *const *slots, size_t count, struct cache *cache,
                               const struct cache_limits *limits)
{
    struct stores *stores = mem_zalloc(sizeof *stores);

    MUST(count <= STORES_MOST);
    atomic_init(&stores->refs, 1);
    stores->slots = mem_zalloc((count + 1) * sizeof(struct slot *));
    stores->slot_count = count;
    stores->cache = cache_ref(cache);
    stores->limits = *limits;
    for (size_t i = 0; i < count; i++) {
        stores->slots[i] = slots[i];
        service_start_slot(slots[i]);
    }
    return stores;
}

struct stores *stores_make(const struct store_setup *setups, size_t count, const struct cache_limits *limits)
{
    struct cache *cache = cache_new(limits);
    struct slot *slots[STORES_MOST];
    struct stores *stores;

    MUST(count <= STORES_MOST);
    for (size_t i = 0; i < count; i++)
        slots[i] = slot_new(&setups[i], NULL, cache);
    stores = stores_of_slots(slots, count, cache, limits);
    cache_unref(&cache);
    return stores;
}

struct stores *stores_ref(struct stores *stores)
{
    if (stores)
        atomic_fetch_add_explicit(&stores->refs, 1, memory_order_relaxed);
    return stores;
}

void stores_unref(struct stores **stores)
{
    struct stores *gone = *stores;

    *stores = NULL;
    if (!gone || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < gone->slot_count; i++)
        slot_unref(&gone->slots[i]);
    cache_unref(&gone->cache);
    free(gone->slots);
    free(gone);
}

void stores_use(struct stores *stores) { cache_limit(stores->cache, &stores->limits); }

bool stores_have(const struct stores *stores, enum store_kind kind)
{
    for (size_t i = 0; i < stores->slot_count; i++)
        if (stores->slots[i]->setup.driver->kind == kind)
            return true;
    return false;
}

void stores_count(struct stores *stores, struct stores_counts *counts_out)
{
    struct cache_counts cache;

    cache_count(stores->cache, &cache);
    *counts_out = (struct stores_counts){.hits = atomic_load(&stores->hits),
                                         .misses = atomic_load(&stores->misses),
                                         .negative_hits = atomic_load(&stores->negative_hits),
                                         .stale = atomic_load(&stores->stale),
                                         .entries = cache.entries,
                                         .evicted = cache.evicted};
    for (size_t i = 0; i < stores->slot_count; i++)
        counts_out->failures += atomic_load(&stores->slots[i]->failures);
}
