/* SPDX-License-Identifier: Apache-2.0
 *
 * See lua_path.h. The folders are relative to the program, so that an installation can be
 * moved and a build folder works without installing.
 */
#include "lua_path.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

char *lua_path_find(void)
{
    const char *given = getenv("GATEPOST_LUA_PATH");
    char program[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash;

    if (given && given[0])
        return mem_strdup(given);
    program[len > 0 ? len : 0] = '\0';
    slash = strrchr(program, '/');
    if (!slash)
        return mem_strdup("/usr/share/gatepost/lua/?.lua");
    *slash = '\0';
    return mem_printf("%s/../share/gatepost/lua/?.lua;%s/../../lua/?.lua", program, program);
}
