/* SPDX-License-Identifier: Apache-2.0
 *
 * require 'gatepost.password': for policies that keep their own users. Hashing is done on the password pool, so that
 * a handler waits and its worker does not; a pool that is full is an error, which the peer sees as a temporary
 * failure. What a form or a password looks like is in none of the errors.
 */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "password/password.h"
#include "password/pool.h"
#include "policy/await.h"
#include "policy/modules/modules.h"

/* One password on its way through the pool. */
struct errand {
    struct await_job job;
    char *password;
    size_t password_len;
    char *stored; /* verify */
    enum password_verdict verdict;
    enum password_scheme scheme; /* hash */
    struct password_cost cost;
    struct buf hashed;
};

static struct errand *errand_of(struct await_job *job) { return CONTAINER_OF(job, struct errand, job); }

static void free_errand(struct await_job *job)
{
    struct errand *errand = errand_of(job);

    secret_wipe(errand->password, errand->password_len);
    free(errand->password);
    secret_free(errand->stored);
    if (errand->hashed.data)
        secret_wipe(errand->hashed.data, errand->hashed.capacity);
    buf_done(&errand->hashed);
    free(errand);
}

static struct errand *new_errand(struct span password)
{
    struct errand *errand = mem_zalloc(sizeof *errand);

    errand->job.pool = password_pool();
    errand->job.free = free_errand;
    errand->password = span_dup(password);
    errand->password_len = password.len;
    buf_init(&errand->hashed, PASSWORD_STORED_LIMIT);
    return errand;
}

static struct span password_of(const struct errand *errand)
{
    return span_make(errand->password, errand->password_len);
}

static struct span check_password(lua_State *L, int index)
{
    struct span password;

    password.data = luaL_checklstring(L, index, &password.len);
    return password;
}

/* ---- verify(password, stored) ---- */

/* As a hash of our defaults: who is locked is not told by the time it takes. */
static void take_as_long(const struct errand *errand)
{
    char *dummy = password_dummy(NULL);

    MUST(password_verify(password_of(errand), dummy) != PASSWORD_MATCHES);
    free(dummy);
}

static void verify(struct await_job *job)
{
    struct errand *errand = errand_of(job);

    errand->verdict = password_verify(password_of(errand), errand->stored);
    if (errand->verdict == PASSWORD_LOCKED)
        take_as_long(errand);
    if (errand->verdict == PASSWORD_UNUSABLE && !password_check(errand->stored, &job->error))
        error_set(&job->error, ERROR_TEMP, "the stored password cannot be computed with the parameters it has");
}

static int push_verdict(struct await_job *job, lua_State *L)
{
    lua_pushboolean(L, errand_of(job)->verdict == PASSWORD_MATCHES);
    return 1;
}

/* A NUL would hide what is behind it. */
static const char *check_stored(lua_State *L, int index)
{
    size_t len;
    const char *stored = luaL_checklstring(L, index, &len);

    luaL_argcheck(L, strlen(stored) == len, index, "not a stored password");
    return stored;
}

static int verify_now(lua_State *L, struct span password, const char *stored)
{
    struct error error;

    if (password_check(stored, &error))
        return luaL_error(L, "%s", error.sentence);
    lua_pushboolean(L, password_verify(password, stored) == PASSWORD_MATCHES);
    return 1;
}

static int l_verify(lua_State *L)
{
    struct span password = check_password(L, 1);
    const char *stored = check_stored(L, 2);
    struct errand *errand;

    if (password_is_cheap(stored) && !password_is_locked(stored))
        return verify_now(L, password, stored);
    errand = new_errand(span_head(password, PASSWORD_LIMIT + 1)); /* longer ones differ anyway */
    errand->stored = mem_strdup(stored);
    errand->job.work = verify;
    errand->job.push = push_verdict;
    return await_job(L, &errand->job);
}

/* ---- hash(password, options), needs_rehash(stored, options) ---- */

static uint32_t check_count(lua_State *L, const char *name)
{
    int is_integer;
    lua_Integer count = lua_tointegerx(L, -1, &is_integer);

    if (!is_integer || count < 1 || count > UINT32_MAX)
        luaL_error(L, "%s is not a positive number", name);
    return (uint32_t)count;
}

static enum password_scheme check_scheme(lua_State *L)
{
    enum password_scheme scheme = PASSWORD_SCHEME_COUNT;

    if (lua_type(L, -1) == LUA_TSTRING)
        scheme = password_scheme_find(span_of(lua_tostring(L, -1)));
    if (scheme == PASSWORD_SCHEME_COUNT)
        luaL_error(L, "there is no such password scheme");
    return scheme;
}

/* The value of an option is on top of the stack. */
static void check_option(lua_State *L, const char *name, enum password_scheme *scheme, struct password_cost *cost)
{
    if (!strcmp(name, "scheme"))
        *scheme = check_scheme(L);
    else if (!strcmp(name, "memory_kib"))
        cost->memory_kib = check_count(L, name);
    else if (!strcmp(name, "rounds"))
        cost->rounds = check_count(L, name);
    else if (!strcmp(name, "parallelism"))
        cost->parallelism = check_count(L, name);
    else
        luaL_error(L, "there is no option '%s': scheme, memory_kib, rounds and parallelism are", name);
}

static void check_options(lua_State *L, int index, enum password_scheme *scheme, struct password_cost *cost)
{
    *scheme = PASSWORD_ARGON2ID;
    *cost = (struct password_cost){0};
    if (lua_isnoneornil(L, index))
        return;
    luaL_checktype(L, index, LUA_TTABLE);
    lua_pushnil(L);              /* key */
    while (lua_next(L, index)) { /* key value */
        luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING, index, "its keys are names");
        check_option(L, lua_tostring(L, -2), scheme, cost);
        lua_pop(L, 1); /* key */
    }
}

static void hash(struct await_job *job)
{
    struct errand *errand = errand_of(job);

    if (password_hash(errand->scheme, &errand->cost, password_of(errand), &errand->hashed, &job->error))
        MUST(job->error.kind != ERROR_NONE); /* which raises it */
}

static int push_hashed(struct await_job *job, lua_State *L)
{
    struct span hashed = buf_span(&errand_of(job)->hashed);

    lua_pushlstring(L, hashed.data, hashed.len);
    return 1;
}

static int l_hash(lua_State *L)
{
    struct span password = check_password(L, 1);
    enum password_scheme scheme;
    struct password_cost cost;
    struct errand *errand;

    check_options(L, 2, &scheme, &cost);
    errand = new_errand(span_head(password, PASSWORD_LIMIT + 1)); /* which is too long as well */
    errand->scheme = scheme;
    errand->cost = cost;
    errand->job.work = hash;
    errand->job.push = push_hashed;
    return await_job(L, &errand->job);
}

static int l_needs_rehash(lua_State *L)
{
    const char *stored = check_stored(L, 1);
    enum password_scheme scheme;
    struct password_cost cost;

    check_options(L, 2, &scheme, &cost);
    lua_pushboolean(L, password_needs_rehash(stored, scheme, &cost));
    return 1;
}

static int open_module(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"verify", l_verify}, {"hash", l_hash}, {"needs_rehash", l_needs_rehash}, {NULL, NULL}};

    luaL_newlib(L, functions);
    return 1;
}

void mod_password_open(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE); /* preload */
    lua_pushcfunction(L, open_module);
    lua_setfield(L, -2, "gatepost.password");
    lua_pop(L, 1);
}
