/* SPDX-License-Identifier: Apache-2.0
 *
 * The policy and its VMs as the rest of the program holds them. A VM's Lua state is
 * replaced when the configuration epoch has moved on; the one before it serves its last
 * calls first. A policy that does not load changes nothing but the log.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "log/diag.h"
#include "metrics/metrics.h"
#include "policy/policy_private.h"

#define DEFAULT_MEMORY_BYTES (256ULL << 20)
#define DEFAULT_CALL_MS 2000
#define DEFAULT_WAIT_MS 300000
#define DEFAULT_INSTRUCTIONS 200000000ULL

static char *copy_or_null(const char *text) { return text ? mem_strdup(text) : NULL; }

static uint64_t or_default(uint64_t value, uint64_t fallback) { return value ? value : fallback; }

struct policy *policy_new(const struct policy_options *options, struct error *error)
{
    struct policy *policy;

    if (!options->path && !options->text) {
        error_set(error, ERROR_PERM, "no policy file is given");
        return NULL;
    }
    policy = mem_zalloc(sizeof *policy);
    policy->path = copy_or_null(options->path);
    policy->text = copy_or_null(options->text);
    policy->lua_path = copy_or_null(options->lua_path);
    policy->add_modules = options->add_modules;
    policy->memory_limit_bytes = or_default(options->memory_limit_bytes, DEFAULT_MEMORY_BYTES);
    policy->call_limit_ms = or_default(options->call_limit_ms, DEFAULT_CALL_MS);
    policy->wait_limit_ms = or_default(options->wait_limit_ms, DEFAULT_WAIT_MS);
    policy->instruction_limit = or_default(options->instruction_limit, DEFAULT_INSTRUCTIONS);
    pthread_mutex_init(&policy->lock, NULL);
    atomic_init(&policy->epoch, 1);
    atomic_init(&policy->complained_epoch, 0);
    return policy;
}

void policy_free(struct policy *policy)
{
    if (!policy)
        return;
    monitor_forget_globs(policy);
    monitor_forget_files(policy);
    pthread_mutex_destroy(&policy->lock);
    free(policy->path);
    free(policy->text);
    free(policy->lua_path);
    free(policy);
}

const char *policy_path(const struct policy *policy) { return policy->path; }

uint64_t policy_epoch(const struct policy *policy)
{
    return atomic_load_explicit(&policy->epoch, memory_order_acquire);
}

void policy_bump_epoch(struct policy *policy) { atomic_fetch_add_explicit(&policy->epoch, 1, memory_order_acq_rel); }

struct policy_vm *policy_vm_new(struct policy *policy, struct loop *loop, struct error *error)
{
    struct policy_vm *vm = mem_zalloc(sizeof *vm);

    vm->policy = policy;
    vm->loop = loop;
    vm->epoch = policy_epoch(policy);
    vm->state = state_new(vm, error);
    if (!vm->state) {
        free(vm);
        return NULL;
    }
    return vm;
}

void policy_vm_free(struct policy_vm *vm)
{
    struct policy_state *state;

    if (!vm)
        return;
    call_end_all(vm->state);
    while ((state = vm->old))
        call_end_all(state); /* its last call takes it out of the list */
    state_free(vm->state);
    free(vm);
}

struct loop *policy_vm_loop(const struct policy_vm *vm) { return vm->loop; }

struct policy_vm *policy_vm_of(lua_State *L) { return thread_of(L)->state->vm; }

struct policy *policy_of(const struct policy_vm *vm) { return vm->policy; }

void policy_vm_set_owner(struct policy_vm *vm, void *owner) { vm->owner = owner; }

void *policy_vm_owner(const struct policy_vm *vm) { return vm->owner; }

/* ---- reload ---- */

static void complain_once(struct policy *policy, uint64_t epoch, const struct error *error)
{
    metrics_count(METRIC_POLICY_RELOADS_FAILED);
    if (atomic_exchange_explicit(&policy->complained_epoch, epoch, memory_order_acq_rel) != epoch)
        diag(DIAG_ERROR, NULL, "the changed policy does not load, the one before it goes on serving: %s",
             error->sentence);
}

static void replace_state(struct policy_vm *vm, struct policy_state *fresh)
{
    struct policy_state *former = vm->state;

    vm->state = fresh;
    metrics_count(METRIC_POLICY_RELOADS);
    if (list_is_empty(&former->busy)) {
        state_free(former);
        return;
    }
    former->older = vm->old;
    vm->old = former;
}

static void reload(struct policy_vm *vm, uint64_t epoch)
{
    struct error error = {0};
    struct policy_state *fresh;

    vm->epoch = epoch;
    fresh = state_new(vm, &error);
    if (fresh)
        replace_state(vm, fresh);
    else
        complain_once(vm->policy, epoch, &error);
}

void policy_notice_epoch(struct policy_vm *vm)
{
    uint64_t epoch = policy_epoch(vm->policy);

    if (epoch != vm->epoch)
        reload(vm, epoch);
}

void vm_state_is_idle(struct policy_state *state)
{
    struct policy_state **link = &state->vm->old;

    if (state == state->vm->state)
        return;
    while (*link != state) {
        MUST(*link != NULL);
        link = &(*link)->older;
    }
    *link = state->older;
    state_free(state);
}

bool policy_handles(struct policy_vm *vm, enum policy_event event)
{
    policy_notice_epoch(vm);
    return vm->state->events[event].count > 0;
}
