/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.memoize(function, params): a function that remembers its results. The cache is the
 * process's (policy/memoize.h says what stays in it and what goes); here arguments become
 * keys, results become data that any VM can have, and handlers wait for each other.
 *
 * A ticket, once drawn, must be ended whatever happens to the function: it lies in a
 * to-be-closed slot of the coroutine, which errors, stops and cancelling close alike.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/mem.h"
#include "base/must.h"
#include "policy/binding.h"
#include "policy/data.h"
#include "policy/memoize.h"
#include "policy/modules/modules.h"

#define MEMO_CLASS "gatepost.memo"
#define TICKET_CLASS "gatepost.memo_ticket"
#define DEFAULT_POPULATE_MS 120000
#define MOST_ENTRIES 10000000
/* How long a thread that cannot suspend stands still for somebody else's population. */
#define BLOCK_LIMIT_MS 1000

/* One memoized function of one VM. */
struct memo {
    struct memoize_cache *cache;
    struct memoize_options options;
    bool retry_on_timeout;
    char *what; /* "kumo.memoize 'NAME'", for errors and logs */
    /* Held while something that can raise is done; if it did raise, let go of next time. */
    struct memoize_value *held;
    struct memoize_ticket *drawn;
};

enum { UP_FUNCTION = 1, UP_MEMO = 2 };

struct ticket_box {
    struct memoize_ticket *ticket;
};

static void let_go(struct memo *memo)
{
    memoize_value_unref(&memo->held);
    if (memo->drawn)
        memoize_fail(memo->drawn);
    memo->drawn = NULL;
}

/* ---- waiting for another's population ---- */

enum wait_end { WAIT_READY, WAIT_TIMED_OUT, WAIT_BLOCKED_TOO_LONG };

struct wait {
    struct await await;
    struct memoize_waiter waiter;
    struct timer timer;
    uint64_t timeout_ms;
    enum wait_end end;
};

static struct wait *wait_of(struct await *await) { return CONTAINER_OF(await, struct wait, await); }

static void on_ready(struct memoize_waiter *waiter)
{
    struct wait *wait = CONTAINER_OF(waiter, struct wait, waiter);

    timer_stop(&wait->timer);
    await_finish(&wait->await);
}

static void on_timeout(void *ctx)
{
    struct wait *wait = ctx;

    if (!memoize_unwait(&wait->waiter))
        return; /* on_ready is on its way */
    wait->end = WAIT_TIMED_OUT;
    await_finish(&wait->await);
}

static void wait_start(struct await *await, struct loop *loop)
{
    struct wait *wait = wait_of(await);

    timer_init(&wait->timer, loop, on_timeout, wait);
    timer_start(&wait->timer, wait->timeout_ms);
}

static void wait_run(struct await *await)
{
    struct wait *wait = wait_of(await);

    if (!memoize_block(&wait->waiter, wait->timeout_ms < BLOCK_LIMIT_MS ? wait->timeout_ms : BLOCK_LIMIT_MS))
        wait->end = WAIT_BLOCKED_TOO_LONG;
}

static int wait_finish(struct await *await, lua_State *L)
{
    lua_pushinteger(L, wait_of(await)->end);
    return 1;
}

static void wait_cancel(struct await *await)
{
    struct wait *wait = wait_of(await);

    timer_stop(&wait->timer);
    if (memoize_unwait(&wait->waiter))
        await_finish(await);
}

static void wait_free(struct await *await) { free(wait_of(await)); }

static const struct await_ops wait_ops = {
    .start = wait_start, .run = wait_run, .finish = wait_finish, .cancel = wait_cancel, .free = wait_free};

static struct wait *wait_new(lua_State *L, const struct memo *memo)
{
    struct wait *wait = mem_zalloc(sizeof *wait);

    wait->await.ops = &wait_ops;
    wait->waiter.loop = await_suspends(L) ? loop_current() : NULL;
    wait->waiter.on_ready = on_ready;
    wait->timeout_ms = memo->options.populate_timeout_ms;
    return wait;
}

/* ---- calling the function ---- */

static int ticket_close(lua_State *L)
{
    struct ticket_box *box = luaL_checkudata(L, 1, TICKET_CLASS);
    struct memoize_ticket *ticket = box->ticket;

    box->ticket = NULL;
    if (ticket)
        memoize_fail(ticket);
    return 0;
}

/* Moves memo->drawn (which may be NULL) into a userdata on the top of the stack. */
static struct ticket_box *push_ticket(lua_State *L, struct memo *memo)
{
    struct ticket_box *box = lua_newuserdatauv(L, sizeof *box, 0);

    box->ticket = NULL;
    luaL_setmetatable(L, TICKET_CLASS);
    box->ticket = memo->drawn;
    memo->drawn = NULL;
    return box;
}

/* The results lie above the ticket, which is at `box_index`. */
static int keep_results(lua_State *L, struct memo *memo, int box_index)
{
    struct ticket_box *box = lua_touserdata(L, box_index);
    int count = lua_gettop(L) - box_index;
    struct memoize_ticket *ticket = box->ticket;
    struct error error = {0};
    struct policy_data *data;

    if (!ticket)
        return count;
    data = policy_data_new(L, box_index + 1, count, &error);
    if (!data)
        return luaL_error(L, "%s: a result cannot be kept: %s", memo->what, error.sentence);
    box->ticket = NULL;
    memoize_put(ticket, policy_data_value(data), policy_data_is_refusal(data));
    return count;
}

static struct memo *memo_of(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(UP_MEMO)); }

static int on_populated(lua_State *L, int status, lua_KContext box_index)
{
    (void)status;
    return keep_results(L, memo_of(L), (int)box_index);
}

/* The arguments are 1..nargs. */
static int populate(lua_State *L, struct memo *memo, int nargs)
{
    int box_index = nargs + 1;

    luaL_checkstack(L, nargs + LUA_MINSTACK, NULL);
    push_ticket(L, memo);
    lua_toclose(L, box_index);
    lua_pushvalue(L, lua_upvalueindex(UP_FUNCTION));
    for (int i = 1; i <= nargs; i++)
        lua_pushvalue(L, i);
    lua_callk(L, nargs, LUA_MULTRET, box_index, on_populated);
    return keep_results(L, memo, box_index);
}

/* ---- stale answers ---- */

/* Arguments: the ticket, then those of the function. */
static int on_refreshed(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    keep_results(L, memo_of(L), 1);
    return 0;
}

static int l_refresh(lua_State *L)
{
    int nargs = lua_gettop(L) - 1;

    lua_toclose(L, 1);
    luaL_checkstack(L, nargs + LUA_MINSTACK, NULL);
    lua_pushvalue(L, lua_upvalueindex(UP_FUNCTION));
    lua_insert(L, 2);
    lua_callk(L, nargs, LUA_MULTRET, 0, on_refreshed);
    return on_refreshed(L, LUA_OK, 0);
}

/* Leaves the stack as it was. False when this thread has no turn to do it later. */
static bool refresh_later(lua_State *L, struct memo *memo, int nargs)
{
    int top = lua_gettop(L);
    bool spawned;

    luaL_checkstack(L, nargs + LUA_MINSTACK, NULL);
    lua_pushvalue(L, lua_upvalueindex(UP_FUNCTION));
    lua_pushvalue(L, lua_upvalueindex(UP_MEMO));
    lua_pushcclosure(L, l_refresh, 2);
    push_ticket(L, memo);
    for (int i = 1; i <= nargs; i++)
        lua_pushvalue(L, i);
    spawned = policy_spawn(L, memo->what, nargs + 1);
    if (!spawned) {
        struct ticket_box *box = lua_touserdata(L, top + 2);

        memo->drawn = box->ticket;
        box->ticket = NULL;
    }
    lua_settop(L, top);
    return spawned;
}

/* ---- asking the cache ---- */

static int push_held(lua_State *L, struct memo *memo)
{
    int count = policy_data_push(L, policy_data_of(memo->held));

    memoize_value_unref(&memo->held);
    return count;
}

static int ask(lua_State *L, int nargs);

/* The wait has pushed how it ended. */
static int on_waited(lua_State *L, int count, lua_KContext nargs)
{
    struct memo *memo = memo_of(L);
    lua_Integer end = lua_tointeger(L, -1);

    lua_pop(L, count);
    if (end == WAIT_TIMED_OUT && !memo->retry_on_timeout)
        return luaL_error(L, "%s: populating took longer than %d ms", memo->what,
                          (int)memo->options.populate_timeout_ms);
    if (end == WAIT_BLOCKED_TOO_LONG)
        return populate(L, memo, (int)nargs);
    return ask(L, (int)nargs);
}

static int answer(lua_State *L, struct memo *memo, enum memoize_answer found, struct wait *wait, int nargs)
{
    if (found == MEMOIZE_WAIT)
        return await_then(L, &wait->await, on_waited, nargs);
    free(wait);
    if (found == MEMOIZE_HIT)
        return push_held(L, memo);
    if (found == MEMOIZE_POPULATE)
        return populate(L, memo, nargs);
    if (memo->drawn && !refresh_later(L, memo, nargs)) {
        memoize_value_unref(&memo->held);
        return populate(L, memo, nargs);
    }
    return push_held(L, memo);
}

static int ask(lua_State *L, int nargs)
{
    struct memo *memo = memo_of(L);
    struct memoize_key key;
    struct error error = {0};
    struct wait *wait;
    enum memoize_answer found;

    let_go(memo);
    if (policy_data_key(L, 1, nargs, &key, &error) < 0)
        return luaL_error(L, "%s: an argument cannot be part of a key: %s", memo->what, error.sentence);
    await_check_cancelled(L);
    wait = wait_new(L, memo);
    found = memoize_get(memo->cache, key, policy_epoch(policy_of(policy_vm_of(L))), &wait->waiter, &memo->held,
                        &memo->drawn);
    return answer(L, memo, found, wait, nargs);
}

static int l_memoized(lua_State *L) { return ask(L, lua_gettop(L)); }

/* ---- making one ---- */

static void check_names(lua_State *L)
{
    static const char *const known[] = {"name",
                                        "ttl",
                                        "capacity",
                                        "invalidate_with_epoch",
                                        "populate_timeout",
                                        "retry_on_populate_timeout",
                                        "allow_stale_reads",
                                        NULL};

    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        int i = 0;

        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_argerror(L, 2, "its keys are names");
        while (known[i] && strcmp(known[i], lua_tostring(L, -2)))
            i++;
        if (!known[i])
            luaL_error(L, "kumo.memoize: unknown parameter '%s'", lua_tostring(L, -2));
    }
}

static uint64_t duration_field(lua_State *L, const char *name, uint64_t fallback_ms)
{
    struct error error = {0};
    struct span text;
    uint64_t ms = fallback_ms;

    if (lua_getfield(L, 2, name) != LUA_TNIL) {
        text.data = lua_tolstring(L, -1, &text.len);
        if (!text.data)
            luaL_error(L, "kumo.memoize: %s is not a duration", name);
        if (duration_parse(text, &ms, &error) < 0)
            luaL_error(L, "kumo.memoize: %s: %s", name, error.sentence);
        if (ms == 0)
            luaL_error(L, "kumo.memoize: %s is zero", name);
    } else if (!fallback_ms) {
        luaL_error(L, "kumo.memoize: %s is missing", name);
    }
    lua_pop(L, 1);
    return ms;
}

static bool bool_field(lua_State *L, const char *name)
{
    bool value;

    if (lua_getfield(L, 2, name) != LUA_TNIL && !lua_isboolean(L, -1))
        luaL_error(L, "kumo.memoize: %s is neither true nor false", name);
    value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

/* Leaves the name on the stack: the options borrow it. */
static struct memoize_options check_params(lua_State *L)
{
    struct memoize_options options = {0};
    lua_Integer capacity;

    check_names(L);
    if (lua_getfield(L, 2, "capacity") != LUA_TNUMBER)
        luaL_error(L, "kumo.memoize: capacity is missing or not a number");
    capacity = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (capacity < 1 || capacity > MOST_ENTRIES)
        luaL_error(L, "kumo.memoize: capacity must be from 1 to %d", MOST_ENTRIES);
    options.capacity = (size_t)capacity;
    options.ttl_ms = duration_field(L, "ttl", 0);
    options.populate_timeout_ms = duration_field(L, "populate_timeout", DEFAULT_POPULATE_MS);
    options.invalidate_with_epoch = bool_field(L, "invalidate_with_epoch");
    options.allow_stale_reads = bool_field(L, "allow_stale_reads");
    if (lua_getfield(L, 2, "name") != LUA_TSTRING)
        luaL_error(L, "kumo.memoize: name is missing or not a string");
    options.name = lua_tostring(L, -1);
    return options;
}

static int memo_gc(lua_State *L)
{
    struct memo *memo = luaL_checkudata(L, 1, MEMO_CLASS);

    let_go(memo);
    free(memo->what);
    memo->what = NULL;
    return 0;
}

static int l_memoize(lua_State *L)
{
    struct memoize_options options;
    struct memo *memo;
    bool retry;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_checktype(L, 2, LUA_TTABLE);
    retry = bool_field(L, "retry_on_populate_timeout");
    options = check_params(L);
    lua_pushvalue(L, 1);
    memo = lua_newuserdatauv(L, sizeof *memo, 0);
    memset(memo, 0, sizeof *memo);
    luaL_setmetatable(L, MEMO_CLASS);
    memo->what = mem_printf("kumo.memoize '%s'", options.name);
    memo->retry_on_timeout = retry;
    memo->options = options;
    memo->cache = memoize_open(&options);
    memo->options.name = NULL; /* it was the stack's */
    lua_pushcclosure(L, l_memoized, 2);
    return 1;
}

static void make_class(lua_State *L, const char *name, lua_CFunction gc)
{
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__close");
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

void mod_memoize_open(lua_State *L)
{
    make_class(L, MEMO_CLASS, memo_gc);
    make_class(L, TICKET_CLASS, ticket_close);
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_memoize);
    lua_setfield(L, -2, "memoize");
    lua_pop(L, 1);
}
