/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread that runs one loop: opens what it owns, runs, and closes it again, all on the
 * same thread.
 */
#ifndef GATEPOST_LOOP_THREAD_H
#define GATEPOST_LOOP_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "loop/loop.h"

struct thread {
    struct loop *loop;
    pthread_t id;
    bool is_running;
    /* private */
    int (*open)(void *ctx, struct loop *loop, struct error *error);
    void (*close)(void *ctx);
    void *ctx;
};

/* Starts the thread and waits until `open` has run on it. When open fails, close runs (it must
 * take half-opened state), the thread ends, and -1 is returned with open's error. Signals are
 * blocked on the new thread: they belong to main. */
int thread_start(struct thread *thread, const char *name,
                 int (*open)(void *ctx, struct loop *loop, struct error *error), void (*close)(void *ctx), void *ctx,
                 struct error *error) __attribute__((warn_unused_result));

/* Ends the loop, runs `close` on the thread, waits for it. The loop can still be posted to (to
 * no effect) until thread_done. Both do nothing when there is nothing to do. */
void thread_stop(struct thread *thread);
void thread_done(struct thread *thread);

#endif
