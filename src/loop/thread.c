/* SPDX-License-Identifier: Apache-2.0
 *
 * See thread.h.
 */
#include "loop/thread.h"

#include <semaphore.h>
#include <signal.h>

#include "base/must.h"

struct start {
    struct thread *thread;
    struct error *error;
    int status;
    sem_t opened;
};

static void *thread_main(void *arg)
{
    struct start *start = arg;
    struct thread *thread = start->thread;
    int status;

    loop_adopt(thread->loop);
    status = thread->open(thread->ctx, thread->loop, start->error);

    start->status = status;
    sem_post(&start->opened); /* `start` is gone from here on */
    if (!status)
        loop_run(thread->loop);
    thread->close(thread->ctx);
    loop_turn(thread->loop, false); /* what close has put off to the end of the turn */
    return NULL;
}

static void create_without_signals(struct thread *thread, struct start *start)
{
    sigset_t all;
    sigset_t former;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    MUST(pthread_create(&thread->id, NULL, thread_main, start) == 0);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
}

int thread_start(struct thread *thread, const char *name,
                 int (*open)(void *ctx, struct loop *loop, struct error *error), void (*close)(void *ctx), void *ctx,
                 struct error *error)
{
    struct start start = {.thread = thread, .error = error};

    thread->loop = loop_new(name, error);
    if (!thread->loop)
        return -1;
    thread->open = open;
    thread->close = close;
    thread->ctx = ctx;
    sem_init(&start.opened, 0, 0);
    create_without_signals(thread, &start);
    pthread_setname_np(thread->id, name);
    while (sem_wait(&start.opened))
        ; /* interrupted by a signal */
    sem_destroy(&start.opened);
    thread->is_running = true;
    if (start.status) {
        thread_stop(thread);
        thread_done(thread);
    }
    return start.status;
}

void thread_stop(struct thread *thread)
{
    if (!thread->is_running)
        return;
    thread->is_running = false;
    loop_stop(thread->loop);
    pthread_join(thread->id, NULL);
}

void thread_done(struct thread *thread)
{
    loop_free(thread->loop);
    thread->loop = NULL;
}
