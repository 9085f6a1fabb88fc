/* SPDX-License-Identifier: Apache-2.0
 *
 * The second half of a resolution (resolve.c): for the source whose turn it is, the source itself,
 * the site, and the path to it.
 */
#include <lauxlib.h>
#include <string.h>

#include "base/must.h"
#include "base/mem.h"
#include "queue/resolve.h"

/* ---- the source ---- */

static const char *source_name(const struct resolve *r) { return r->sched->pool->entries[r->sched->picked].source; }

static struct cached_source *source_entry(struct resolve *r)
{
    struct span name = span_of(source_name(r));
    struct cached_source *entry = map_find(&r->queue->sources, name);

    if (!entry) {
        entry = mem_zalloc(sizeof *entry);
        map_put(&r->queue->sources, name, entry);
    }
    return entry;
}

static void set_source(struct resolve *r, struct cached_source *entry, struct route_source *source)
{
    source = route_source_ref(source);
    if (entry->source)
        route_source_unref(&entry->source);
    entry->source = source;
    entry->fresh = freshness_for(r->queue, source->ttl_ms, false);
}

static int push_source_args(lua_State *L, void *ctx)
{
    lua_pushstring(L, source_name(ctx));
    return 1;
}

static void on_source(void *ctx, const struct policy_result *result)
{
    struct resolve *r = ctx;
    struct cached_source *entry = source_entry(r);
    struct error why = {0};
    bool absent;
    struct route_source *source = resolve_object(result, EGRESS_SOURCE, &absent, &why);

    if (source)
        set_source(r, entry, source);
    else if (entry->source && !absent)
        entry->fresh = freshness_for(r->queue, QUEUE_STALE_GRACE_MS, false);
    else if (absent)
        resolve_fail(r, DIAG_WARN, 451, "4.3.5 policy defines no egress source '%s'", source_name(r));
    else
        resolve_fail(r, DIAG_WARN, 451, "4.3.5 get_egress_source('%s') failed: %s", source_name(r), why.sentence);
    resolve_answered(r);
}

static enum progress find_source(struct resolve *r)
{
    struct cached_source *entry = source_entry(r);

    if (entry->source && freshness_holds(r->queue, &entry->fresh))
        return GO;
    if (strcmp(source_name(r), "unspecified") == 0) {
        json_t *params = json_pack("{s:s}", "name", "unspecified");
        struct route_source *source = entry->source ? route_source_ref(entry->source) : route_source_new(params, NULL);

        json_decref(params);
        set_source(r, entry, source);
        route_source_unref(&source);
        return GO;
    }
    return resolve_ask(r, POLICY_EVENT_GET_EGRESS_SOURCE, push_source_args, on_source);
}

static enum progress take_source(struct resolve *r)
{
    struct cached_source *entry = source_entry(r);

    resolve_shorten(r, &entry->fresh);
    r->source = route_source_ref(entry->source);
    return GO;
}

/* ---- the site ---- */

static void keep_site(struct resolve *r, struct site *site, uint64_t ttl_ms)
{
    struct site *former;

    site->fresh = freshness_for(r->queue, ttl_ms, false);
    former = map_put(&r->queue->sites, span_of(r->sched->route), site);
    if (former)
        site_unref(&former);
}

static void on_mx(void *ctx, const struct dns_mx *mx, const struct error *error)
{
    struct resolve *r = ctx;
    struct site *former = map_find(&r->queue->sites, span_of(r->sched->route));

    if (mx && mx->verdict != DNS_FAILED)
        keep_site(r, site_of_mx(mx), mx->ttl_ms < 5000 ? 5000 : mx->ttl_ms);
    else if (former && former->verdict == DNS_OK)
        former->fresh = freshness_for(r->queue, QUEUE_STALE_GRACE_MS, false);
    else
        resolve_fail(r, DIAG_DEBUG, 451, "4.4.3 the mail exchangers of %s cannot be looked up%s%s", r->sched->route,
                     error ? ": " : "", error ? error->sentence : "");
    resolve_answered(r);
}

static enum progress find_site(struct resolve *r)
{
    const struct route_queue_config *config = r->sched->config;
    const char *route = r->sched->route;
    struct site *site = map_find(&r->queue->sites, span_of(route));
    struct dns_question *question;

    if (config->mx_count > 0) {
        r->site = site_of_list(config->mx_list, config->mx_count);
        return GO;
    }
    if (route[0] == '[') {
        r->site = site_of_literal(route);
        return r->site ? GO : resolve_fail(r, DIAG_DEBUG, 550, "5.1.2 %s is not an address", route);
    }
    if (site && freshness_holds(r->queue, &site->fresh))
        return GO;
    r->asking = true;
    r->answered = false;
    question = dns_find_mx(r->queue->dns, route, on_mx, r);
    r->asking = false;
    if (!r->answered) {
        r->question = question;
        return WAIT;
    }
    return r->failed ? STOP : GO;
}

static enum progress take_site(struct resolve *r)
{
    const char *route = r->sched->route;

    if (!r->site) {
        r->site = site_ref(map_find(&r->queue->sites, span_of(route)));
        resolve_shorten(r, &r->site->fresh);
    }
    if (r->site->verdict == DNS_NO_DOMAIN)
        return resolve_fail(r, DIAG_DEBUG, 550, "5.1.2 %s does not exist, or has no mail exchanger and no address",
                            route);
    if (r->site->verdict == DNS_NULL_MX)
        return resolve_fail(r, DIAG_DEBUG, 556, "5.1.10 %s takes no mail (null MX)", route);
    if (r->site->host_count == 0)
        return resolve_fail(r, DIAG_DEBUG, 451, "4.4.4 MX didn't resolve to any hosts");
    return GO;
}

/* ---- the path ---- */

static int push_path_args(lua_State *L, void *ctx)
{
    const struct resolve *r = ctx;

    lua_pushstring(L, r->sched->route);
    lua_pushstring(L, r->source->name);
    lua_pushstring(L, r->site->name);
    return 3;
}

static void set_path(struct resolve *r, struct route_path *path)
{
    ready_set_plan(r->ready, r->site, r->source, path, r->sched->pool->name);
    r->ready->fresh = freshness_for(r->queue, path->refresh_interval_ms, path->refresh_by_epoch);
}

static void on_path(void *ctx, const struct policy_result *result)
{
    struct resolve *r = ctx;
    struct error why = {0};
    bool absent;
    struct route_path *path = resolve_object(result, EGRESS_PATH, &absent, &why);

    r->ready->refreshing = false;
    if (path || absent)
        set_path(r, path ? path : r->queue->default_path);
    else if (r->ready->plan)
        r->ready->fresh = freshness_for(r->queue, QUEUE_STALE_GRACE_MS, false);
    else
        resolve_fail(r, DIAG_WARN, 451, "4.3.5 get_egress_path_config('%s', '%s', '%s') failed: %s", r->sched->route,
                     r->source->name, r->site->name, why.sentence);
    resolve_answered(r);
}

static enum progress find_path(struct resolve *r)
{
    r->ready = ready_ref(ready_get(r->queue, r->site, r->sched->config->mx_count > 0, r->source->name));
    if (r->ready->plan && (r->ready->refreshing || freshness_holds(r->queue, &r->ready->fresh))) {
        ready_set_plan(r->ready, r->site, r->source, r->ready->plan->path, r->sched->pool->name);
        return GO;
    }
    if (!policy_handles(r->queue->vm, POLICY_EVENT_GET_EGRESS_PATH_CONFIG)) {
        set_path(r, r->queue->default_path);
        return GO;
    }
    r->ready->refreshing = r->ready->plan != NULL;
    return resolve_ask(r, POLICY_EVENT_GET_EGRESS_PATH_CONFIG, push_path_args, on_path);
}

static enum progress take_path(struct resolve *r)
{
    struct slot *slot = &r->sched->slots[r->sched->picked];

    resolve_shorten(r, &r->ready->fresh);
    if (slot->ready)
        ready_unref(&slot->ready);
    slot->ready = ready_ref(r->ready);
    slot->fresh = r->fresh;
    return GO;
}

resolve_step_fn *const resolve_slot_steps[RESOLVE_SLOT_STEPS] = {find_source, take_source, find_site,
                                                                 take_site,   find_path,   take_path};
