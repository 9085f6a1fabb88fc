/* SPDX-License-Identifier: Apache-2.0
 *
 * One Lua state: its memory, its libraries, and the run of the policy file that registers
 * the handlers. The ceiling on memory is an ordinary Lua error to the code that meets it;
 * C code that works on the state between calls is not counted, because an error there
 * would have nobody to catch it.
 */
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "metrics/metrics.h"
#include "policy/policy_private.h"

/* Loading may read big tables and wait for a database; it is not a handler's turn. */
#define LOAD_LIMIT_MS 30000
#define LOAD_INSTRUCTION_FACTOR 10

static void *allocate(void *ud, void *ptr, size_t old_bytes, size_t new_bytes)
{
    struct policy_state *state = ud;
    size_t held = ptr ? old_bytes : 0; /* without ptr old_bytes is the kind of object */
    void *grown;

    if (new_bytes == 0) {
        free(ptr);
        state->used_bytes -= held;
        return NULL;
    }
    if (new_bytes > held && state->budget &&
        state->used_bytes + (new_bytes - held) > state->vm->policy->memory_limit_bytes + state->reserve_bytes)
        return NULL;
    grown = mem_try_realloc(ptr, new_bytes);
    if (grown)
        state->used_bytes += new_bytes - held;
    return grown;
}

static int on_panic(lua_State *L)
{
    (void)L;
    must_failed("no Lua error outside of a protected call", __FILE__, __LINE__, __func__);
}

/* ---- the policy file ---- */

static int load_chunk(lua_State *L, const struct policy *policy)
{
    if (policy->path)
        return luaL_loadfilex(L, policy->path, "t");
    return luaL_loadbufferx(L, policy->text, strlen(policy->text), "=(built-in policy)", "t");
}

static int load_protected(lua_State *L)
{
    struct policy_state *state = thread_of(L)->state;
    const struct policy *policy = state->vm->policy;

    sandbox_open(L, policy);
    fault_open(L);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setglobal(L, "kumo");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_rotate(L, -2, 1);
    lua_setfield(L, -2, "kumo");
    if (policy->add_modules)
        policy->add_modules(L);
    lua_settop(L, 0);
    if (load_chunk(L, policy) != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

static int load_policy(struct policy_state *state, struct error *error)
{
    const struct policy *policy = state->vm->policy;
    struct budget budget;
    int status;

    budget_start(&budget, LOAD_LIMIT_MS, policy->instruction_limit * LOAD_INSTRUCTION_FACTOR);
    state->budget = &budget;
    lua_pushcfunction(state->L, load_protected);
    status = lua_pcall(state->L, 0, 0, 0);
    state->budget = NULL;
    await_sweep(state);
    budget_watch(state->L);
    if (status == LUA_OK)
        return 0;
    fault_of_load(state, error);
    return -1;
}

/* ---- making and ending ---- */

static void open_state(struct policy_state *state)
{
    state->L = lua_newstate(allocate, state);
    MUST(state->L != NULL);
    state->thread.state = state;
    *(struct policy_thread **)lua_getextraspace(state->L) = &state->thread;
    lua_atpanic(state->L, on_panic);
    budget_watch(state->L);
    metrics_add(METRIC_LUA_VMS, 1);
}

struct policy_state *state_new(struct policy_vm *vm, struct error *error)
{
    struct policy_state *state = mem_zalloc(sizeof *state);

    state->vm = vm;
    list_init(&state->idle);
    list_init(&state->busy);
    list_init(&state->loose);
    handlers_init(state);
    open_state(state);
    if (load_policy(state, error) < 0) {
        state_free(state);
        return NULL;
    }
    return state;
}

void state_free(struct policy_state *state)
{
    struct list_node *node;

    if (!state)
        return;
    MUST(list_is_empty(&state->busy));
    while ((node = list_take_first(&state->idle)))
        call_free(CONTAINER_OF(node, struct policy_call, node));
    objects_detach(&state->loose);
    state->closing = true;
    lua_close(state->L);
    attached_drop(state);
    handlers_done(state);
    metrics_add(METRIC_LUA_VMS, -1);
    free(state);
}
