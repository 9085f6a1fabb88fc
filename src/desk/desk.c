/* SPDX-License-Identifier: Apache-2.0
 *
 * A question's way to its answer. Those about logins go to the desk's own thread, because they may have to wait; those
 * about sessions and mail are answered where they are asked.
 */
#include "desk/desk_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"

#define ANSWER_SECONDS 15
#define UNDER_WAY_MOST 4 /* each holds a thread of the HTTP listener, which has others for monitors */

/* ---- a question's life ---- */

static void wipe_secret(json_t *asked)
{
    json_t *secret = json_object_get(asked, "secret");

    if (json_is_string(secret))
        secret_wipe((char *)(uintptr_t)json_string_value(secret), json_string_length(secret));
}

static void release(struct question *question)
{
    if (atomic_fetch_sub(&question->holders, 1) != 1)
        return;
    wipe_secret(question->asked);
    json_decref(question->asked);
    json_decref(question->answer);
    gate_rules_unref(&question->rules);
    sem_destroy(&question->answered);
    free(question);
}

void desk_finish(struct question *question, json_t *answer)
{
    struct desk *desk = question->desk;

    question->answer = answer;
    sem_post(&question->answered);
    release(question);
    atomic_fetch_sub(&desk->under_way, 1);
}

void desk_refuse(struct question *question, const char *format, ...)
{
    char text[ERROR_SENTENCE_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    error_set(&question->error, ERROR_PERM, "%s", text);
    desk_finish(question, NULL);
}

static void on_question(struct mail *mail)
{
    struct question *question = CONTAINER_OF(mail, struct question, mail);

    question->rules = gate_rules_current();
    if (question->rules) {
        question->act(question);
        return;
    }
    error_set(&question->error, ERROR_TEMP, "there is no gate to ask: the policy sets up no auth.toml");
    desk_finish(question, NULL);
}

/* ---- for who asks ---- */

static json_t *wait_for_answer(struct question *question, struct error *error)
{
    struct timespec until;
    json_t *answer = NULL;
    int result;

    /* not sem_clockwait: TSan does not know it, and would see a race with who answers */
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ANSWER_SECONDS;
    while ((result = sem_timedwait(&question->answered, &until)) && errno == EINTR)
        continue;
    if (result)
        error_set(error, ERROR_TEMP, "no answer within %d s", ANSWER_SECONDS);
    else if (!question->answer && error)
        *error = question->error;
    if (!result) { /* taken, not shared: jansson does not order the last two of those who let go */
        answer = question->answer;
        question->answer = NULL;
    }
    return answer;
}

static json_t *ask_thread(struct desk *desk, void (*act)(struct question *question), const json_t *asked,
                          struct error *error)
{
    struct question *question;
    json_t *answer;

    if (atomic_fetch_add(&desk->under_way, 1) >= UNDER_WAY_MOST) {
        atomic_fetch_sub(&desk->under_way, 1);
        error_set(error, ERROR_AGAIN, "others are asking: try again");
        return NULL;
    }
    question = mem_zalloc(sizeof *question);
    question->mail.deliver = on_question;
    question->desk = desk;
    question->act = act;
    question->asked = json_deep_copy(asked);
    atomic_init(&question->holders, 2);
    sem_init(&question->answered, 0, 0);
    loop_post(desk->thread.loop, &question->mail);
    answer = wait_for_answer(question, error);
    release(question);
    return answer;
}

/* ---- the verbs ---- */

static const struct {
    const char *verb;
    void (*act)(struct question *question);                                            /* on the desk's thread; or */
    json_t *(*answer)(struct desk *desk, const json_t *question, struct error *error); /* on the asker's */
} verbs[] = {
    {"show", .act = desk_show},
    {"unlock", .act = desk_unlock},
    {"block", .act = desk_block},
    {"purge", .act = desk_purge},
    {"test", .act = desk_test},
    {"budget", .act = desk_budget},
    {"sessions", .answer = desk_list_sessions},
    {"close", .answer = desk_close_sessions},
    {"held", .answer = desk_list_held},
    {"hold", .answer = desk_hold},
    {"release", .answer = desk_release},
};

json_t *desk_ask(struct desk *desk, const char *verb, const json_t *asked, struct error *error)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].verb, verb) != 0)
            continue;
        return verbs[i].act ? ask_thread(desk, verbs[i].act, asked, error) : verbs[i].answer(desk, asked, error);
    }
    error_set(error, ERROR_PERM, "there is nothing to %s", verb);
    return NULL;
}

/* ---- opening and closing ---- */

static int open_desk(void *ctx, struct loop *loop, struct error *error)
{
    (void)ctx;
    (void)loop;
    (void)error;
    return 0;
}

static void close_desk(void *ctx)
{
    struct desk *desk = ctx;

    while (atomic_load(&desk->under_way) > 0)
        loop_turn(desk->thread.loop, true);
}

struct desk *desk_start(const struct desk_ops *ops, void *ctx, struct error *error)
{
    static const struct desk_ops none;
    struct desk *desk = mem_zalloc(sizeof *desk);

    desk->ops = ops ? ops : &none;
    desk->ctx = ctx;
    atomic_init(&desk->under_way, 0);
    if (!thread_start(&desk->thread, "desk", open_desk, close_desk, desk, error))
        return desk;
    free(desk);
    return NULL;
}

void desk_stop(struct desk *desk)
{
    if (!desk)
        return;
    thread_stop(&desk->thread);
    thread_done(&desk->thread);
    free(desk);
}
