/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.make_throttle(name, spec): a rate by name, one for the whole process, whichever VM
 * asks. Names are made of what peers send (senders, tenants), so the table has a ceiling: a
 * name whose rate has recovered is forgotten first; it would say the same again.
 */
#include "policy/modules/modules.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rate.h"
#include "message/message.h"
#include "policy/await.h"
#include "policy/policy.h"

#define CLASS "throttle"
#define NAMES_LIMIT 200000
#define SWEEP_STEPS 8
#define SLEEP_LIMIT_MS 300000

struct throttle {
    struct rate_spec spec;
    size_t name_len;
    char name[];
};

/* The state of one name. */
struct named_rate {
    struct rate rate;
    uint64_t recovered_at_us;
    struct named_rate *older;
    struct named_rate *newer;
    size_t name_len;
    char name[];
};

static struct {
    pthread_mutex_t lock;
    /* shared, under lock */
    struct map rates;
    struct named_rate *oldest;
    struct named_rate *newest;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct verdict {
    bool allowed;
    uint64_t remaining;
    uint64_t reset_after_us;
    uint64_t retry_after_us;
};

/* ---- the table, under its lock ---- */

static void unlink_rate(struct named_rate *rate)
{
    *(rate->older ? &rate->older->newer : &table.oldest) = rate->newer;
    *(rate->newer ? &rate->newer->older : &table.newest) = rate->older;
}

static void link_newest(struct named_rate *rate)
{
    rate->newer = NULL;
    rate->older = table.newest;
    *(table.newest ? &table.newest->newer : &table.oldest) = rate;
    table.newest = rate;
}

static void forget(struct named_rate *rate)
{
    unlink_rate(rate);
    map_remove(&table.rates, span_make(rate->name, rate->name_len));
    free(rate);
}

/* A few of the longest unused at each call: those that have recovered, or, when the table is
 * full, the eldest whatever it says. */
static void sweep(uint64_t now_us)
{
    struct named_rate *rate = table.oldest;

    for (int i = 0; rate && i < SWEEP_STEPS; i++) {
        struct named_rate *newer = rate->newer;

        if (rate->recovered_at_us <= now_us)
            forget(rate);
        rate = newer;
    }
    if (table.rates.count >= NAMES_LIMIT)
        forget(table.oldest);
}

static struct named_rate *get_rate(const struct throttle *throttle, uint64_t now_us)
{
    struct span name = span_make(throttle->name, throttle->name_len);
    struct named_rate *rate = map_find(&table.rates, name);

    if (rate) {
        unlink_rate(rate);
        link_newest(rate);
        return rate;
    }
    sweep(now_us);
    rate = mem_zalloc(sizeof *rate + name.len);
    rate->name_len = name.len;
    memcpy(rate->name, name.data, name.len);
    map_put(&table.rates, name, rate);
    link_newest(rate);
    return rate;
}

/* ---- asking ---- */

static struct verdict ask(const struct throttle *throttle)
{
    uint64_t now_us = clock_mono_us();
    uint64_t step_us = throttle->spec.period_us / throttle->spec.limit;
    struct verdict verdict = {0};
    struct named_rate *rate;
    uint64_t used;

    pthread_mutex_lock(&table.lock);
    rate = get_rate(throttle, now_us);
    verdict.allowed = rate_take(&rate->rate, &throttle->spec, 1, now_us, &verdict.retry_after_us);
    rate->recovered_at_us = rate->rate.full_at_us;
    if (rate->rate.full_at_us > now_us)
        verdict.reset_after_us = rate->rate.full_at_us - now_us;
    pthread_mutex_unlock(&table.lock);
    used = step_us ? (verdict.reset_after_us + step_us - 1) / step_us : 0;
    verdict.remaining = used < throttle->spec.burst ? throttle->spec.burst - used : 0;
    return verdict;
}

static double seconds(uint64_t us) { return (double)us / 1e6; }

static int l_throttle(lua_State *L)
{
    const struct throttle *throttle = luaL_checkudata(L, 1, CLASS);
    struct verdict verdict = ask(throttle);

    lua_createtable(L, 0, 5);
    lua_pushboolean(L, !verdict.allowed);
    lua_setfield(L, -2, "throttled");
    lua_pushinteger(L, (lua_Integer)throttle->spec.burst);
    lua_setfield(L, -2, "limit");
    lua_pushinteger(L, (lua_Integer)verdict.remaining);
    lua_setfield(L, -2, "remaining");
    lua_pushnumber(L, seconds(verdict.reset_after_us));
    lua_setfield(L, -2, "reset_after");
    if (!verdict.allowed) {
        lua_pushnumber(L, seconds(verdict.retry_after_us));
        lua_setfield(L, -2, "retry_after");
    }
    return 1;
}

static int l_delay_message_if_throttled(lua_State *L)
{
    const struct throttle *throttle = luaL_checkudata(L, 1, CLASS);
    struct message *message = policy_check_object(L, 2, "message");
    struct verdict verdict = ask(throttle);

    if (!verdict.allowed)
        message_set_due_ms(message, clock_wall_ms() + (int64_t)(verdict.retry_after_us / 1000) + 1);
    lua_pushboolean(L, !verdict.allowed);
    return 1;
}

/* ---- sleeping until it is allowed ---- */

struct pause {
    struct await await;
    struct throttle *throttle; /* a copy */
    struct timer timer;
    bool waited;
    bool gave_up;
    uint64_t waited_ms;
};

/* True when it may go on; otherwise how long to wait. */
static bool try_again(struct pause *pause, uint64_t *delay_ms_out)
{
    struct verdict verdict = ask(pause->throttle);

    if (verdict.allowed)
        return true;
    *delay_ms_out = verdict.retry_after_us / 1000 + 1;
    pause->waited = true;
    pause->waited_ms += *delay_ms_out;
    pause->gave_up = pause->waited_ms > SLEEP_LIMIT_MS;
    return pause->gave_up;
}

static void on_due(void *ctx)
{
    struct pause *pause = ctx;
    uint64_t delay_ms;

    if (try_again(pause, &delay_ms))
        await_finish(&pause->await);
    else
        timer_start(&pause->timer, delay_ms);
}

static void start_pause(struct await *await, struct loop *loop)
{
    struct pause *pause = CONTAINER_OF(await, struct pause, await);

    timer_init(&pause->timer, loop, on_due, pause);
    on_due(pause);
}

static void run_pause(struct await *await)
{
    struct pause *pause = CONTAINER_OF(await, struct pause, await);
    uint64_t delay_ms;

    while (!try_again(pause, &delay_ms)) {
        struct timespec delay = {(time_t)(delay_ms / 1000), (long)(delay_ms % 1000) * 1000000};

        nanosleep(&delay, NULL);
    }
}

static int finish_pause(struct await *await, lua_State *L)
{
    struct pause *pause = CONTAINER_OF(await, struct pause, await);

    if (pause->gave_up)
        return luaL_error(L, "the throttle would not allow it within %d seconds", SLEEP_LIMIT_MS / 1000);
    lua_pushboolean(L, pause->waited);
    return 1;
}

static void cancel_pause(struct await *await)
{
    timer_stop(&CONTAINER_OF(await, struct pause, await)->timer);
    await_finish(await);
}

static void free_pause(struct await *await)
{
    struct pause *pause = CONTAINER_OF(await, struct pause, await);

    timer_stop(&pause->timer);
    free(pause->throttle);
    free(pause);
}

static const struct await_ops pause_ops = {
    .start = start_pause, .run = run_pause, .finish = finish_pause, .cancel = cancel_pause, .free = free_pause};

static int l_sleep_if_throttled(lua_State *L)
{
    const struct throttle *throttle = luaL_checkudata(L, 1, CLASS);
    size_t size = sizeof *throttle + throttle->name_len;
    struct pause *pause = mem_zalloc(sizeof *pause);

    pause->await.ops = &pause_ops;
    pause->throttle = mem_alloc(size);
    memcpy(pause->throttle, throttle, size);
    return await(L, &pause->await);
}

/* ---- Lua ---- */

static int l_make_throttle(lua_State *L)
{
    struct error error = {0};
    struct rate_spec spec;
    struct throttle *throttle;
    size_t name_len, len;
    const char *name = luaL_checklstring(L, 1, &name_len);
    const char *text = luaL_checklstring(L, 2, &len);

    luaL_argcheck(L, name_len <= 1024, 1, "a name longer than 1024 bytes");
    if (rate_spec_parse(span_make(text, len), &spec, &error))
        return luaL_error(L, "kumo.make_throttle: %s", error.sentence);
    throttle = lua_newuserdatauv(L, sizeof *throttle + name_len, 0);
    throttle->spec = spec;
    throttle->name_len = name_len;
    memcpy(throttle->name, name, name_len);
    luaL_setmetatable(L, CLASS);
    return 1;
}

void mod_throttle_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"throttle", l_throttle},
                                       {"sleep_if_throttled", l_sleep_if_throttled},
                                       {"delay_message_if_throttled", l_delay_message_if_throttled},
                                       {NULL, NULL}};

    luaL_newmetatable(L, CLASS); /* class */
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, CLASS);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_make_throttle);
    lua_setfield(L, -2, "make_throttle");
    lua_pop(L, 1);
}
