/* SPDX-License-Identifier: Apache-2.0
 *
 * From an operator's file to a set of stores: [store.NAME] with what all drivers share, the order in `stores`, [cache],
 * and [user.NAME], which is a store of its own named "user" where no [store.NAME] of driver "table" reads it. What the
 * former set has in the same words is taken from there.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "credential/credential_private.h"

#define IMPLIED_STORE "user"
#define TIMEOUT_MOST_MS (60 * 1000)
#define DAY_MS ((uint64_t)24 * 3600 * 1000)

struct opening {
    struct settings *root;
    struct settings *all;   /* [store.*]; may be NULL */
    struct settings *users; /* [user.*]; may be NULL */
    struct stores *former;  /* may be NULL */
    struct cache *cache;
    struct slot *slots[STORES_MOST];
    size_t count;
    bool has_table;
    struct error *error;
};

/* ---- the cache ---- */

static int read_cache(struct settings *root, struct cache_limits *limits, struct error *error)
{
    struct settings *cache = settings_table(root, "cache");

    *limits = CACHE_LIMITS_USUAL;
    if (!cache)
        return 0;
    limits->positive_ttl_ms = settings_duration_ms(cache, "positive_ttl", limits->positive_ttl_ms, 0, 30 * DAY_MS);
    limits->negative_ttl_ms = settings_duration_ms(cache, "negative_ttl", limits->negative_ttl_ms, 0, DAY_MS);
    limits->stale_for_ms = settings_duration_ms(cache, "stale_for", limits->stale_for_ms, 0, 30 * DAY_MS);
    limits->recheck_ms = settings_duration_ms(cache, "recheck", limits->recheck_ms, 0, 3600 * 1000);
    limits->capacity = settings_count(cache, "capacity", limits->capacity, 16, 10 * 1000 * 1000);
    return settings_end(cache, error);
}

/* ---- one store ---- */

static const struct store_driver *read_driver(struct settings *settings)
{
    const char *names[32] = {NULL};

    for (size_t i = 0; i < sizeof names / sizeof *names - 1 && store_driver_at(i); i++)
        names[i] = store_driver_at(i)->name;
    settings_need_text(settings, "driver");
    return store_driver_at(settings_choice(settings, "driver", names, 0));
}

static void read_common(struct settings *settings, struct store_setup *setup)
{
    setup->timeout_ms = settings_duration_ms(settings, "timeout", STORE_TIMEOUT_USUAL_MS, 1, TIMEOUT_MOST_MS);
    setup->waiting_limit = settings_count(settings, "waiting_limit", STORE_WAITING_USUAL, 1, 100000);
    setup->concurrency = settings_count(settings, "concurrency", STORE_CONCURRENCY_USUAL, 1, 10000);
    setup->lower_case = settings_flag(settings, "lower_case", setup->driver->ignores_case);
}

/* NULL with the error set. */
static struct store *open_store(struct opening *opening, struct settings *settings, struct store_setup *setup)
{
    setup->driver = read_driver(settings);
    read_common(settings, setup);
    if (setup->driver == &store_table)
        return store_table_open(settings, opening->users, opening->error);
    return setup->driver->open(settings, opening->error);
}

/* Of the former set, if it says the same; but a table's users stand outside of it. Borrowed; may be NULL. */
static struct slot *find_former(const struct opening *opening, const struct store_identity *identity)
{
    for (size_t i = 0; opening->former && i < opening->former->slot_count; i++) {
        struct slot *slot = opening->former->slots[i];

        if (slot->setup.driver != &store_table && store_identity_equal(&slot->identity, identity))
            return slot;
    }
    return NULL;
}

static int add_slot(struct opening *opening, struct slot *slot)
{
    if (!slot)
        return -1;
    opening->slots[opening->count++] = slot;
    opening->has_table = opening->has_table || slot->setup.driver == &store_table;
    return 0;
}

/* NULL with the error set. */
static struct slot *make_slot(struct opening *opening, const char *name, const struct store_identity *identity)
{
    struct store_setup setup = {.name = name};

    setup.store = open_store(opening, settings_table(opening->all, name), &setup);
    return setup.store ? slot_new(&setup, identity, opening->cache) : NULL;
}

static int add_store(struct opening *opening, const char *name)
{
    struct store_identity identity = store_identity_of(opening->all, name);
    struct slot *slot = find_former(opening, &identity);

    if (!slot)
        return add_slot(opening, make_slot(opening, name, &identity));
    settings_pass(settings_table(opening->all, name));
    return add_slot(opening, slot_ref(slot));
}

static int add_users(struct opening *opening)
{
    struct store_setup setup = {
        .name = IMPLIED_STORE, .driver = &store_table, .store = store_table_open(NULL, opening->users, opening->error)};

    return setup.store ? add_slot(opening, slot_new(&setup, NULL, opening->cache)) : -1;
}

/* ---- their order ---- */

static bool is_defined(const struct opening *opening, const char *name)
{
    const char *defined;

    for (size_t i = 0; (defined = settings_name_at(opening->all, i)); i++)
        if (strcmp(defined, name) == 0)
            return true;
    return false;
}

static bool is_added(const struct opening *opening, const char *name)
{
    for (size_t i = 0; i < opening->count; i++)
        if (strcmp(opening->slots[i]->setup.name, name) == 0)
            return true;
    return false;
}

static int fault_in_order(struct opening *opening, const char *name, const char *what)
{
    return error_set(opening->error, ERROR_PERM, "%s: '%s' %s", settings_where(opening->root, "stores"), name, what);
}

static int add_named(struct opening *opening, const char *name)
{
    if (is_added(opening, name))
        return fault_in_order(opening, name, "is named twice");
    if (opening->count == STORES_MOST)
        return fault_in_order(opening, name, "is one store too many");
    if (is_defined(opening, name))
        return add_store(opening, name);
    if (opening->users && strcmp(name, IMPLIED_STORE) == 0)
        return add_users(opening);
    return fault_in_order(opening, name, "is no store: there is no such [store.NAME]");
}

static int add_in_order(struct opening *opening, const json_t *order)
{
    const json_t *name;
    size_t i;

    json_array_foreach(order, i, name) if (add_named(opening, json_string_value(name))) return -1;
    return 0;
}

/* A store that is left out of the order is still read, so that a mistake in it is found before it is wanted. */
static int try_left_out(struct opening *opening)
{
    const char *name;

    for (size_t i = 0; (name = settings_name_at(opening->all, i)); i++) {
        struct store_setup setup = {.name = name};

        if (is_added(opening, name))
            continue;
        setup.store = open_store(opening, settings_table(opening->all, name), &setup);
        if (!setup.store)
            return -1;
        setup.driver->close(setup.store);
    }
    return 0;
}

static bool has_table_driver(struct opening *opening)
{
    const char *name;

    for (size_t i = 0; (name = settings_name_at(opening->all, i)); i++) {
        const json_t *driver = settings_value(settings_table(opening->all, name), "driver");

        if (json_is_string(driver) && strcmp(json_string_value(driver), store_table.name) == 0)
            return true;
    }
    return false;
}

static int add_as_written(struct opening *opening)
{
    const char *name;

    if (opening->users && !is_defined(opening, IMPLIED_STORE) && !has_table_driver(opening) && add_users(opening))
        return -1;
    for (size_t i = 0; (name = settings_name_at(opening->all, i)); i++)
        if (add_named(opening, name))
            return -1;
    return 0;
}

static int add_all(struct opening *opening)
{
    const json_t *order = settings_strings(opening->root, "stores");

    if (!settings_has(opening->root, "stores"))
        return add_as_written(opening);
    if (add_in_order(opening, order) || try_left_out(opening))
        return -1;
    if (opening->users && !opening->has_table)
        return error_set(opening->error, ERROR_PERM, "%s: nobody reads it: '%s' is not among the `stores`",
                         settings_where(opening->root, "user"), IMPLIED_STORE);
    return 0;
}

static void let_go(struct opening *opening)
{
    for (size_t i = 0; i < opening->count; i++)
        slot_unref(&opening->slots[i]);
}

/* One cache for all sets that follow one another, so that a purge reaches whatever any of them may still ask, and so
 * that its capacity is not had twice. */
struct stores *stores_open(struct settings *root, struct stores *former, struct error *error)
{
    struct opening opening = {.root = root, .former = former, .error = error};
    struct stores *stores = NULL;
    struct cache_limits limits;

    if (read_cache(root, &limits, error))
        return NULL;
    opening.all = settings_table(root, "store");
    opening.users = settings_table(root, "user");
    opening.cache = former ? cache_ref(former->cache) : cache_new(&limits);
    if (add_all(&opening))
        let_go(&opening);
    else
        stores = stores_of_slots(opening.slots, opening.count, opening.cache, &limits);
    cache_unref(&opening.cache);
    return stores;
}
