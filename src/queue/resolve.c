/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking policy and DNS what a scheduled queue needs to know: its settings, its pool, then,
 * for the source whose turn it is, the source itself, the site, and the path to it. Each
 * answer is kept for a while and shared; a question that fails while there is an older answer
 * leaves that in force, so that a broken policy or resolver stops no mail that was flowing.
 * While a question is open the queue's messages simply stay where they are.
 */
#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "log/diag.h"
#include "queue/egress.h"
#include "queue/queue_private.h"

enum progress {
    GO,   /* this step is done */
    WAIT, /* its answer will come */
    STOP, /* it failed: the trouble is noted */
};

struct resolve {
    struct queue *queue;
    struct sched *sched;
    size_t step;
    bool asking; /* inside the call that asks: an answer now is not a wake-up */
    bool answered;
    bool failed;
    struct policy_call *call;
    struct dns_question *question;

    /* what was found on the way to the picked slot */
    struct freshness fresh; /* the shortest of all */
    struct route_source *source;
    struct site *site;
    struct queue_ready *ready; /* whose path is being asked for */
};

static void go_on(struct resolve *r);

static enum progress fail(struct resolve *r, enum diag_level level, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static enum progress fail(struct resolve *r, enum diag_level level, int code, const char *format, ...)
{
    struct smtp_reply reply;
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    smtp_reply_setf(&reply, code, "%s", text);
    sched_set_trouble(r->sched, &reply);
    diag(level, NULL, "queue %s: %d %s", r->sched->text, code, text);
    r->failed = true;
    return STOP;
}

static void shorten(struct resolve *r, const struct freshness *by)
{
    if (by->until_ms < r->fresh.until_ms)
        r->fresh.until_ms = by->until_ms;
}

static void answered(struct resolve *r)
{
    r->call = NULL;
    r->question = NULL;
    r->answered = true;
    if (!r->asking)
        go_on(r);
}

/* ---- asking policy ---- */

static void push_span(lua_State *L, struct span text)
{
    if (text.len > 0)
        lua_pushlstring(L, text.data, text.len);
    else
        lua_pushnil(L);
}

static enum progress ask(struct resolve *r, enum policy_event event, policy_push_fn *push, policy_done_fn *on_done)
{
    r->asking = true;
    r->answered = false;
    r->call = policy_call(r->queue->vm, event, push, on_done, r);
    r->asking = false;
    if (!r->answered)
        return WAIT;
    return r->failed ? STOP : GO;
}

static void *route_of(lua_State *L, int index, const char *class)
{
    const struct egress_value *value = policy_test_object(L, index, class);

    return value ? value->route : NULL;
}

/* The object a handler returned; NULL with *absent_out when none wanted to answer; NULL without
 * when it failed, and then `why` says how. */
static void *object_of(const struct policy_result *result, const char *class, bool *absent_out, struct error *why)
{
    void *object = NULL;

    *absent_out =
        result->outcome == POLICY_UNHANDLED ||
        (result->outcome == POLICY_RETURNED && (result->count == 0 || lua_isnoneornil(result->L, result->first)));
    if (*absent_out)
        return NULL;
    if (result->outcome == POLICY_FAILED)
        *why = result->error;
    else if (result->outcome != POLICY_RETURNED)
        error_set(why, ERROR_TEMP, "the handler refused: %d %.200s", result->reply.code, result->reply.text);
    else if (!(object = route_of(result->L, result->first, class)))
        error_set(why, ERROR_PERM, "the handler returned %s where kumo.make_%s{} was expected",
                  luaL_typename(result->L, result->first), class);
    return object;
}

/* ---- settings ---- */

static int push_config_args(lua_State *L, void *ctx)
{
    const struct resolve *r = ctx;

    push_span(L, r->sched->name.domain);
    push_span(L, r->sched->name.tenant);
    push_span(L, r->sched->name.campaign);
    push_span(L, r->sched->name.routing_domain);
    return 4;
}

static void set_config(struct resolve *r, struct route_queue_config *config)
{
    struct sched *sched = r->sched;

    config = route_queue_config_ref(config);
    if (sched->config)
        route_queue_config_unref(&sched->config);
    sched->config = config;
    sched->config_fresh = freshness_for(r->queue, config->refresh_interval_ms, config->refresh_by_epoch);
}

static void on_config(void *ctx, const struct policy_result *result)
{
    struct resolve *r = ctx;
    struct error why = {0};
    bool absent;
    struct route_queue_config *config = object_of(result, EGRESS_QUEUE_CONFIG, &absent, &why);

    if (config || absent)
        set_config(r, config ? config : r->queue->default_config);
    else if (r->sched->config)
        r->sched->config_fresh = freshness_for(r->queue, QUEUE_STALE_GRACE_MS, false);
    else
        fail(r, DIAG_WARN, 451, "4.3.5 get_queue_config failed: %s", why.sentence);
    answered(r);
}

static enum progress find_config(struct resolve *r)
{
    struct sched *sched = r->sched;

    if (sched->config && freshness_holds(r->queue, &sched->config_fresh))
        return GO;
    if (policy_handles(r->queue->vm, POLICY_EVENT_GET_QUEUE_CONFIG))
        return ask(r, POLICY_EVENT_GET_QUEUE_CONFIG, push_config_args, on_config);
    set_config(r, r->queue->default_config);
    return GO;
}

/* ---- the pool ---- */

static struct cached_pool *pool_entry(struct resolve *r)
{
    struct span name = span_of(r->sched->config->egress_pool);
    struct cached_pool *entry = map_find(&r->queue->pools, name);

    if (!entry) {
        entry = mem_zalloc(sizeof *entry);
        map_put(&r->queue->pools, name, entry);
    }
    return entry;
}

static void set_pool(struct resolve *r, struct cached_pool *entry, struct route_pool *pool)
{
    pool = route_pool_ref(pool);
    if (entry->pool)
        route_pool_unref(&entry->pool);
    entry->pool = pool;
    entry->fresh = freshness_for(r->queue, pool->ttl_ms, false);
}

static int push_pool_args(lua_State *L, void *ctx)
{
    const struct resolve *r = ctx;

    lua_pushstring(L, r->sched->config->egress_pool);
    return 1;
}

static void on_pool(void *ctx, const struct policy_result *result)
{
    struct resolve *r = ctx;
    struct cached_pool *entry = pool_entry(r);
    const char *name = r->sched->config->egress_pool;
    struct error why = {0};
    bool absent;
    struct route_pool *pool = object_of(result, EGRESS_POOL, &absent, &why);

    if (pool)
        set_pool(r, entry, pool);
    else if (entry->pool && !absent)
        entry->fresh = freshness_for(r->queue, QUEUE_STALE_GRACE_MS, false);
    else if (absent)
        fail(r, DIAG_WARN, 451, "4.3.5 policy defines no egress pool '%s'", name);
    else
        fail(r, DIAG_WARN, 451, "4.3.5 get_egress_pool('%s') failed: %s", name, why.sentence);
    answered(r);
}

static struct route_pool *unspecified_pool(void)
{
    json_t *params = json_pack("{s:s,s:[{s:s}]}", "name", "unspecified", "entries", "name", "unspecified");
    struct route_pool *pool = route_pool_new(params, NULL);

    json_decref(params);
    MUST(pool);
    return pool;
}

static enum progress find_pool(struct resolve *r)
{
    struct cached_pool *entry = pool_entry(r);

    if (entry->pool && freshness_holds(r->queue, &entry->fresh))
        return GO;
    if (strcmp(r->sched->config->egress_pool, "unspecified") == 0) {
        struct route_pool *pool = entry->pool ? route_pool_ref(entry->pool) : unspecified_pool();

        set_pool(r, entry, pool);
        route_pool_unref(&pool);
        return GO;
    }
    return ask(r, POLICY_EVENT_GET_EGRESS_POOL, push_pool_args, on_pool);
}

static enum progress take_pool(struct resolve *r)
{
    struct sched *sched = r->sched;
    struct cached_pool *entry = pool_entry(r);

    shorten(r, &entry->fresh);
    if (sched->pool == entry->pool)
        return GO;
    sched_drop_slots(sched);
    sched->pool = route_pool_ref(entry->pool);
    sched->slot_count = entry->pool->count;
    sched->slots = mem_zalloc(sched->slot_count * sizeof *sched->slots);
    for (size_t i = 0; i < sched->slot_count; i++)
        sched->slots[i].member.weight = entry->pool->entries[i].weight;
    return GO;
}

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
    struct route_source *source = object_of(result, EGRESS_SOURCE, &absent, &why);

    if (source)
        set_source(r, entry, source);
    else if (entry->source && !absent)
        entry->fresh = freshness_for(r->queue, QUEUE_STALE_GRACE_MS, false);
    else if (absent)
        fail(r, DIAG_WARN, 451, "4.3.5 policy defines no egress source '%s'", source_name(r));
    else
        fail(r, DIAG_WARN, 451, "4.3.5 get_egress_source('%s') failed: %s", source_name(r), why.sentence);
    answered(r);
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
    return ask(r, POLICY_EVENT_GET_EGRESS_SOURCE, push_source_args, on_source);
}

static enum progress take_source(struct resolve *r)
{
    struct cached_source *entry = source_entry(r);

    shorten(r, &entry->fresh);
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
        fail(r, DIAG_DEBUG, 451, "4.4.3 the mail exchangers of %s cannot be looked up%s%s", r->sched->route,
             error ? ": " : "", error ? error->sentence : "");
    answered(r);
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
        return r->site ? GO : fail(r, DIAG_DEBUG, 550, "5.1.2 %s is not an address", route);
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
        shorten(r, &r->site->fresh);
    }
    if (r->site->verdict == DNS_NO_DOMAIN)
        return fail(r, DIAG_DEBUG, 550, "5.1.2 %s does not exist, or has no mail exchanger and no address", route);
    if (r->site->verdict == DNS_NULL_MX)
        return fail(r, DIAG_DEBUG, 556, "5.1.10 %s takes no mail (null MX)", route);
    if (r->site->host_count == 0)
        return fail(r, DIAG_DEBUG, 451, "4.4.4 MX didn't resolve to any hosts");
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
    struct route_path *path = object_of(result, EGRESS_PATH, &absent, &why);

    r->ready->refreshing = false;
    if (path || absent)
        set_path(r, path ? path : r->queue->default_path);
    else if (r->ready->plan)
        r->ready->fresh = freshness_for(r->queue, QUEUE_STALE_GRACE_MS, false);
    else
        fail(r, DIAG_WARN, 451, "4.3.5 get_egress_path_config('%s', '%s', '%s') failed: %s", r->sched->route,
             r->source->name, r->site->name, why.sentence);
    answered(r);
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
    return ask(r, POLICY_EVENT_GET_EGRESS_PATH_CONFIG, push_path_args, on_path);
}

static enum progress take_path(struct resolve *r)
{
    struct slot *slot = &r->sched->slots[r->sched->picked];

    shorten(r, &r->ready->fresh);
    if (slot->ready)
        ready_unref(&slot->ready);
    slot->ready = ready_ref(r->ready);
    slot->fresh = r->fresh;
    return GO;
}

/* ---- all of it ---- */

typedef enum progress step_fn(struct resolve *r);

static step_fn *const settings_steps[] = {find_config, find_pool, take_pool};
static step_fn *const slot_steps[] = {find_source, take_source, find_site, take_site, find_path, take_path};

#define SETTINGS (sizeof settings_steps / sizeof settings_steps[0])
#define STEPS (SETTINGS + sizeof slot_steps / sizeof slot_steps[0])

static bool is_finished(const struct resolve *r)
{
    if (r->failed || r->step == STEPS)
        return true;
    /* the null queue goes nowhere, and without a picked source there is none to look at */
    if (r->step == 1 && r->sched->config->protocol == ROUTE_NULL)
        return true;
    return r->step == SETTINGS && r->sched->picked < 0;
}

/* True when there is nothing left to wait for. */
static bool run(struct resolve *r)
{
    while (!is_finished(r)) {
        step_fn *step = r->step < SETTINGS ? settings_steps[r->step] : slot_steps[r->step - SETTINGS];

        r->step++;
        if (step(r) == WAIT)
            return false;
    }
    return true;
}

void resolve_free(struct resolve *r)
{
    if (!r)
        return;
    policy_call_cancel(r->call);
    dns_cancel(r->question);
    if (r->ready) {
        if (r->call)
            r->ready->refreshing = false;
        ready_unref(&r->ready);
    }
    if (r->source)
        route_source_unref(&r->source);
    if (r->site)
        site_unref(&r->site);
    r->sched->resolve = NULL;
    r->queue->resolving--;
    free(r);
}

static void go_on(struct resolve *r)
{
    struct queue *queue = r->queue;
    struct sched *sched = r->sched;

    if (!r->failed && !run(r))
        return;
    resolve_free(r);
    sched_wake_some(&queue->wait_resolve, 2);
    sched_arm(sched);
}

bool resolve_start(struct sched *sched)
{
    struct queue *queue = sched->queue;
    struct resolve *r;

    if (queue->resolving >= QUEUE_RESOLVES_LIMIT) {
        sched_wait_in(sched, &queue->wait_resolve);
        return false;
    }
    r = mem_zalloc(sizeof *r);
    *r = (struct resolve){.queue = queue, .sched = sched, .fresh = freshness_for(queue, 0, true)};
    sched->resolve = r;
    queue->resolving++;
    if (!run(r))
        return false;
    resolve_free(r);
    return true;
}
