/* SPDX-License-Identifier: Apache-2.0
 *
 * What the policy tests share: a VM made from a string, and a call whose outcome is kept
 * as plain values.
 */
#ifndef GATEPOST_TESTS_POLICY_HARNESS_H
#define GATEPOST_TESTS_POLICY_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "policy/await.h"
#include "policy/binding.h"
#include "policy/policy.h"

struct asked {
    struct policy_call *call;
    int done; /* how often on_done ran */
    enum policy_outcome outcome;
    struct smtp_reply reply;
    struct error error;
    bool follow_with_421;
    int count;
    char first[200]; /* the first result as text */
    const char *argument;
    const char *secret;
};

static inline int push_arguments(lua_State *L, void *ctx)
{
    struct asked *asked = ctx;

    if (asked->argument)
        lua_pushstring(L, asked->argument);
    else
        lua_pushnil(L);
    if (asked->secret)
        policy_push_secret(L, span_of(asked->secret));
    else
        lua_pushnil(L);
    return 2;
}

static inline void on_asked(void *ctx, const struct policy_result *result)
{
    struct asked *asked = ctx;
    const char *text;

    asked->done++;
    asked->outcome = result->outcome;
    asked->reply = result->reply;
    asked->error = result->error;
    asked->count = result->count;
    asked->follow_with_421 = result->follow_with_421;
    if (result->outcome != POLICY_RETURNED)
        return;
    text = luaL_tolstring(result->L, result->first, NULL);
    snprintf(asked->first, sizeof asked->first, "%s", text);
    lua_pop(result->L, 1);
}

/* kumo.on and the raising functions, without the modules that give them to policies. */
static inline int test_on(lua_State *L)
{
    policy_on(L, luaL_checkstring(L, 1), 2);
    return 0;
}

static inline int test_reject(lua_State *L)
{
    policy_raise_reply(L, (int)luaL_checkinteger(L, 1), span_of(luaL_checkstring(L, 2)),
                       (enum policy_disconnect)luaL_optinteger(L, 3, POLICY_STAY));
}

static inline void add_test_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"on", test_on}, {"reject", test_reject}, {NULL, NULL}};

    lua_getglobal(L, "kumo");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}

struct world {
    struct loop *loop;
    struct policy *policy;
    struct policy_vm *vm;
    struct policy_options options;
};

static inline void world_open(struct world *world, const char *text)
{
    struct error error = {0};

    if (!world->loop)
        world->loop = loop_new("test", NULL);
    world->options.text = world->options.path ? NULL : text;
    if (!world->options.add_modules)
        world->options.add_modules = add_test_functions;
    world->policy = policy_new(&world->options, &error);
    assert_non_null(world->policy);
    world->vm = policy_vm_new(world->policy, world->loop, &error);
    if (!world->vm)
        fail_msg("%s", error.sentence);
}

static inline void world_close(struct world *world)
{
    policy_vm_free(world->vm);
    policy_free(world->policy);
    loop_free(world->loop);
    *world = (struct world){0};
}

static inline void ask(struct world *world, enum policy_event event, struct asked *asked)
{
    asked->call = policy_call(world->vm, event, push_arguments, on_asked, asked);
}

static inline void ask_named(struct world *world, const char *event, struct asked *asked)
{
    asked->call = policy_call_named(world->vm, event, push_arguments, on_asked, asked);
}

static inline void wait_for(struct world *world, const struct asked *asked)
{
    while (!asked->done)
        loop_turn(world->loop, true);
}

/* What is written to stderr while `act` runs. */
static inline char *stderr_of(void (*act)(void *ctx), void *ctx)
{
    FILE *file = tmpfile();
    int saved = dup(2);
    char *text;
    size_t len;

    MUST(file && saved >= 0);
    fflush(stderr);
    dup2(fileno(file), 2);
    act(ctx);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    fseek(file, 0, SEEK_END);
    len = (size_t)ftell(file);
    rewind(file);
    text = calloc(1, len + 1);
    MUST(text && fread(text, 1, len, file) == len);
    fclose(file);
    return text;
}

#endif
