/* SPDX-License-Identifier: Apache-2.0
 *
 * What Lua modules written in C need of the engine besides policy.h and await.h:
 * registering handlers, raising answers, and running a function on its own.
 */
#ifndef GATEPOST_POLICY_BINDING_H
#define GATEPOST_POLICY_BINDING_H

#include <lua.h>
#include <stdbool.h>

#include "base/buf.h"
#include "policy/await.h"
#include "policy/policy.h"

/* Registers the function at `index` for the event. Raises an error that names both places
 * when the event takes one handler and has it. Events the program does not know belong to
 * the operator: the latest handler is used. */
void policy_on(lua_State *L, const char *event, int index);

enum policy_disconnect {
    POLICY_STAY,            /* kumo.reject */
    POLICY_CLOSE,           /* say it, then close */
    POLICY_CLOSE_AFTER_421, /* say it, say 421, then close */
};

/* Raises an error value that ends the handler with this answer. It passes through pcall as
 * an object that can be raised again. */
_Noreturn void policy_raise_reply(lua_State *L, int code, struct span text, enum policy_disconnect how);

/* Raises an error value that says: a store that works has no such thing. A handler that does
 * not catch it ends as POLICY_FAILED with not_found set. `text` is for the operator. */
_Noreturn void policy_raise_not_found(lua_State *L, const char *text);

/* Replaces the secrets of the running call in `text`. */
void policy_scrub(lua_State *L, struct buf *text);

/* Takes a function and its `nargs` arguments from the stack and calls it later in this
 * turn as a call of its own. An error is logged under `what`, which is kept. False, leaving the stack alone, when the
 * calling thread runs no loop. */
bool policy_spawn(lua_State *L, const char *what, int nargs);

/* As await(), but ends with then(L, count, ctx) instead of returning the `count` results
 * that ops->finish pushed. `then` may call, wait and yield like any continuation. */
int await_then(lua_State *L, struct await *await, lua_KFunction then, lua_KContext ctx);

/* Raises when the running call was cancelled meanwhile: for what must be taken back once it
 * has begun. await and await_then look for themselves. */
void await_check_cancelled(lua_State *L);

/* Whether await would suspend here rather than block. */
bool await_suspends(lua_State *L);

#endif
