/* SPDX-License-Identifier: Apache-2.0
 *
 * One event loop per thread: sockets, timers, and an inbox for what other threads
 * send. Everything here is called on the loop's own thread unless it says so.
 */
#ifndef GATEPOST_LOOP_LOOP_H
#define GATEPOST_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/heap.h"
#include "base/list.h"

struct loop;
typedef struct uv_loop_s uv_loop_t; /* for rooms that bring a library of their own to the loop */

/* NULL, with `error` set, when the system has no descriptors left. `name` is copied,
 * for debuggers. */
struct loop *loop_new(const char *name, struct error *error);
void loop_free(struct loop *loop); /* after loop_run has returned; NULL is fine */

/* Runs until loop_stop; makes this loop loop_current() of the calling thread. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* from any thread */

/* One turn: waits for at least one event when `wait`. For tests and for calls that
 * must finish before the loop proper runs. */
void loop_turn(struct loop *loop, bool wait);

struct loop *loop_current(void); /* NULL on a thread that runs none */
/* Makes it the calling thread's before it runs: for what is set up on the thread first. */
void loop_adopt(struct loop *loop);
uv_loop_t *loop_uv(struct loop *loop);

/* Monotonic milliseconds, read once per turn. */
uint64_t loop_now_ms(const struct loop *loop);

/* ---- mail: intrusive messages between threads ---- */

struct mail {
    struct mail *next;
    void (*deliver)(struct mail *mail); /* called on the receiving loop, which then owns it */
};

/* From any thread. One wake-up per batch; order is kept per sender. What is posted
 * after the loop has stopped is not delivered. */
void loop_post(struct loop *to, struct mail *mail);

/* For an inbox of one's own, a stack that senders push on: delivers all of it, the oldest first. Returns how many. */
size_t mail_deliver_all(struct mail *newest);

/* ---- deferred: run later in this turn, outside of the caller's stack ---- */

struct deferred {
    struct list_node node;
    void (*run)(struct deferred *deferred);
};

/* Does nothing when it is already waiting. */
void loop_defer(struct loop *loop, struct deferred *deferred);
void loop_undefer(struct loop *loop, struct deferred *deferred);

/* ---- timers ---- */

typedef void timer_fn(void *ctx);

struct timer {
    struct heap_node node;
    struct loop *loop;
    timer_fn *on_due;
    void *ctx;
};

void timer_init(struct timer *timer, struct loop *loop, timer_fn *on_due, void *ctx);
/* Once, `delay_ms` from now; starting again moves it. */
void timer_start(struct timer *timer, uint64_t delay_ms);
void timer_stop(struct timer *timer); /* also right for one that never started */
bool timer_is_running(const struct timer *timer);

#endif
