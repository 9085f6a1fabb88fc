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
#include "queue/resolve.h"

static void go_on(struct resolve *r);

enum progress resolve_fail(struct resolve *r, enum diag_level level, int code, const char *format, ...)
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

void resolve_shorten(struct resolve *r, const struct freshness *by)
{
    if (by->until_ms < r->fresh.until_ms)
        r->fresh.until_ms = by->until_ms;
}

void resolve_answered(struct resolve *r)
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

enum progress resolve_ask(struct resolve *r, enum policy_event event, policy_push_fn *push, policy_done_fn *on_done)
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

void *resolve_object(const struct policy_result *result, const char *class, bool *absent_out, struct error *why)
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
    struct route_queue_config *config = resolve_object(result, EGRESS_QUEUE_CONFIG, &absent, &why);

    if (config || absent)
        set_config(r, config ? config : r->queue->default_config);
    else if (r->sched->config)
        r->sched->config_fresh = freshness_for(r->queue, QUEUE_STALE_GRACE_MS, false);
    else
        resolve_fail(r, DIAG_WARN, 451, "4.3.5 get_queue_config failed: %s", why.sentence);
    resolve_answered(r);
}

static enum progress find_config(struct resolve *r)
{
    struct sched *sched = r->sched;

    if (sched->config && freshness_holds(r->queue, &sched->config_fresh))
        return GO;
    if (policy_handles(r->queue->vm, POLICY_EVENT_GET_QUEUE_CONFIG))
        return resolve_ask(r, POLICY_EVENT_GET_QUEUE_CONFIG, push_config_args, on_config);
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
    struct route_pool *pool = resolve_object(result, EGRESS_POOL, &absent, &why);

    if (pool)
        set_pool(r, entry, pool);
    else if (entry->pool && !absent)
        entry->fresh = freshness_for(r->queue, QUEUE_STALE_GRACE_MS, false);
    else if (absent)
        resolve_fail(r, DIAG_WARN, 451, "4.3.5 policy defines no egress pool '%s'", name);
    else
        resolve_fail(r, DIAG_WARN, 451, "4.3.5 get_egress_pool('%s') failed: %s", name, why.sentence);
    resolve_answered(r);
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
    return resolve_ask(r, POLICY_EVENT_GET_EGRESS_POOL, push_pool_args, on_pool);
}

static enum progress take_pool(struct resolve *r)
{
    struct sched *sched = r->sched;
    struct cached_pool *entry = pool_entry(r);

    resolve_shorten(r, &entry->fresh);
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

/* ---- all of it ---- */

static resolve_step_fn *const settings_steps[] = {find_config, find_pool, take_pool};

#define SETTINGS (sizeof settings_steps / sizeof settings_steps[0])
#define STEPS (SETTINGS + RESOLVE_SLOT_STEPS)

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
        resolve_step_fn *step = r->step < SETTINGS ? settings_steps[r->step] : resolve_slot_steps[r->step - SETTINGS];

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
