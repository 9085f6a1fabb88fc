/* SPDX-License-Identifier: Apache-2.0
 *
 * One mutex, one condition, one list: the pool is for work that costs far more than
 * any of them.
 */
#include "loop/jobs.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"

struct jobs {
    /* fixed after start */
    char *name;
    size_t queue_limit;
    size_t thread_count;
    pthread_t *threads;

    /* shared, under lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list waiting;
    bool ending;
};

static void on_home(struct mail *mail)
{
    struct job *job = CONTAINER_OF(mail, struct job, mail);

    job->done(job);
}

static struct job *wait_for_job(struct jobs *jobs)
{
    struct list_node *node;

    pthread_mutex_lock(&jobs->lock);
    while (list_is_empty(&jobs->waiting) && !jobs->ending)
        pthread_cond_wait(&jobs->wake, &jobs->lock);
    node = list_take_first(&jobs->waiting);
    pthread_mutex_unlock(&jobs->lock);
    return node ? CONTAINER_OF(node, struct job, node) : NULL;
}

static void *thread_main(void *arg)
{
    struct jobs *jobs = arg;
    struct job *job;

    while ((job = wait_for_job(jobs))) {
        job->run(job);
        job->mail.deliver = on_home;
        loop_post(job->reply_to, &job->mail);
    }
    return NULL;
}

struct jobs *jobs_new(const char *name, size_t threads, size_t queue_limit, struct error *error)
{
    struct jobs *jobs = mem_zalloc(sizeof *jobs);

    jobs->name = mem_strdup(name);
    jobs->queue_limit = queue_limit;
    jobs->threads = mem_zalloc(threads * sizeof *jobs->threads);
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->wake, NULL);
    list_init(&jobs->waiting);
    for (size_t i = 0; i < threads; i++) {
        char thread_name[16];
        int status = pthread_create(&jobs->threads[i], NULL, thread_main, jobs);

        if (status) {
            error_set_errno(error, ERROR_TEMP, status, "cannot start thread %zu of the %s pool", i, name);
            jobs_free(jobs);
            return NULL;
        }
        jobs->thread_count++;
        snprintf(thread_name, sizeof thread_name, "%.12s", name);
        pthread_setname_np(jobs->threads[i], thread_name);
    }
    return jobs;
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

int jobs_submit(struct jobs *jobs, struct job *job, struct error *error)
{
    size_t waiting;

    job->reply_to = loop_current();
    MUST(job->reply_to != NULL);
    pthread_mutex_lock(&jobs->lock);
    waiting = jobs->waiting.count;
    if (waiting < jobs->queue_limit) {
        list_push_back(&jobs->waiting, &job->node);
        pthread_cond_signal(&jobs->wake);
    }
    pthread_mutex_unlock(&jobs->lock);
    if (waiting >= jobs->queue_limit)
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
