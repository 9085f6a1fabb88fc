/* SPDX-License-Identifier: Apache-2.0
 *
 * See script.h.
 */
#include "script.h"

#include <lauxlib.h>

struct script {
    char **args;
    int arg_count;
    bool done;
    struct policy_result result;
};

static int push_args(lua_State *L, void *ctx)
{
    const struct script *script = ctx;

    luaL_checkstack(L, script->arg_count, "too many arguments");
    for (int i = 0; i < script->arg_count; i++)
        lua_pushstring(L, script->args[i]);
    return script->arg_count;
}

static void on_done(void *ctx, const struct policy_result *result)
{
    struct script *script = ctx;

    script->result = *result;
    script->done = true;
}

int script_run(struct policy_vm *vm, char **args, int arg_count, struct error *error)
{
    struct script script = {.args = args, .arg_count = arg_count};

    policy_call_named(vm, "main", push_args, on_done, &script);
    while (!script.done)
        loop_turn(policy_vm_loop(vm), true);
    switch (script.result.outcome) {
    case POLICY_RETURNED:
        return 0;
    case POLICY_UNHANDLED:
        return error_set(error, ERROR_PERM, "--script: the policy has no kumo.on('main', ...)");
    case POLICY_FAILED:
        if (error)
            *error = script.result.error;
        return -1;
    default:
        return error_set(error, ERROR_PERM, "--script: %d %s", script.result.reply.code, script.result.reply.text);
    }
}
