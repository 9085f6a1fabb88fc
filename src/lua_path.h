/* SPDX-License-Identifier: Apache-2.0
 *
 * Where `require 'policy-extras.queue'` and `require 'gatepost.auth'` are found.
 */
#ifndef GATEPOST_LUA_PATH_H
#define GATEPOST_LUA_PATH_H

/* package.path templates: $GATEPOST_LUA_PATH when set, else the installed folder and, for a
 * binary that runs from its build folder, the source tree's. The caller frees it. */
char *lua_path_find(void);

#endif
