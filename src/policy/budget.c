/* SPDX-License-Identifier: Apache-2.0
 *
 * Stops code that runs away. A hook counts instructions and looks at the clock; when
 * either has run out it raises an error, and from then on again at every single
 * instruction, so that a pcall around the loop only gets as far as its own return. Hooks
 * belong to Lua threads: coroutines made by a policy inherit this one from their maker.
 *
 * What the hook cannot see is time spent inside one C function, such as a pattern match
 * on a long string; its subject is bounded by the VM's memory and by message sizes.
 */
#include "base/clock.h"
#include "policy/policy_private.h"

static void on_count(lua_State *L, lua_Debug *ar);

static void watch(lua_State *L, int step) { lua_sethook(L, on_count, LUA_MASKCOUNT, step); }

void budget_watch(lua_State *L)
{
    if (lua_gethookcount(L) != BUDGET_STEP || lua_gethook(L) != on_count)
        watch(L, BUDGET_STEP);
}

void budget_start(struct budget *budget, uint64_t limit_ms, uint64_t instructions)
{
    budget->instructions_left = instructions;
    budget->limit_ms = limit_ms;
    budget->deadline_ms = clock_mono_ms() + limit_ms;
    budget->spent = NULL;
}

static void charge(struct budget *budget)
{
    if (budget->instructions_left < BUDGET_STEP)
        budget->spent = "instructions";
    else if (clock_mono_ms() > budget->deadline_ms)
        budget->spent = "time";
    else
        budget->instructions_left -= BUDGET_STEP;
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    struct policy_state *state = thread_of(L)->state;
    struct budget *budget = state->budget;

    (void)ar;
    if (!budget)
        return;
    if (!budget->spent) {
        budget_watch(L); /* a coroutine that outlived a stopped call */
        charge(budget);
        if (!budget->spent)
            return;
    }
    watch(L, 1);
    watch(state->running ? state->running->L : state->L, 1);
    luaL_where(L, 0);
    lua_pushfstring(L, "%sthe policy used up its %s (limit %d ms)", lua_tostring(L, -1), budget->spent,
                    (int)budget->limit_ms);
    lua_error(L);
}
