/* SPDX-License-Identifier: Apache-2.0
 *
 * C objects that several VMs may hold at once: counted, and never changed once a second VM
 * can see them. kumo.memoize keeps these (a domain map, say) beside plain data.
 */
#ifndef GATEPOST_POLICY_SHARED_H
#define GATEPOST_POLICY_SHARED_H

#include <lua.h>
#include <stdatomic.h>

struct policy_shared;

struct policy_shared_class {
    const char *name; /* the metatable, made with luaL_newmetatable in every VM */
    void (*free)(struct policy_shared *shared);
    /* The object was given to a cache: from now on other threads may read it, so whatever
     * would change it must refuse. May be NULL. */
    void (*freeze)(struct policy_shared *shared);
};

/* The first member of the object. */
struct policy_shared {
    const struct policy_shared_class *class;
    atomic_size_t refs;
};

static inline void policy_shared_init(struct policy_shared *shared, const struct policy_shared_class *class)
{
    shared->class = class;
    atomic_init(&shared->refs, 1);
}

struct policy_shared *policy_shared_ref(struct policy_shared *shared);
void policy_shared_unref(struct policy_shared **shared); /* clears the pointer; NULL inside is fine */

/* Pushes a userdata that holds a reference of its own. policy_check_object(L, index,
 * class->name) gives the object back. */
void policy_push_shared(lua_State *L, struct policy_shared *shared);

/* The shared object at `index` (borrowed), or NULL when there is something else. */
struct policy_shared *policy_test_shared(lua_State *L, int index);

#endif
