/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs extras.lua, which holds the cases for lua/policy-extras, as a policy.
 */
#include "run.h"

#include <dirent.h>

#include "data/data.h"
#include "policy/modules/modules.h"

static char folder[] = "/tmp/gatepost-extras-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int l_write_file(lua_State *L)
{
    FILE *file = fopen(in_folder(luaL_checkstring(L, 1)), "w");

    MUST(file);
    fputs(luaL_checkstring(L, 2), file);
    MUST(!fclose(file));
    return 0;
}

static void add(lua_State *L)
{
    add_test_functions(L);
    mod_serde_open(L);
    mod_throttle_open(L);
    mod_domain_map_open(L);
    lua_pushstring(L, folder);
    lua_setglobal(L, "FOLDER");
    lua_pushcfunction(L, l_write_file);
    lua_setglobal(L, "write_file");
}

static void test_extras(void **state)
{
    const char *source = getenv("GATEPOST_SOURCE_DIR");
    char *script = mem_printf("%s/tests/unit/policy/modules/extras.lua", source ? source : ".");
    char *lua_path = mem_printf("%s/lua/?.lua", source ? source : ".");
    struct world world = {.options = {.add_modules = add, .lua_path = lua_path, .path = script}};

    (void)state;
    world_open(&world, NULL); /* fails with the name of the case */
    world_close(&world);
    free(script);
    free(lua_path);
}

static int start(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int stop(void **state)
{
    DIR *entries = opendir(folder);
    struct dirent *entry;

    (void)state;
    while ((entry = readdir(entries)))
        if (entry->d_name[0] != '.')
            unlink(in_folder(entry->d_name));
    closedir(entries);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_extras)};

    return cmocka_run_group_tests(tests, start, stop);
}
