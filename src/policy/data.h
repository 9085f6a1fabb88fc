/* SPDX-License-Identifier: Apache-2.0
 *
 * Lua values outside of any VM: a flat, immutable, counted copy that any thread can turn
 * into Lua values again. Unlike JSON it keeps what Lua keeps: binary strings, integer keys,
 * shared C objects.
 */
#ifndef GATEPOST_POLICY_DATA_H
#define GATEPOST_POLICY_DATA_H

#include <lua.h>

#include "base/error.h"
#include "policy/memoize.h"

struct policy_data;

/* The `count` values from index `first` on. NULL, with a sentence that names the path of
 * what cannot be copied; never raises. Shared objects in it are frozen. */
struct policy_data *policy_data_new(lua_State *L, int first, int count, struct error *error);

/* Pushes them again; returns how many. May raise (memory). */
int policy_data_push(lua_State *L, const struct policy_data *data);

/* As what the caches hold: memoize_value_unref lets go of it. */
struct memoize_value *policy_data_value(struct policy_data *data);
const struct policy_data *policy_data_of(const struct memoize_value *value);

/* True for what a policy returns to say "no": nothing, nil, false, an empty table. */
bool policy_data_is_refusal(const struct policy_data *data);

/* A key made of the values, types and lengths included, so that no two different lists
 * have the same. -1 as above. */
int policy_data_key(lua_State *L, int first, int count, struct memoize_key *key_out, struct error *error)
    __attribute__((warn_unused_result));

#endif
