/* SPDX-License-Identifier: Apache-2.0
 *
 * One call of an event's handlers: a coroutine that runs until it returns, raises or
 * waits. A handler that does not wait ends before policy_call returns; its coroutine and
 * its struct are kept for the next call. The awkward truth: the caller may cancel at any
 * moment, also from inside of what its own handler calls, so nothing of the caller's is
 * touched once `cancelled` is set.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "log/diag.h"
#include "policy/policy_private.h"

/* ---- the pool ---- */

static void on_resume(struct deferred *deferred);
static void on_wait_limit(void *ctx);

static struct policy_call *call_new(struct policy_state *state)
{
    struct policy_call *call = mem_zalloc(sizeof *call);

    call->thread = (struct policy_thread){.state = state, .call = call};
    call->L = lua_newthread(state->L);
    call->ref = luaL_ref(state->L, LUA_REGISTRYINDEX);
    *(struct policy_thread **)lua_getextraspace(call->L) = &call->thread;
    budget_watch(call->L);
    list_init(&call->objects);
    list_node_init(&call->node);
    call->resume.run = on_resume;
    timer_init(&call->wait_timer, state->vm->loop, on_wait_limit, call);
    return call;
}

void call_free(struct policy_call *call)
{
    luaL_unref(call->thread.state->L, LUA_REGISTRYINDEX, call->ref);
    free(call);
}

static struct policy_call *take_call(struct policy_state *state)
{
    struct list_node *node = list_take_first(&state->idle);
    struct policy_call *call = node ? CONTAINER_OF(node, struct policy_call, node) : call_new(state);

    list_push_back(&state->busy, &call->node);
    call->next = 0;
    call->function_ref = LUA_NOREF;
    call->cancelled = false;
    return call;
}

/* Unwinds what is left on the coroutine: pending <close> variables run, under a budget
 * (that of a call that was stopped for its own stays spent), and cannot wait. */
static void unwind(struct policy_call *call)
{
    struct policy_state *state = call->thread.state;
    struct policy_call *former = state->running;
    struct budget *former_budget = state->budget;

    if (!call->budget.spent)
        budget_start(&call->budget, state->vm->policy->call_limit_ms, state->vm->policy->instruction_limit);
    state->running = call;
    state->budget = &call->budget;
    state->closing = true;
    lua_resetthread(call->L);
    state->closing = false;
    state->running = former;
    state->budget = former_budget;
}

/* After this the call's caller is forgotten, and the state itself may be gone. */
static void retire(struct policy_call *call)
{
    struct policy_state *state = call->thread.state;

    timer_stop(&call->wait_timer);
    loop_undefer(state->vm->loop, &call->resume);
    if (lua_status(call->L) != LUA_OK)
        unwind(call);
    lua_settop(call->L, 0);
    budget_watch(call->L);
    objects_detach(&call->objects);
    secrets_drop(call);
    fault_drop_traceback(call);
    luaL_unref(state->L, LUA_REGISTRYINDEX, call->function_ref);
    list_remove(&state->busy, &call->node);
    if (state->idle.count < IDLE_CALLS && !call->budget.spent)
        list_push_front(&state->idle, &call->node);
    else
        call_free(call);
    if (list_is_empty(&state->busy))
        vm_state_is_idle(state);
}

/* ---- the coroutine's own code ---- */

/* Handlers run in a protected call of their own inside of the coroutine, with on_raised
 * below them. Two reasons: the traceback must be taken before <close> variables run; and
 * an error out of a hook leaves hooks switched off in a coroutine that dies of it, while a
 * protected call switches them on again, so that what runs afterwards can be stopped too. */
#define RAISED_INDEX 1
#define FIRST_RESULT 2

static int on_raised(lua_State *L)
{
    struct policy_call *call = thread_of(L)->call;

    if (call)
        fault_take_traceback(call, L);
    return 1;
}

/* Whether what the last handler returned settles the event. */
static bool is_settled(const struct policy_call *call, lua_State *L)
{
    switch (call->handlers->combine) {
    case COMBINE_MULTIPLE:
        return !lua_isnoneornil(L, FIRST_RESULT);
    case COMBINE_EVERY:
        return lua_gettop(L) >= FIRST_RESULT;
    default:
        return true;
    }
}

static void check_status(lua_State *L, int status)
{
    if (status != LUA_OK && status != LUA_YIELD)
        lua_error(L);
}

static int on_answered(lua_State *L, int status, lua_KContext ctx);

static int ask_handlers(lua_State *L, struct policy_call *call)
{
    while (call->next < call->handlers->count) {
        int nargs;

        lua_settop(L, 0);
        lua_pushcfunction(L, on_raised);
        lua_rawgeti(L, LUA_REGISTRYINDEX, call->handlers->list[call->next++].ref);
        nargs = call->push ? call->push(L, call->ctx) : 0;
        check_status(L, lua_pcallk(L, nargs, LUA_MULTRET, RAISED_INDEX, (lua_KContext)call, on_answered));
        if (is_settled(call, L))
            break;
    }
    return lua_gettop(L) - RAISED_INDEX;
}

static int on_answered(lua_State *L, int status, lua_KContext ctx)
{
    struct policy_call *call = (struct policy_call *)ctx;

    check_status(L, status);
    return is_settled(call, L) ? lua_gettop(L) - RAISED_INDEX : ask_handlers(L, call);
}

static int event_body(lua_State *L) { return ask_handlers(L, thread_of(L)->call); }

/* ---- running it ---- */

static void finish(struct policy_call *call, struct policy_result *result)
{
    struct policy_state *state = call->thread.state;
    struct budget *former = state->budget;

    state->budget = NULL; /* the caller reads its results unprotected */
    if (!call->cancelled && call->on_done)
        call->on_done(call->ctx, result);
    state->budget = former;
    retire(call);
}

/* As many as any event documents: a caller may look at results that are not there. */
#define RESULTS_PADDED 4

static void finish_returned(struct policy_call *call, int count)
{
    struct policy_result result = {.outcome = POLICY_RETURNED, .L = call->L, .count = count};
    bool nobody_answered = call->handlers && call->handlers->combine == COMBINE_MULTIPLE &&
                           (count == 0 || lua_isnil(call->L, lua_gettop(call->L) - count + 1));

    result.first = lua_gettop(call->L) - count + 1;
    if (nobody_answered)
        result.outcome = POLICY_UNHANDLED;
    luaL_checkstack(call->L, RESULTS_PADDED, NULL);
    for (int i = 0; i < RESULTS_PADDED; i++)
        lua_pushnil(call->L);
    finish(call, &result);
}

static void finish_failed(struct policy_call *call)
{
    struct policy_result result = {.outcome = POLICY_FAILED};

    if (!call->cancelled)
        fault_report(call, &result);
    finish(call, &result);
}

/* Ends a call that waits. */
static void finish_abandoned(struct policy_call *call, enum error_kind kind, const char *why)
{
    struct policy_result result = {.outcome = POLICY_FAILED};

    error_set(&result.error, kind, "%s", why);
    if (call->await)
        await_abandon(call);
    /* its <close> variables run after the caller was told, who may have freed what it lent by then */
    objects_detach(&call->objects);
    finish(call, &result);
}

/* One limit over all of its waits, from the first on. */
static void wait_on(struct policy_call *call)
{
    if (!timer_is_running(&call->wait_timer))
        timer_start(&call->wait_timer, call->thread.state->vm->policy->wait_limit_ms);
}

/* Lets the coroutine go on, with a fresh budget, until it waits, ends or fails. */
static int resume(struct policy_call *call, int *count_out)
{
    struct policy_state *state = call->thread.state;
    const struct policy *policy = state->vm->policy;
    struct policy_call *former = state->running;
    struct budget *former_budget = state->budget;
    struct await *former_finishing = state->finishing;
    int status;

    budget_start(&call->budget, policy->call_limit_ms, policy->instruction_limit);
    state->running = call;
    state->budget = &call->budget;
    state->finishing = NULL;
    state->reserve_bytes = 0;
    status = lua_resume(call->L, former ? former->L : NULL, 0, count_out);
    state->running = former;
    state->budget = former_budget;
    await_sweep(state);
    state->finishing = former_finishing;
    return status;
}

/* True when the call is over. */
static bool run(struct policy_call *call)
{
    int count = 0;
    int status = resume(call, &count);

    if (status == LUA_YIELD && !call->cancelled) {
        wait_on(call);
        return false;
    }
    if (status == LUA_YIELD)
        finish_abandoned(call, ERROR_CANCELLED, "cancelled");
    else if (status == LUA_OK)
        finish_returned(call, count);
    else
        finish_failed(call);
    return true;
}

void call_resume(struct policy_call *call) { loop_defer(call->thread.state->vm->loop, &call->resume); }

static void on_resume(struct deferred *deferred) { run(CONTAINER_OF(deferred, struct policy_call, resume)); }

static void on_wait_limit(void *ctx)
{
    struct policy_call *call = ctx;
    char why[160];

    snprintf(why, sizeof why, "%s waited longer than %llu ms", call->what,
             (unsigned long long)call->thread.state->vm->policy->wait_limit_ms);
    diag(DIAG_ERROR, NULL, "policy: %s", why);
    finish_abandoned(call, ERROR_TEMP, why);
}

/* ---- the door ---- */

static void tell_unhandled(policy_done_fn *on_done, void *ctx)
{
    struct policy_result result = {.outcome = POLICY_UNHANDLED};

    on_done(ctx, &result);
}

static struct policy_call *ask(struct policy_state *state, const struct handlers *handlers, policy_push_fn *push,
                               policy_done_fn *on_done, void *ctx)
{
    struct policy_call *call;

    if (!handlers || handlers->count == 0) {
        tell_unhandled(on_done, ctx);
        return NULL;
    }
    call = take_call(state);
    call->what = handlers->event;
    call->handlers = handlers;
    call->push = push;
    call->on_done = on_done;
    call->ctx = ctx;
    lua_pushcfunction(call->L, event_body);
    return run(call) ? NULL : call;
}

struct policy_call *policy_call(struct policy_vm *vm, enum policy_event event, policy_push_fn *push,
                                policy_done_fn *on_done, void *ctx)
{
    policy_notice_epoch(vm);
    return ask(vm->state, &vm->state->events[event], push, on_done, ctx);
}

struct policy_call *policy_call_named(struct policy_vm *vm, const char *event, policy_push_fn *push,
                                      policy_done_fn *on_done, void *ctx)
{
    policy_notice_epoch(vm);
    return ask(vm->state, handlers_find(vm->state, event), push, on_done, ctx);
}

void policy_call_cancel(struct policy_call *call)
{
    if (!call)
        return;
    MUST(!call->cancelled);
    call->cancelled = true;
    objects_detach(&call->objects);
    if (lua_status(call->L) == LUA_YIELD) /* else it is running: `run` sees the mark */
        finish_abandoned(call, ERROR_CANCELLED, "cancelled");
}

void call_end_all(struct policy_state *state)
{
    /* the last call to end may take the state with it, so the count is kept here */
    for (size_t left = state->busy.count; left > 0; left--) {
        struct policy_call *call = CONTAINER_OF(list_first(&state->busy), struct policy_call, node);

        finish_abandoned(call, ERROR_CANCELLED, "the policy engine stops");
    }
}

/* ---- functions run on their own ---- */

static int on_spawned_done(lua_State *L, int status, lua_KContext ctx)
{
    (void)ctx;
    check_status(L, status);
    return 0;
}

/* The function and its arguments lie in one table. */
static int spawned_body(lua_State *L)
{
    struct policy_call *call = thread_of(L)->call;
    lua_Integer nargs;

    lua_pushcfunction(L, on_raised);
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->function_ref);
    lua_getfield(L, 2, "n");
    nargs = lua_tointeger(L, -1);
    lua_settop(L, 2);
    luaL_checkstack(L, (int)nargs + 1, "too many arguments");
    for (lua_Integer i = 0; i <= nargs; i++)
        lua_rawgeti(L, 2, i);
    check_status(L, lua_pcallk(L, (int)nargs, 0, RAISED_INDEX, 0, on_spawned_done));
    return 0;
}

static void pack(lua_State *L, int nargs)
{
    int first = lua_gettop(L) - nargs;

    lua_createtable(L, nargs, 2);
    for (int i = 0; i <= nargs; i++) {
        lua_pushvalue(L, first + i);
        lua_rawseti(L, -2, i);
    }
    lua_pushinteger(L, nargs);
    lua_setfield(L, -2, "n");
}

bool policy_spawn(lua_State *L, const char *what, int nargs)
{
    struct policy_state *state = thread_of(L)->state;
    struct budget *former = state->budget;
    struct policy_call *call;
    int ref;

    if (loop_current() != state->vm->loop || state->closing)
        return false;
    pack(L, nargs);
    ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, nargs + 1);
    state->budget = NULL; /* nothing may be raised while the call is being made */
    call = take_call(state);
    state->budget = former;
    call->what = what;
    call->handlers = NULL;
    call->push = NULL;
    call->on_done = NULL;
    call->function_ref = ref;
    lua_pushcfunction(call->L, spawned_body);
    call_resume(call);
    return true;
}
