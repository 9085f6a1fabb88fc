/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads for a store whose library blocks (SQLite, PAM, the resolver, reading a file). Unlike loop/jobs.h it can be
 * abandoned: a PAM module that never returns keeps its thread, but nobody waits for it, neither those who ask nor
 * the shutdown. Threads are made when there is work for them, and blocked from all signals.
 */
#ifndef GATEPOST_CREDENTIAL_STORE_POOL_H
#define GATEPOST_CREDENTIAL_STORE_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/list.h"
#include "loop/loop.h"

struct store_pool;

enum store_work_state { STORE_WORK_WAITING, STORE_WORK_RUNNING, STORE_WORK_FINISHED };

/* A piece of work carries all that it needs, or points to what lives until the pool's on_end. */
struct store_work {
    struct list_node node;
    enum store_work_state state;           /* the pool's, under its lock */
    void (*run)(struct store_work *work);  /* on a thread of the pool */
    void (*done)(struct store_work *work); /* back on the loop */
    void (*drop)(struct store_work *work); /* instead of `done` once the pool is closed: frees it; any thread */
};

/* On the loop's thread. `name` names the threads and appears in errors. */
struct store_pool *store_pool_new(struct loop *loop, const char *name, size_t threads_most, size_t queue_limit)
    __attribute__((returns_nonnull));

/* -1 (ERROR_AGAIN) when the queue is full: the work is then still the caller's. */
int store_pool_submit(struct store_pool *pool, struct store_work *work, struct error *error)
    __attribute__((warn_unused_result));

/* Takes back what no thread has begun: true, and it is the caller's again. False: `done` will come. */
bool store_pool_withdraw(struct store_pool *pool, struct store_work *work);

/* On the loop's thread. What waits and what is finished is dropped now, what runs when it ends. `on_end` (may be
 * NULL) is called with `ctx` when the last thread has ended: at once when none is busy, else on that thread. */
void store_pool_close(struct store_pool *pool, void (*on_end)(void *ctx), void *ctx);

#endif
