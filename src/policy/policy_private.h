/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's own structs. A policy_vm is what the thread holds on to; a policy_state is
 * one loaded Lua state inside it, replaced at a reload and freed with its last call; a
 * policy_call is one coroutine of that state, kept for reuse when its handler has ended.
 */
#ifndef GATEPOST_POLICY_POLICY_PRIVATE_H
#define GATEPOST_POLICY_POLICY_PRIVATE_H

#include <lauxlib.h>
#include <lua.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "policy/await.h"
#include "policy/binding.h"
#include "policy/policy.h"

/* Instructions between two looks at the clock. */
#define BUDGET_STEP 10000
/* Ended coroutines kept for reuse. */
#define IDLE_CALLS 64

struct policy {
    /* fixed after start */
    char *path;
    char *text;
    char *lua_path;
    policy_modules_fn *add_modules;
    size_t memory_limit_bytes;
    uint64_t call_limit_ms;
    uint64_t wait_limit_ms;
    uint64_t instruction_limit;

    /* shared */
    atomic_uint_fast64_t epoch;
    atomic_uint_fast64_t complained_epoch; /* the last whose failure to load was logged */

    /* shared, under lock */
    pthread_mutex_t lock;
    char **watched; /* files besides */
    size_t watched_count;
    uint64_t begun; /* what the monitor would have seen of those among them that it has not looked at yet */
    char **globs;   /* of the files to watch; NULL: those of the policy's folder */
    size_t glob_count;
};

/* What one Lua thread's extra space points to. Coroutines that the policy makes inherit
 * that of the main thread: call is NULL there. */
struct policy_thread {
    struct policy_state *state;
    struct policy_call *call;
};

/* What the code that runs now may still use. */
struct budget {
    uint64_t instructions_left;
    uint64_t deadline_ms;
    uint64_t limit_ms; /* for the error's text */
    const char *spent; /* what ran out; NULL while nothing has */
};

enum combine { COMBINE_SINGLE, COMBINE_MULTIPLE, COMBINE_EVERY, COMBINE_LATEST };

struct handler {
    int ref;     /* in the registry */
    char *where; /* "file:line" of its kumo.on */
};

struct handlers {
    const char *event;
    enum combine combine;
    struct handler *list;
    int count;
    char *own_name; /* of an operator's event */
};

struct policy_state {
    struct policy_vm *vm;
    lua_State *L;
    struct policy_thread thread;
    size_t used_bytes;
    size_t reserve_bytes; /* beyond the limit, while an error is being described */

    struct handlers events[POLICY_EVENT_COUNT];
    struct map named; /* operators' events: name -> struct handlers */

    struct list idle;            /* of struct policy_call */
    struct list busy;            /* likewise */
    struct list loose;           /* boxes of objects borrowed outside of any call */
    struct policy_call *running; /* the innermost */
    struct budget *budget;       /* of the code that runs now; NULL while C owns the state:
                                    then nothing is counted and no memory refused */
    struct await *finishing;     /* whose finish is on the stack, or raised */
    bool closing;                /* a coroutine is being unwound: nothing may wait */
    struct policy_state *older;  /* in vm->old */
    struct attached *attached;   /* attached.c */
};

struct policy_vm {
    struct policy *policy;
    struct loop *loop;
    uint64_t epoch; /* the one last looked at */
    struct policy_state *state;
    struct policy_state *old; /* replaced, with calls that still run */
    void *owner;              /* whoever made the VM left it here for Lua modules */
};

/* A credential to keep out of texts. */
struct secret;

struct policy_call {
    struct policy_thread thread;
    struct list_node node;
    lua_State *L;
    int ref; /* keeps the coroutine alive */

    /* the question */
    const char *what;
    const struct handlers *handlers;
    int next;
    int function_ref; /* of a spawned function and its arguments, in place of handlers */
    policy_push_fn *push;
    policy_done_fn *on_done;
    void *ctx;

    /* while it goes on */
    struct budget budget;
    struct list objects; /* boxes of borrowed objects */
    struct secret *secrets;
    char *traceback; /* of the error that is ending it */
    bool cancelled;

    /* while it waits */
    struct await *await;
    lua_KFunction then;
    lua_KContext then_ctx;
    struct deferred resume;
    struct timer wait_timer;
};

static inline struct policy_thread *thread_of(lua_State *L) { return *(struct policy_thread **)lua_getextraspace(L); }

/* policy.c */
void vm_state_is_idle(struct policy_state *state); /* frees it when it was replaced */

/* state.c: loads the policy. */
struct policy_state *state_new(struct policy_vm *vm, struct error *error);
void state_free(struct policy_state *state);

/* sandbox.c: the standard libraries, less what a policy must not have. Raises. */
void sandbox_open(lua_State *L, const struct policy *policy);

/* budget.c */
void budget_watch(lua_State *L);
void budget_start(struct budget *budget, uint64_t limit_ms, uint64_t instructions);

/* handlers.c */
void handlers_init(struct policy_state *state);
void handlers_done(struct policy_state *state);
const struct handlers *handlers_find(const struct policy_state *state, const char *event);

/* call.c */
void call_resume(struct policy_call *call); /* its wait is over */
void call_end_all(struct policy_state *state);
void call_free(struct policy_call *call);

/* await.c */
void await_abandon(struct policy_call *call);
void await_sweep(struct policy_state *state); /* frees the await whose finish raised */

/* fault.c: what ended a handler, taken from the top of the call's stack. */
void fault_report(struct policy_call *call, struct policy_result *result);
void fault_take_traceback(struct policy_call *call, lua_State *L);
void fault_drop_traceback(struct policy_call *call);
void fault_of_load(struct policy_state *state, struct error *error);
void fault_open(lua_State *L);

/* not_found.c: true, with `result` filled, when that is what the call's error value says. */
bool not_found_report(struct policy_call *call, struct policy_result *result);

/* secret.c */
void secrets_drop(struct policy_call *call);
void secrets_scrub(const struct policy_call *call, struct buf *text); /* `call` may be NULL */
/* Whether `text` holds one that is too short to be replaced without telling what it is. */
bool secrets_hide_short(const struct policy_call *call, const struct buf *text);

/* monitor.c */
void monitor_forget_globs(struct policy *policy);
void monitor_forget_files(struct policy *policy);

/* attached.c */
void attached_drop(struct policy_state *state);

/* object.c */
void objects_detach(struct list *boxes);

#endif
