/* SPDX-License-Identifier: Apache-2.0
 *
 * The operator's Lua policy. Every thread that asks it has a VM of its own; event
 * handlers run as coroutines on that thread's loop and may wait (see policy/await.h)
 * without holding anybody up. An event that nobody handles costs one array look-up.
 */
#ifndef GATEPOST_POLICY_POLICY_H
#define GATEPOST_POLICY_POLICY_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"
#include "loop/loop.h"
#include "policy/events.h"
#include "smtp/reply.h"

/* ---- the policy: one per process, made by main ---- */

struct policy;

/* Fills a fresh VM with the Lua modules (policy/modules has the list). Runs unprotected
 * by the caller: it may raise. */
typedef void policy_modules_fn(lua_State *L);

struct policy_options {
    const char *path;     /* the policy file, or NULL for `text` */
    const char *text;     /* a policy in memory (embedded defaults), or NULL */
    const char *lua_path; /* extra package.path templates, or NULL */
    policy_modules_fn *add_modules;
    uint64_t memory_limit_bytes; /* per VM; 0: the default, 256 MiB */
    uint64_t call_limit_ms;      /* wall clock one handler may run without waiting; 0: 2000 */
    uint64_t wait_limit_ms;      /* one handler over all its waits; 0: 300000 */
    uint64_t instruction_limit;  /* one handler between two waits; 0: 200 million */
};

struct policy *policy_new(const struct policy_options *options, struct error *error);
void policy_free(struct policy *policy); /* after all its VMs are gone */

const char *policy_path(const struct policy *policy); /* of its file, or NULL */

/* The configuration epoch: bumped when the policy or a watched file changed. */
uint64_t policy_epoch(const struct policy *policy);
/* From any thread. Each VM owner notices before its next call and loads afresh. */
void policy_bump_epoch(struct policy *policy);

/* ---- a thread's VM ---- */

struct policy_vm;

/* Loads and runs the policy file on the calling thread. Errors name file and line. */
struct policy_vm *policy_vm_new(struct policy *policy, struct loop *loop, struct error *error);
void policy_vm_free(struct policy_vm *vm); /* running calls end as POLICY_FAILED (cancelled) */

/* Loads the policy afresh where the epoch has moved on. What is borrowed from the VM (policy_vm_attached) may be gone
 * after it. policy_handles and the calls below do it as well. */
void policy_notice_epoch(struct policy_vm *vm);

/* True when the policy has a handler for `event`. */
bool policy_handles(struct policy_vm *vm, enum policy_event event);

struct loop *policy_vm_loop(const struct policy_vm *vm);
struct policy_vm *policy_vm_of(lua_State *L); /* for Lua modules */
struct policy *policy_of(const struct policy_vm *vm);

/* Whoever made the VM may leave a pointer in it for Lua modules; NULL at first. */
void policy_vm_set_owner(struct policy_vm *vm, void *owner);
void *policy_vm_owner(const struct policy_vm *vm);

/* A Lua module leaves `object` under `key` for the rest of the program; a second one under the same key takes the
 * place of the first. It belongs to the Lua state of `L` and ends with it, by `unref`, on the VM's thread: after a
 * reload only what the new policy attached is found. */
void policy_vm_attach(lua_State *L, const char *key, void *object /* taken */, void (*unref)(void *object));
/* Borrowed until the next reload: take a reference to keep it across a wait. NULL when there is none. */
void *policy_vm_attached(const struct policy_vm *vm, const char *key);

/* ---- calling a handler ---- */

enum policy_outcome {
    POLICY_UNHANDLED,  /* no handler, or none wanted to answer */
    POLICY_RETURNED,   /* results are on the stack: first, count */
    POLICY_REJECTED,   /* kumo.reject(code, text): `reply` is the answer to give */
    POLICY_DISCONNECT, /* kumo.disconnect(code, text): likewise, then close */
    POLICY_FAILED,     /* an error, a spent budget, a cancelled call: `error` says which; already
                          logged with its traceback where it was a fault of the policy's */
};

struct policy_result {
    enum policy_outcome outcome;
    struct smtp_reply reply;
    bool follow_with_421; /* POLICY_DISCONNECT: after `reply` say 421 as well, then close */
    bool not_found;       /* POLICY_FAILED: a store that works has no such secret or user; where a
                             credential is being checked this is a refusal, not a failure */
    struct error error;
    lua_State *L; /* for POLICY_RETURNED: valid during the callback only */
    int first;    /* index of the first result; of those that are absent, four read as nil */
    int count;
};

/* Pushes the arguments, returns how many. Runs protected: it may raise. Asked again for
 * each further handler of the event, so `ctx` must last until on_done or the cancelling. */
typedef int policy_push_fn(lua_State *L, void *ctx);

/* Exactly once, on the VM's loop, unless the call was cancelled. May run before policy_call
 * returns: a handler that does not wait is finished at once. */
typedef void policy_done_fn(void *ctx, const struct policy_result *result);

struct policy_call;

/* Calls the handler(s) of `event`. Returns NULL when on_done has already run; otherwise the
 * call, which ends with on_done or policy_call_cancel. */
struct policy_call *policy_call(struct policy_vm *vm, enum policy_event event, policy_push_fn *push,
                                policy_done_fn *on_done, void *ctx);

/* The caller goes away: on_done will not run; objects given to the handler are detached
 * now. The handler is abandoned at its wait. NULL is fine. */
void policy_call_cancel(struct policy_call *call);

/* The same for an event named by policy (kumo.on 'my.event'), as `event_name` key sources
 * and custom queue events use. */
struct policy_call *policy_call_named(struct policy_vm *vm, const char *event, policy_push_fn *push,
                                      policy_done_fn *on_done, void *ctx);

/* For push functions: pushes a credential as a string argument, and remembers it until the
 * call ends. Wherever the policy puts it (its own error texts, log lines, replies), what is
 * logged or answered has "***" in its place; its base64 and hexadecimal forms likewise. */
void policy_push_secret(lua_State *L, struct span secret);

/* ---- C objects given to handlers ---- */

/* Pushes a userdata of metatable `class` (registered by a Lua module with
 * luaL_newmetatable) that stands for `object`. It is borrowed: when the call ends or is
 * cancelled the userdata is detached, and using it raises "<class> is no longer there". */
void policy_push_object(lua_State *L, const char *class, void *object);

/* The object of an argument; raises a Lua error when it is of another class or detached. */
void *policy_check_object(lua_State *L, int index, const char *class);
void *policy_test_object(lua_State *L, int index, const char *class); /* NULL instead */

/* For classes whose objects are counted and immutable, and so can be shared between VMs, see
 * policy/shared.h. */

/* Pushes a userdata that owns `object`: freed with `free_fn` by the collector, or at once
 * should this raise. */
void policy_push_owned(lua_State *L, const char *class, void *object, void (*free_fn)(void *));

/* ---- plain data across the bridge ---- */

typedef struct json_t json_t;
void policy_push_json(lua_State *L, const json_t *value); /* JSON null becomes nil */
/* A new reference; raises an error that names the path of what cannot be data. A table
 * with the keys 1..n is an array; an empty one is an object unless it is marked. */
json_t *policy_to_json(lua_State *L, int index);

/* Marks the table at `index` as an array, whatever it holds. policy_push_json marks the
 * arrays whose nature does not show: empty ones, and those with null in them. */
void policy_mark_array(lua_State *L, int index);
bool policy_is_array(lua_State *L, int index); /* whether it is marked */

#endif
