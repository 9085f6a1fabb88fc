/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects that a policy set up while it was loaded and that C code asks for afterwards by name: the rules of the gate,
 * say. They live and die with the Lua state: after a reload it is the new policy's that are found, while calls that
 * still run keep the old ones alive.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/policy_private.h"

struct attached {
    struct attached *next;
    char *key;
    void *object;
    void (*unref)(void *object);
};

static struct attached *find(const struct policy_state *state, const char *key)
{
    struct attached *attached = state->attached;

    while (attached && strcmp(attached->key, key) != 0)
        attached = attached->next;
    return attached;
}

void policy_vm_attach(lua_State *L, const char *key, void *object, void (*unref)(void *object))
{
    struct policy_state *state = thread_of(L)->state;
    struct attached *attached = find(state, key);

    if (attached) {
        attached->unref(attached->object);
    } else {
        attached = mem_zalloc(sizeof *attached);
        attached->key = mem_strdup(key);
        attached->next = state->attached;
        state->attached = attached;
    }
    attached->object = object;
    attached->unref = unref;
}

void *policy_vm_attached(const struct policy_vm *vm, const char *key)
{
    const struct attached *attached = find(vm->state, key);

    return attached ? attached->object : NULL;
}

void attached_drop(struct policy_state *state)
{
    struct attached *attached;

    while ((attached = state->attached)) {
        state->attached = attached->next;
        attached->unref(attached->object);
        free(attached->key);
        free(attached);
    }
}
