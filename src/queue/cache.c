/* SPDX-License-Identifier: Apache-2.0
 *
 * Sites, and the caches of what policy and DNS have said. Entries are dropped some time after
 * they went stale: until then they are what is left when a new question fails.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "queue/queue_private.h"

#define KEEP_STALE_MS (10 * 60000)

struct site *site_new(enum dns_verdict verdict, const char *name, size_t host_count)
{
    struct site *site = mem_zalloc(sizeof *site);

    site->refs = 1;
    site->verdict = verdict;
    site->name = mem_strdup(name);
    site->hosts = mem_zalloc((host_count ? host_count : 1) * sizeof *site->hosts);
    site->host_count = host_count;
    return site;
}

struct site *site_ref(struct site *site)
{
    site->refs++;
    return site;
}

void site_unref(struct site **site)
{
    struct site *gone = *site;

    *site = NULL;
    if (--gone->refs > 0)
        return;
    for (size_t i = 0; i < gone->host_count; i++)
        free(gone->hosts[i].name);
    free(gone->hosts);
    free(gone->name);
    free(gone);
}

static void set_host(struct route_plan_host *to, const struct route_host *from)
{
    to->name = mem_strdup(from->name);
    to->port = from->port;
    to->has_address = from->has_address;
    to->address = from->address;
}

struct site *site_of_list(const struct route_host *hosts, size_t count)
{
    const char **names = mem_zalloc(count * sizeof *names);
    struct site *site;
    char *name;

    for (size_t i = 0; i < count; i++)
        names[i] = hosts[i].name;
    name = dns_site_name(names, count);
    site = site_new(DNS_OK, name, count);
    for (size_t i = 0; i < count; i++)
        set_host(&site->hosts[i], &hosts[i]);
    free(name);
    free(names);
    return site;
}

struct site *site_of_mx(const struct dns_mx *mx)
{
    struct site *site = site_new(mx->verdict, mx->site_name ? mx->site_name : "", mx->host_count);

    for (size_t i = 0; i < mx->host_count; i++) {
        const char *name = mx->hosts[i].name;
        size_t len = strlen(name);

        site->hosts[i].name = mem_strdup(name);
        if (len > 2 && name[0] == '[')
            site->hosts[i].has_address = ip_parse(span_make(name + 1, len - 2), &site->hosts[i].address) == 0;
    }
    return site;
}

struct site *site_of_literal(const char *domain)
{
    json_t *text = json_string(domain);
    struct route_host host = {0};
    struct site *site = NULL;

    if (text && route_host_parse(text, &host, NULL) == 0 && host.has_address)
        site = site_of_list(&host, 1);
    free(host.name);
    json_decref(text);
    return site;
}

static void free_pool(void *value)
{
    struct cached_pool *entry = value;

    if (entry->pool)
        route_pool_unref(&entry->pool);
    free(entry);
}

static void free_source(void *value)
{
    struct cached_source *entry = value;

    if (entry->source)
        route_source_unref(&entry->source);
    free(entry);
}

static void free_site(void *value)
{
    struct site *site = value;

    site_unref(&site);
}

static bool is_done_with(const struct freshness *fresh, uint64_t now_ms)
{
    return fresh->until_ms < now_ms && now_ms - fresh->until_ms > KEEP_STALE_MS;
}

static void prune(struct map *map, uint64_t now_ms, size_t fresh_at, void (*free_value)(void *))
{
    struct map_cursor cursor = {0};
    struct span key;
    void *value;

    while (map_next(map, &cursor, &key, &value))
        if (is_done_with((const struct freshness *)(const void *)((const char *)value + fresh_at), now_ms)) {
            map_remove(map, key);
            free_value(value);
        }
}

static void prune_rates(struct map *rates)
{
    struct map_cursor cursor = {0};
    struct span key;
    void *value;

    while (map_next(rates, &cursor, &key, &value))
        if (((struct rate *)value)->full_at_us < clock_mono_us()) {
            map_remove(rates, key);
            free(value);
        }
}

/* An entry whose question is open may go as well: the answer makes a new one. */
void cache_prune(struct queue *queue, uint64_t now_ms)
{
    prune(&queue->pools, now_ms, offsetof(struct cached_pool, fresh), free_pool);
    prune(&queue->sources, now_ms, offsetof(struct cached_source, fresh), free_source);
    prune(&queue->sites, now_ms, offsetof(struct site, fresh), free_site);
    prune_rates(&queue->overall_rates);
}

void cache_done(struct queue *queue)
{
    map_done(&queue->pools, free_pool);
    map_done(&queue->sources, free_source);
    map_done(&queue->sites, free_site);
    map_done(&queue->overall_rates, free);
}
