/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.make_egress_pool: which sources share the work, and in what proportion.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/span.h"
#include "route/route_private.h"

#define POOL_ENTRIES_LIMIT 10000
#define POOL_WEIGHT_LIMIT 1000000

static int read_entry(const json_t *value, struct route_pool_entry *entry, struct error *error)
{
    const char *key;
    json_t *member;

    entry->weight = 1;
    if (!json_is_object(value))
        return error_set(error, ERROR_PERM, "'entries': expected tables like { name = 'source', weight = 1 }");
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        if (strcmp(key, "name") == 0 && json_is_string(member) && !entry->source)
            entry->source = mem_strdup(json_string_value(member));
        else if (strcmp(key, "weight") == 0 && json_is_integer(member) && json_integer_value(member) >= 0 &&
                 json_integer_value(member) <= POOL_WEIGHT_LIMIT)
            entry->weight = (unsigned)json_integer_value(member);
        else
            return error_set(error, ERROR_PERM,
                             "'entries': '%.64s' is unknown or wrong: 'name' is a string, 'weight' a whole number "
                             "from 0 to %d",
                             key, POOL_WEIGHT_LIMIT);
    }
    if (!entry->source || !entry->source[0])
        return error_set(error, ERROR_PERM, "'entries': an entry lacks its 'name'");
    return 0;
}

static int read_entries(const json_t *value, void *object, struct error *error)
{
    struct route_pool *pool = object;
    size_t count = json_array_size(value);

    if (!data_is_list(value) || count > POOL_ENTRIES_LIMIT)
        return error_set(error, ERROR_PERM, "'entries': expected a list of at most %d entries", POOL_ENTRIES_LIMIT);
    pool->entries = mem_zalloc((count ? count : 1) * sizeof *pool->entries);
    for (size_t i = 0; i < count; i++) {
        pool->count = i + 1;
        if (read_entry(json_array_get(value, i), &pool->entries[i], error))
            return -1;
    }
    return 0;
}

#define AT(member) offsetof(struct route_pool, member)

static const struct route_field fields[] = {
    {"name", FIELD_STRING, AT(name), 0, NULL, NULL},
    {"entries", FIELD_CUSTOM, 0, 0, NULL, read_entries},
    {"ttl", FIELD_DURATION, AT(ttl_ms), 0, NULL, NULL},
};

static int check(const struct route_pool *pool, struct error *error)
{
    if (!pool->name || !pool->name[0])
        return error_set(error, ERROR_PERM, "'name': a pool needs one");
    if (!pool->entries)
        return error_set(error, ERROR_PERM, "'entries': a pool needs a list of them");
    for (size_t i = 0; i < pool->count; i++)
        if (pool->entries[i].weight > 0)
            return 0;
    return error_set(error, ERROR_PERM, "'entries': no source in it has a weight above 0");
}

struct route_pool *route_pool_new(const json_t *params, struct error *error)
{
    struct route_pool *pool = mem_zalloc(sizeof *pool);

    pool->refs = 1;
    pool->ttl_ms = 60000;
    if (route_read_fields(fields, sizeof fields / sizeof fields[0], params, pool, error) || check(pool, error))
        route_pool_unref(&pool);
    return pool;
}

struct route_pool *route_pool_ref(struct route_pool *pool)
{
    route_ref_take(&pool->refs);
    return pool;
}

void route_pool_unref(struct route_pool **pool)
{
    struct route_pool *gone = *pool;

    *pool = NULL;
    if (!gone || !route_ref_drop(&gone->refs))
        return;
    for (size_t i = 0; i < gone->count; i++)
        free(gone->entries[i].source);
    free(gone->entries);
    free(gone->name);
    free(gone);
}
