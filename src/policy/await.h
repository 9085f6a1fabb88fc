/* SPDX-License-Identifier: Apache-2.0
 *
 * The bridge between a Lua coroutine and the loop: how a Lua function written in C waits.
 * Where Lua can yield, the coroutine is suspended and resumes on the same thread when the
 * work is done; where it cannot (module top level, metamethod, sort callback) the same
 * work runs to its end before the function returns. Handlers never see the difference.
 *
 *   static int l_query(lua_State *L) {
 *       struct query *query = ...;              // embeds a struct await; owned by it from here
 *       query->await = (struct await){.ops = &query_ops};
 *       return await(L, &query->await);         // last act of a C function: it may yield
 *   }
 */
#ifndef GATEPOST_POLICY_AWAIT_H
#define GATEPOST_POLICY_AWAIT_H

#include <lua.h>
#include <stdbool.h>

#include "base/error.h"
#include "loop/jobs.h"
#include "loop/loop.h"

struct await;

struct await_ops {
    /* Begins the work on `loop`; ends it with await_finish(await), at once or later. */
    void (*start)(struct await *await, struct loop *loop);
    /* Does all of it now, blocking. */
    void (*run)(struct await *await);
    /* Pushes the results, returns how many; may raise (luaL_error). Runs on the Lua thread.
     * It must not call Lua code that could itself wait: await_then in policy/binding.h can. */
    int (*finish)(struct await *await, lua_State *L);
    /* The handler was abandoned while the work went on: stop it if that can be done; whether
     * or not, await_finish must still be called. May be NULL. */
    void (*cancel)(struct await *await);
    /* Frees the object that embeds `await`. Called exactly once, after finish or instead;
     * in the latter case the VM may be gone, so it must not touch Lua. */
    void (*free)(struct await *await);
};

struct await {
    const struct await_ops *ops;
    /* private */
    void *waiter;
    bool finished;
    bool abandoned;
};

/* Takes ownership of `await`. To be returned from the C function. */
int await(lua_State *L, struct await *await);

/* On the loop that start was called with. */
void await_finish(struct await *await);

/* ---- the common case: a function that blocks, run in the jobs pool ---- */

struct await_job {
    struct await await; /* set by await_job() */
    struct job job;
    struct jobs *pool;                                /* NULL: the one of await_set_jobs */
    void (*work)(struct await_job *job);              /* on a pool thread: no Lua */
    int (*push)(struct await_job *job, lua_State *L); /* results; may raise */
    void (*free)(struct await_job *job);
    struct error error; /* set by work, or when the pool is full or lets nobody wait that long: push is then not
                           called and the sentence is raised as a Lua error */
};

/* The pool that await_job uses; set once by main before any VM exists. */
void await_set_jobs(struct jobs *jobs);
int await_job(lua_State *L, struct await_job *job);

#endif
