/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.sleep(seconds), also as kumo.time.sleep: the handler waits, the thread does not.
 */
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/must.h"
#include "policy/await.h"
#include "policy/modules/modules.h"

#define LONGEST_SECONDS 86400.0

struct nap {
    struct await await;
    struct timer timer;
    uint64_t delay_ms;
};

static struct nap *nap_of(struct await *await) { return CONTAINER_OF(await, struct nap, await); }

static void on_due(void *ctx) { await_finish(&((struct nap *)ctx)->await); }

static void nap_start(struct await *await, struct loop *loop)
{
    struct nap *nap = nap_of(await);

    timer_init(&nap->timer, loop, on_due, nap);
    timer_start(&nap->timer, nap->delay_ms);
}

static void nap_run(struct await *await)
{
    uint64_t ms = nap_of(await)->delay_ms;
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) != 0)
        continue;
}

static int nap_finish(struct await *await, lua_State *L)
{
    (void)await;
    (void)L;
    return 0;
}

static void nap_cancel(struct await *await)
{
    timer_stop(&nap_of(await)->timer);
    await_finish(await);
}

static void nap_free(struct await *await) { free(nap_of(await)); }

static const struct await_ops nap_ops = {
    .start = nap_start, .run = nap_run, .finish = nap_finish, .cancel = nap_cancel, .free = nap_free};

static int l_sleep(lua_State *L)
{
    lua_Number seconds = luaL_checknumber(L, 1);
    struct nap *nap;

    luaL_argcheck(L, seconds >= 0 && seconds <= LONGEST_SECONDS, 1, "not a time to sleep for, in seconds");
    nap = mem_zalloc(sizeof *nap);
    nap->await.ops = &nap_ops;
    nap->delay_ms = (uint64_t)ceil(seconds * 1000);
    return await(L, &nap->await);
}

void mod_sleep_open(lua_State *L)
{
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_sleep);
    lua_setfield(L, -2, "sleep");
    luaL_getsubtable(L, -1, "time");
    lua_pushcfunction(L, l_sleep);
    lua_setfield(L, -2, "sleep");
    lua_pop(L, 2);
}
