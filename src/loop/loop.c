/* SPDX-License-Identifier: Apache-2.0
 *
 * libuv underneath, with two things of our own on top: a timer heap (so that a timer
 * can live and die inside another object, with no closing callback), and an inbox of
 * intrusive messages with one wake-up per batch.
 */
#include "loop/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"
#include "base/must.h"

#define DEFERRED_ROUNDS 2

struct loop {
    /* fixed after start */
    char *name;
    uv_loop_t uv;

    /* owned by the loop's thread */
    uv_timer_t uv_timer;
    uv_check_t uv_check; /* runs what was deferred before the loop waits again */
    uv_idle_t uv_idle;   /* active only while something is deferred: keeps the wait at zero */
    struct heap timers;
    struct list deferred;
    uint64_t armed_for_ms; /* when uv_timer is due; 0 when it is not running */
    bool one_turn;         /* within loop_turn: a timer that ran is event enough */

    /* shared */
    uv_async_t uv_async;
    _Atomic(struct mail *) inbox; /* newest first */
    atomic_bool stopping;
};

static _Thread_local struct loop *current;

/* ---- timers ---- */

static void on_uv_timer(uv_timer_t *uv_timer);

static void arm(struct loop *loop)
{
    struct heap_node *first = heap_first(&loop->timers);
    uint64_t now = uv_now(&loop->uv);

    if (!first) {
        if (loop->armed_for_ms)
            uv_timer_stop(&loop->uv_timer);
        loop->armed_for_ms = 0;
        return;
    }
    if (loop->armed_for_ms == first->key)
        return;
    loop->armed_for_ms = first->key;
    uv_timer_start(&loop->uv_timer, on_uv_timer, first->key > now ? first->key - now : 0, 0);
}

static void on_uv_timer(uv_timer_t *uv_timer)
{
    struct loop *loop = uv_timer->data;
    uint64_t now = uv_now(&loop->uv);
    struct heap_node *first;

    loop->armed_for_ms = 0;
    while ((first = heap_first(&loop->timers)) && first->key <= now) {
        struct timer *timer = CONTAINER_OF(first, struct timer, node);

        heap_remove(&loop->timers, first);
        timer->on_due(timer->ctx);
        if (loop->one_turn)
            uv_stop(&loop->uv); /* libuv would go on to wait for a descriptor */
    }
    arm(loop);
}

void timer_init(struct timer *timer, struct loop *loop, timer_fn *on_due, void *ctx)
{
    *timer = (struct timer){.loop = loop, .on_due = on_due, .ctx = ctx};
}

void timer_start(struct timer *timer, uint64_t delay_ms)
{
    struct loop *loop = timer->loop;
    uint64_t now = uv_now(&loop->uv);

    if (heap_has(&timer->node))
        heap_remove(&loop->timers, &timer->node);
    heap_insert(&loop->timers, &timer->node, delay_ms > UINT64_MAX - now ? UINT64_MAX : now + delay_ms);
    /* a later first timer is left armed early: a spare wake-up is cheaper than
     * re-arming for every command of every session */
    if (!loop->armed_for_ms || heap_first(&loop->timers)->key < loop->armed_for_ms)
        arm(loop);
}

void timer_stop(struct timer *timer)
{
    if (timer->loop && heap_has(&timer->node))
        heap_remove(&timer->loop->timers, &timer->node);
}

bool timer_is_running(const struct timer *timer) { return heap_has(&timer->node); }

/* ---- deferred ---- */

static void run_deferred(struct loop *loop)
{
    struct list batch;
    struct list_node *node;

    list_init(&batch);
    list_splice(&batch, &loop->deferred);
    while ((node = list_take_first(&batch))) {
        struct deferred *deferred = CONTAINER_OF(node, struct deferred, node);

        deferred->run(deferred);
    }
    if (list_is_empty(&loop->deferred))
        uv_idle_stop(&loop->uv_idle);
}

/* What was deferred often defers the sending of its answer: that is done at once too, without asking the kernel for
 * events in between, but not for ever. */
static void on_uv_check(uv_check_t *uv_check)
{
    struct loop *loop = uv_check->data;

    for (unsigned rounds = 0; rounds < DEFERRED_ROUNDS && !list_is_empty(&loop->deferred); rounds++)
        run_deferred(loop);
}

static void on_uv_idle(uv_idle_t *uv_idle) { (void)uv_idle; }

void loop_defer(struct loop *loop, struct deferred *deferred)
{
    if (list_has(&deferred->node))
        return;
    if (list_is_empty(&loop->deferred))
        uv_idle_start(&loop->uv_idle, on_uv_idle);
    list_push_back(&loop->deferred, &deferred->node);
}

void loop_undefer(struct loop *loop, struct deferred *deferred)
{
    /* it may sit in run_deferred's own batch: the count that list_remove lowers is
     * then that of an emptier list, so it is unlinked by hand */
    if (!list_has(&deferred->node))
        return;
    deferred->node.prev->next = deferred->node.next;
    deferred->node.next->prev = deferred->node.prev;
    list_node_init(&deferred->node);
    if (list_is_empty(&loop->deferred))
        uv_idle_stop(&loop->uv_idle);
}

/* ---- mail ---- */

void loop_post(struct loop *to, struct mail *mail)
{
    struct mail *newest = atomic_load_explicit(&to->inbox, memory_order_relaxed);

    do
        mail->next = newest;
    while (
        !atomic_compare_exchange_weak_explicit(&to->inbox, &newest, mail, memory_order_acq_rel, memory_order_relaxed));
    /* whoever finds the inbox empty wakes the loop; the rest ride along */
    if (!newest)
        uv_async_send(&to->uv_async);
}

size_t mail_deliver_all(struct mail *newest)
{
    struct mail *oldest = NULL;
    size_t count = 0;

    while (newest) {
        struct mail *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    for (; oldest; count++) {
        struct mail *next = oldest->next;

        oldest->deliver(oldest);
        oldest = next;
    }
    return count;
}

static void on_uv_async(uv_async_t *uv_async)
{
    struct loop *loop = uv_async->data;

    mail_deliver_all(atomic_exchange_explicit(&loop->inbox, NULL, memory_order_acq_rel));
    if (atomic_load_explicit(&loop->stopping, memory_order_acquire))
        uv_stop(&loop->uv);
}

/* ---- the loop itself ---- */

struct loop *loop_new(const char *name, struct error *error)
{
    struct loop *loop = mem_zalloc(sizeof *loop);
    int status = uv_loop_init(&loop->uv);

    if (!status) {
        status = uv_async_init(&loop->uv, &loop->uv_async, on_uv_async);
        if (status)
            uv_loop_close(&loop->uv);
    }
    if (status) {
        error_set_errno(error, ERROR_TEMP, -status, "cannot make an event loop");
        free(loop);
        return NULL;
    }
    loop->name = mem_strdup(name);
    loop->uv.data = loop;
    loop->uv_async.data = loop;
    uv_timer_init(&loop->uv, &loop->uv_timer);
    uv_check_init(&loop->uv, &loop->uv_check);
    uv_idle_init(&loop->uv, &loop->uv_idle);
    loop->uv_timer.data = loop->uv_check.data = loop->uv_idle.data = loop;
    uv_check_start(&loop->uv_check, on_uv_check);
    heap_init(&loop->timers);
    list_init(&loop->deferred);
    return loop;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    uv_close((uv_handle_t *)&loop->uv_async, NULL);
    uv_close((uv_handle_t *)&loop->uv_timer, NULL);
    uv_close((uv_handle_t *)&loop->uv_check, NULL);
    uv_close((uv_handle_t *)&loop->uv_idle, NULL);
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    if (uv_loop_close(&loop->uv) == UV_EBUSY) {
        uv_walk(&loop->uv, close_handle, NULL);
        uv_run(&loop->uv, UV_RUN_NOWAIT);
        uv_loop_close(&loop->uv);
    }
    heap_done(&loop->timers);
    free(loop->name);
    free(loop);
}

void loop_run(struct loop *loop)
{
    struct loop *former = current;

    current = loop;
    while (!atomic_load_explicit(&loop->stopping, memory_order_acquire))
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    current = former;
}

void loop_turn(struct loop *loop, bool wait)
{
    struct loop *former = current;

    current = loop;
    loop->one_turn = wait;
    uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    loop->one_turn = false;
    current = former;
}

void loop_stop(struct loop *loop)
{
    atomic_store_explicit(&loop->stopping, true, memory_order_release);
    uv_async_send(&loop->uv_async);
}

struct loop *loop_current(void) { return current; }

void loop_adopt(struct loop *loop) { current = loop; }

uv_loop_t *loop_uv(struct loop *loop) { return &loop->uv; }

uint64_t loop_now_ms(const struct loop *loop) { return uv_now(&loop->uv); }
