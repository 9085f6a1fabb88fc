/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration epoch and the files that move it; and kumo.glob, which reads folders
 * with the same patterns.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "policy/modules/modules.h"
#include "policy/monitor.h"

#define MOST_GLOBS 1000

static struct policy *policy_here(lua_State *L) { return policy_of(policy_vm_of(L)); }

static void ignore_file(void *ctx, const char *path)
{
    (void)ctx;
    (void)path;
}

/* Raises for a pattern that could never be evaluated, while somebody is there to see it. */
static const char *check_glob(lua_State *L, lua_Integer index)
{
    struct error error = {0};
    const char *glob;

    if (lua_rawgeti(L, 1, index) != LUA_TSTRING)
        luaL_error(L, "kumo.set_config_monitor_globs: element %d is not a string", (int)index);
    glob = lua_tostring(L, -1);
    if (glob_walk(glob, ignore_file, NULL, &error) < 0)
        luaL_error(L, "kumo.set_config_monitor_globs: '%s': %s", glob, error.sentence);
    return glob;
}

static int l_set_globs(lua_State *L)
{
    const char **globs;
    lua_Integer count;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    count = (lua_Integer)lua_rawlen(L, 1);
    luaL_argcheck(L, count <= MOST_GLOBS, 1, "too many globs");
    luaL_checkstack(L, (int)count + LUA_MINSTACK, NULL);
    globs = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof *globs, 0);
    for (lua_Integer i = 1; i <= count; i++)
        globs[i - 1] = check_glob(L, i); /* stays on the stack, and so alive */
    policy_set_monitor_globs(policy_here(L), globs, (size_t)count);
    return 0;
}

/* ---- lists of files ---- */

/* Owned by Lua while it becomes a table. */
struct files {
    struct map seen;
    char **paths;
    size_t count;
};

#define FILES_CLASS "gatepost.files"

static void add_file(void *ctx, const char *path)
{
    struct files *files = ctx;

    if (map_put(&files->seen, span_of(path), files))
        return;
    files->paths = mem_realloc(files->paths, (files->count + 1) * sizeof *files->paths);
    files->paths[files->count++] = mem_strdup(path);
}

static void free_files(void *object)
{
    struct files *files = object;

    for (size_t i = 0; i < files->count; i++)
        free(files->paths[i]);
    free(files->paths);
    map_done(&files->seen, NULL);
    free(files);
}

static struct files *push_files(lua_State *L)
{
    struct files *files;

    luaL_newmetatable(L, FILES_CLASS);
    lua_pop(L, 1);
    files = mem_zalloc(sizeof *files);
    map_init(&files->seen);
    policy_push_owned(L, FILES_CLASS, files, free_files);
    return files;
}

static int compare_paths(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int push_list(lua_State *L, struct files *files)
{
    if (files->count)
        qsort(files->paths, files->count, sizeof *files->paths, compare_paths);
    lua_createtable(L, (int)files->count, 0);
    for (size_t i = 0; i < files->count; i++) {
        lua_pushstring(L, files->paths[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int l_eval_globs(lua_State *L)
{
    struct files *files = push_files(L);
    struct error error = {0};

    if (policy_eval_monitor_globs(policy_here(L), add_file, files, &error) < 0)
        return luaL_error(L, "kumo.eval_config_monitor_globs: %s", error.sentence);
    return push_list(L, files);
}

static int l_glob(lua_State *L)
{
    const char *pattern = luaL_checkstring(L, 1);
    const char *base = luaL_optstring(L, 2, NULL);
    struct files *files;
    struct error error = {0};

    if (base && *pattern != '/')
        pattern = lua_pushfstring(L, "%s/%s", base, pattern);
    files = push_files(L);
    if (glob_walk(pattern, add_file, files, &error) < 0)
        return luaL_error(L, "kumo.glob: '%s': %s", pattern, error.sentence);
    return push_list(L, files);
}

static int l_bump(lua_State *L)
{
    policy_bump_epoch(policy_here(L));
    return 0;
}

void mod_config_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"set_config_monitor_globs", l_set_globs},
                                         {"eval_config_monitor_globs", l_eval_globs},
                                         {"bump_config_epoch", l_bump},
                                         {"glob", l_glob},
                                         {NULL, NULL}};

    lua_getglobal(L, "kumo");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
