/* SPDX-License-Identifier: Apache-2.0
 *
 * The drivers there are, and a set of stores as one object: counted, shared by all threads, closed on the lookup
 * thread when the last lookup and the last VM have let go of it, so that a reload needs no pause.
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

static void slot_init(struct slot *slot, struct stores *stores, const struct store_setup *setup, uint32_t index)
{
    slot->stores = stores;
    slot->setup = *setup;
    slot->setup.name = mem_strdup(setup->name);
    slot->index = index;
    map_init(&slot->shared);
    list_init(&slot->out);
    list_init(&slot->queued);
}

struct stores *stores_make(const struct store_setup *setups, size_t count, const struct cache_limits *limits)
{
    struct stores *stores = mem_zalloc(sizeof *stores);

    MUST(count <= STORES_MOST);
    atomic_init(&stores->refs, 1);
    stores->slots = mem_zalloc((count + 1) * sizeof *stores->slots);
    stores->slot_count = count;
    stores->cache = cache_new(limits);
    list_node_init(&stores->node);
    for (size_t i = 0; i < count; i++)
        slot_init(&stores->slots[i], stores, &setups[i], (uint32_t)i);
    figures_add(stores);
    service_start_stores(stores);
    return stores;
}

void stores_close(struct stores *stores)
{
    if (stores->is_closed)
        return;
    stores->is_closed = true;
    for (size_t i = 0; i < stores->slot_count; i++)
        stores->slots[i].setup.driver->close(stores->slots[i].setup.store);
}

void stores_free(struct stores *stores)
{
    figures_remove(stores);
    for (size_t i = 0; i < stores->slot_count; i++) {
        map_done(&stores->slots[i].shared, NULL);
        free((char *)(uintptr_t)stores->slots[i].setup.name);
    }
    free(stores->slots);
    cache_free(stores->cache);
    free(stores);
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
    if (gone && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
        service_close_stores(gone);
}

bool stores_have(const struct stores *stores, enum store_kind kind)
{
    for (size_t i = 0; i < stores->slot_count; i++)
        if (stores->slots[i].setup.driver->kind == kind)
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
        counts_out->failures += atomic_load(&stores->slots[i].failures);
}
