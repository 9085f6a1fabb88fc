/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads are detached and the pool belongs to whoever leaves it last. What they finished lies in a list under
 * the lock; a bell wakes the loop to fetch it. The bell is the loop's and goes at store_pool_close, so that a thread
 * that comes back late touches no loop that may be gone.
 */
#include "credential/store_pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"
#include "base/must.h"

struct bell {
    uv_async_t async;
    struct store_pool *pool; /* NULL once closed; the loop's thread alone reads it */
};

struct store_pool {
    /* fixed after start */
    char *name;
    size_t threads_most;
    size_t queue_limit;

    /* shared, under lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list waiting;
    struct list finished;
    size_t threads;
    size_t idle_threads;
    struct bell *bell; /* NULL once closed */
    void (*on_end)(void *ctx);
    void *end_ctx;
};

static void drop_all(struct list *list)
{
    struct list_node *node;

    while ((node = list_take_first(list))) {
        struct store_work *work = CONTAINER_OF(node, struct store_work, node);

        work->drop(work);
    }
}

static void end(struct store_pool *pool)
{
    if (pool->on_end)
        pool->on_end(pool->end_ctx);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool->name);
    free(pool);
}

/* ---- on the threads; `lock` is held where nothing else is said ---- */

static struct store_work *wait_for_work(struct store_pool *pool)
{
    struct store_work *work;

    pool->idle_threads++;
    while (list_is_empty(&pool->waiting) && pool->bell)
        pthread_cond_wait(&pool->wake, &pool->lock);
    pool->idle_threads--;
    if (!pool->bell)
        return NULL;
    work = CONTAINER_OF(list_take_first(&pool->waiting), struct store_work, node);
    work->state = STORE_WORK_RUNNING;
    return work;
}

static void hand_back(struct store_pool *pool, struct store_work *work)
{
    work->state = STORE_WORK_FINISHED;
    list_push_back(&pool->finished, &work->node);
    uv_async_send(&pool->bell->async);
}

static void *thread_main(void *arg)
{
    struct store_pool *pool = arg;
    struct store_work *work;
    bool is_last;

    pthread_mutex_lock(&pool->lock);
    while ((work = wait_for_work(pool))) {
        pthread_mutex_unlock(&pool->lock);
        work->run(work);
        pthread_mutex_lock(&pool->lock);
        if (!pool->bell) {
            pthread_mutex_unlock(&pool->lock);
            work->drop(work);
            pthread_mutex_lock(&pool->lock);
            break;
        }
        hand_back(pool, work);
    }
    is_last = --pool->threads == 0;
    pthread_mutex_unlock(&pool->lock);
    if (is_last)
        end(pool);
    return NULL;
}

static int start_thread(struct store_pool *pool)
{
    sigset_t all, former;
    pthread_attr_t attr;
    pthread_t id;
    char name[16];
    int status;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    status = pthread_create(&id, &attr, thread_main, pool);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (status)
        return status;
    snprintf(name, sizeof name, "%.15s", pool->name);
    pthread_setname_np(id, name); /* the lock keeps it from ending meanwhile */
    pool->threads++;
    return 0;
}

/* ---- on the loop ---- */

static void on_bell(uv_async_t *async)
{
    struct bell *bell = CONTAINER_OF(async, struct bell, async);
    struct list_node *node;

    /* one at a time: `done` may close the pool, which drops the rest */
    while (bell->pool) {
        struct store_work *work;

        pthread_mutex_lock(&bell->pool->lock);
        node = list_take_first(&bell->pool->finished);
        pthread_mutex_unlock(&bell->pool->lock);
        if (!node)
            return;
        work = CONTAINER_OF(node, struct store_work, node);
        work->done(work);
    }
}

static void on_bell_closed(uv_handle_t *handle) { free(CONTAINER_OF((uv_async_t *)handle, struct bell, async)); }

struct store_pool *store_pool_new(struct loop *loop, const char *name, size_t threads_most, size_t queue_limit)
{
    struct store_pool *pool = mem_zalloc(sizeof *pool);

    MUST(threads_most > 0);
    pool->name = mem_strdup(name);
    pool->threads_most = threads_most;
    pool->queue_limit = queue_limit;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    list_init(&pool->waiting);
    list_init(&pool->finished);
    pool->bell = mem_zalloc(sizeof *pool->bell);
    pool->bell->pool = pool;
    MUST(uv_async_init(loop_uv(loop), &pool->bell->async, on_bell) == 0); /* shares the loop's own descriptor */
    return pool;
}

int store_pool_submit(struct store_pool *pool, struct store_work *work, struct error *error)
{
    size_t waiting;
    int status = 0;

    pthread_mutex_lock(&pool->lock);
    waiting = pool->waiting.count;
    if (waiting >= pool->queue_limit) {
        pthread_mutex_unlock(&pool->lock);
        return error_set(error, ERROR_AGAIN, "all %zu threads for %s are busy and %zu wait", pool->threads_most,
                         pool->name, waiting);
    }
    if (pool->idle_threads <= waiting && pool->threads < pool->threads_most)
        status = start_thread(pool);
    if (status && !pool->threads) {
        pthread_mutex_unlock(&pool->lock);
        return error_set_errno(error, ERROR_AGAIN, status, "cannot start a thread for %s", pool->name);
    }
    work->state = STORE_WORK_WAITING;
    list_push_back(&pool->waiting, &work->node);
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

bool store_pool_withdraw(struct store_pool *pool, struct store_work *work)
{
    bool is_waiting;

    pthread_mutex_lock(&pool->lock);
    is_waiting = work->state == STORE_WORK_WAITING;
    if (is_waiting)
        list_remove(&pool->waiting, &work->node);
    pthread_mutex_unlock(&pool->lock);
    return is_waiting;
}

void store_pool_close(struct store_pool *pool, void (*on_end)(void *ctx), void *ctx)
{
    struct bell *bell = pool->bell;
    struct list left;
    bool is_last;

    list_init(&left);
    pthread_mutex_lock(&pool->lock);
    pool->bell = NULL;
    pool->on_end = on_end;
    pool->end_ctx = ctx;
    list_splice(&left, &pool->waiting);
    list_splice(&left, &pool->finished);
    is_last = pool->threads == 0;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    bell->pool = NULL;
    uv_close((uv_handle_t *)&bell->async, on_bell_closed);
    drop_all(&left);
    if (is_last)
        end(pool);
}
