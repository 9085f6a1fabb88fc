/* SPDX-License-Identifier: Apache-2.0
 *
 * From an operator's file to a set of stores: [store.NAME] with what all drivers share, the order in `stores`, [cache],
 * and [user.NAME], which is a store of its own named "user" where no [store.NAME] of driver "table" reads it.
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
    struct store_setup setups[STORES_MOST];
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

static int add_store(struct opening *opening, const char *name)
{
    struct store_setup *setup = &opening->setups[opening->count];

    *setup = (struct store_setup){.name = name};
    setup->store = open_store(opening, settings_table(opening->all, name), setup);
    if (!setup->store)
        return -1;
    opening->count++;
    opening->has_table = opening->has_table || setup->driver == &store_table;
    return 0;
}

static int add_users(struct opening *opening)
{
    struct store_setup *setup = &opening->setups[opening->count];

    *setup = (struct store_setup){
        .name = IMPLIED_STORE, .driver = &store_table, .store = store_table_open(NULL, opening->users, opening->error)};
    if (!setup->store)
        return -1;
    opening->count++;
    opening->has_table = true;
    return 0;
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
        if (strcmp(opening->setups[i].name, name) == 0)
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

struct stores *stores_open(struct settings *root, struct error *error)
{
    struct opening opening = {.root = root, .error = error};
    struct cache_limits limits;
    int status = read_cache(root, &limits, error);

    opening.all = settings_table(root, "store");
    opening.users = settings_table(root, "user");
    if (status == 0)
        status = add_all(&opening);
    if (status == 0)
        return stores_make(opening.setups, opening.count, &limits);
    for (size_t i = 0; i < opening.count; i++)
        opening.setups[i].driver->close(opening.setups[i].store);
    return NULL;
}
