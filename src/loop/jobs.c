/* SPDX-License-Identifier: Apache-2.0
 *
 * One mutex, one condition, one list: the pool is for work that costs far more than
 * any of them.
 */
#include "loop/jobs.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

struct jobs {
    /* fixed after start */
    char *name;
    int niceness;
    size_t thread_count;
    pthread_t *threads;

    /* shared, under lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list waiting;
    size_t queue_limit;
    size_t active_limit;
    size_t active;
    uint64_t turn; /* of the job that was taken last */
    uint64_t wait_limit_ms;
    bool ending;
};

static void on_home(struct mail *mail)
{
    struct job *job = CONTAINER_OF(mail, struct job, mail);

    job->done(job);
}

static bool may_take(const struct jobs *jobs)
{
    return !list_is_empty(&jobs->waiting) && jobs->active < jobs->active_limit;
}

static struct job *take_job(struct jobs *jobs)
{
    struct job *job = CONTAINER_OF(list_take_first(&jobs->waiting), struct job, node);

    job->expired = jobs->wait_limit_ms && clock_mono_ms() - job->queued_ms > jobs->wait_limit_ms;
    jobs->active++;
    jobs->turn = job->turn;
    return job;
}

/* NULL: the pool ends, and nothing is left to do. */
static struct job *wait_for_job(struct jobs *jobs)
{
    struct job *job = NULL;

    pthread_mutex_lock(&jobs->lock);
    while (!may_take(jobs) && !(jobs->ending && list_is_empty(&jobs->waiting)))
        pthread_cond_wait(&jobs->wake, &jobs->lock);
    if (!list_is_empty(&jobs->waiting))
        job = take_job(jobs);
    pthread_mutex_unlock(&jobs->lock);
    return job;
}

static void end_job(struct jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->active--;
    if (jobs->ending)
        pthread_cond_broadcast(&jobs->wake);
    pthread_mutex_unlock(&jobs->lock);
}

static void *thread_main(void *arg)
{
    struct jobs *jobs = arg;
    struct job *job;

    if (jobs->niceness)
        setpriority(PRIO_PROCESS, 0, jobs->niceness); /* on Linux: of this thread; without it we only run faster */
    while ((job = wait_for_job(jobs))) {
        if (!job->expired)
            job->run(job);
        job->mail.deliver = on_home;
        loop_post(job->reply_to, &job->mail);
        end_job(jobs);
    }
    return NULL;
}

static int start_thread(struct jobs *jobs, struct error *error)
{
    char thread_name[16];
    int status = pthread_create(&jobs->threads[jobs->thread_count], NULL, thread_main, jobs);

    if (status)
        return error_set_errno(error, ERROR_TEMP, status, "cannot start thread %zu of the %s pool", jobs->thread_count,
                               jobs->name);
    snprintf(thread_name, sizeof thread_name, "%.12s", jobs->name);
    pthread_setname_np(jobs->threads[jobs->thread_count++], thread_name);
    return 0;
}

struct jobs *jobs_new_with(const struct jobs_options *options, struct error *error)
{
    struct jobs *jobs = mem_zalloc(sizeof *jobs);

    jobs->name = mem_strdup(options->name);
    jobs->niceness = options->niceness;
    jobs->queue_limit = options->queue_limit;
    jobs->active_limit = options->threads;
    jobs->wait_limit_ms = options->wait_limit_ms;
    jobs->threads = mem_zalloc(options->threads * sizeof *jobs->threads);
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->wake, NULL);
    list_init(&jobs->waiting);
    for (size_t i = 0; i < options->threads; i++) {
        if (start_thread(jobs, error)) {
            jobs_free(jobs);
            return NULL;
        }
    }
    return jobs;
}

struct jobs *jobs_new(const char *name, size_t threads, size_t queue_limit, struct error *error)
{
    return jobs_new_with(&(struct jobs_options){.name = name, .threads = threads, .queue_limit = queue_limit}, error);
}

void jobs_limit(struct jobs *jobs, size_t active, size_t queue_limit, uint64_t wait_limit_ms)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->active_limit = active < 1 ? 1 : active > jobs->thread_count ? jobs->thread_count : active;
    jobs->queue_limit = queue_limit;
    jobs->wait_limit_ms = wait_limit_ms;
    pthread_cond_broadcast(&jobs->wake);
    pthread_mutex_unlock(&jobs->lock);
}

void jobs_free(struct jobs *jobs)
{
    if (!jobs)
        return;
    pthread_mutex_lock(&jobs->lock);
    jobs->ending = true;
    pthread_cond_broadcast(&jobs->wake);
    pthread_mutex_unlock(&jobs->lock);
    for (size_t i = 0; i < jobs->thread_count; i++)
        pthread_join(jobs->threads[i], NULL);
    pthread_cond_destroy(&jobs->wake);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs->threads);
    free(jobs->name);
    free(jobs);
}

/* ---- the queue: by turn, and in it by time ---- */

static const struct job *last_of_owner(const struct jobs *jobs, uint64_t owner)
{
    const struct list_node *node = jobs->waiting.head.prev;

    while (node != &jobs->waiting.head && CONTAINER_OF(node, const struct job, node)->owner != owner)
        node = node->prev;
    return node == &jobs->waiting.head ? NULL : CONTAINER_OF(node, const struct job, node);
}

/* The turn that is running, or the one after the owner's last that waits. */
static uint64_t next_turn(const struct jobs *jobs, uint64_t owner)
{
    const struct job *last = last_of_owner(jobs, owner);

    return last && last->turn >= jobs->turn ? last->turn + 1 : jobs->turn;
}

static void put_in_order(struct jobs *jobs, struct job *job)
{
    struct list_node *next = &jobs->waiting.head;

    while (next->prev != &jobs->waiting.head && CONTAINER_OF(next->prev, struct job, node)->turn > job->turn)
        next = next->prev;
    list_insert_before(&jobs->waiting, next, &job->node);
}

/* The last job, when its turn is a later one; out of the queue then. */
static struct job *take_last_after(struct jobs *jobs, uint64_t turn)
{
    struct list_node *node = list_last(&jobs->waiting);
    struct job *last = node ? CONTAINER_OF(node, struct job, node) : NULL;

    if (!last || last->turn <= turn)
        return NULL;
    list_remove(&jobs->waiting, node);
    last->expired = true;
    last->mail.deliver = on_home;
    return last;
}

int jobs_submit(struct jobs *jobs, struct job *job, struct error *error)
{
    struct job *displaced = NULL;
    size_t waiting;
    bool is_full;

    job->reply_to = loop_current();
    MUST(job->reply_to != NULL);
    job->queued_ms = clock_mono_ms();
    pthread_mutex_lock(&jobs->lock);
    waiting = jobs->waiting.count;
    job->turn = next_turn(jobs, job->owner);
    is_full = waiting >= jobs->queue_limit && !(displaced = take_last_after(jobs, job->turn));
    if (!is_full) {
        put_in_order(jobs, job);
        pthread_cond_signal(&jobs->wake);
    }
    pthread_mutex_unlock(&jobs->lock);
    if (displaced)
        loop_post(displaced->reply_to, &displaced->mail);
    if (is_full)
        return error_set(error, ERROR_AGAIN, "the %s pool is full: %zu jobs are waiting", jobs->name, waiting);
    return 0;
}

size_t jobs_waiting(struct jobs *jobs)
{
    size_t waiting;

    pthread_mutex_lock(&jobs->lock);
    waiting = jobs->waiting.count;
    pthread_mutex_unlock(&jobs->lock);
    return waiting;
}
