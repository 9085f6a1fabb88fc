/* SPDX-License-Identifier: Apache-2.0
 *
 * A question to another thread, and a wait with an end. The question is counted: when the
 * asker has given up, the thread that answers late frees it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "admin/admin_private.h"
#include "base/mem.h"
#include "base/must.h"

struct question {
    /* fixed */
    struct mail mail;
    admin_answer_fn *answer;
    void *ctx;
    size_t most;
    /* shared, under lock */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    int holders;
    bool is_answered;
    int result;
    struct buf out;
};

/* Called with the lock held; gives it back. */
static void question_leave(struct question *question)
{
    bool last = --question->holders == 0;

    pthread_mutex_unlock(&question->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&question->lock);
    pthread_cond_destroy(&question->answered);
    buf_done(&question->out);
    free(question);
}

static void on_loop(struct mail *mail)
{
    struct question *question = CONTAINER_OF(mail, struct question, mail);
    int result = question->answer(question->ctx, question->most, &question->out);

    pthread_mutex_lock(&question->lock);
    question->result = result;
    question->is_answered = true;
    pthread_cond_signal(&question->answered);
    question_leave(question);
}

static struct question *question_new(admin_answer_fn *answer, void *ctx, size_t most, size_t limit_bytes)
{
    struct question *question = mem_zalloc(sizeof *question);
    pthread_condattr_t attr;

    question->mail.deliver = on_loop;
    question->answer = answer;
    question->ctx = ctx;
    question->most = most;
    question->holders = 2;
    pthread_mutex_init(&question->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&question->answered, &attr);
    pthread_condattr_destroy(&attr);
    buf_init(&question->out, limit_bytes);
    return question;
}

static void wait_for_answer(struct question *question, uint64_t timeout_ms)
{
    struct timespec until;
    int status = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!question->is_answered && status != ETIMEDOUT)
        status = pthread_cond_timedwait(&question->answered, &question->lock, &until);
}

int admin_ask(struct loop *loop, admin_answer_fn *answer, void *ctx, size_t most, uint64_t timeout_ms, struct buf *out,
              struct error *error)
{
    struct question *question = question_new(answer, ctx, most, out->limit_bytes);
    int result;

    loop_post(loop, &question->mail);
    pthread_mutex_lock(&question->lock);
    wait_for_answer(question, timeout_ms);
    if (!question->is_answered)
        result = error_set(error, ERROR_TEMP, "thread %s did not answer within %llu ms", loop_name(loop),
                           (unsigned long long)timeout_ms);
    else if (question->result < 0 || buf_append_span(out, buf_span(&question->out)) < 0)
        result = error_set(error, ERROR_TEMP, "the answer of thread %s does not fit", loop_name(loop));
    else
        result = 0;
    question_leave(question);
    return result;
}
