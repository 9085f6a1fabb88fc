/* SPDX-License-Identifier: Apache-2.0
 *
 * After an attempt that failed for now: policy may look (requeue_message), the attempt is
 * counted, and the message goes back to wait longer than before, or is given up when the
 * next attempt would come too late.
 */
#include <stdio.h>

#include "base/random.h"
#include "message/schedule.h"
#include "queue/backoff.h"
#include "queue/queue_private.h"

static bool is_name_of(const struct message *message, struct span former)
{
    bool same;
    struct buf text;

    buf_init(&text, QUEUE_NAME_LIMIT);
    same = message_queue_name(message, &text) == 0 && span_eq(buf_span(&text), former);
    buf_done(&text);
    return same;
}

static void give_up(struct queue *queue, struct message *message, const struct smtp_reply *last)
{
    struct smtp_reply reply;

    smtp_reply_setf(&reply, 551, "5.4.7 the next attempt would come too late; the last answer was: %d %.400s",
                    last->code, last->text);
    queue->ops.bounce(queue->ctx, message, &reply, true);
}

static int64_t next_due(const struct route_queue_config *config, const struct message *message)
{
    uint64_t delay = backoff_delay_ms(config, message_attempts(message), random_below(BACKOFF_DICE));
    int64_t due = (int64_t)(queue_wall_ms() + delay);

    return message_schedule(message) ? message_schedule_next_ms(message_schedule(message), due) : due;
}

static bool is_too_late(const struct route_queue_config *config, const struct message *message, int64_t due)
{
    return backoff_is_expired(config, message_created_ms(message), due) ||
           message_schedule_is_over(message_schedule(message), due);
}

static void back_to_wait(struct queue *queue, struct message *message, const struct smtp_reply *reply, bool is_logged,
                         bool has_moved)
{
    struct sched *sched = sched_find(queue, message);
    const struct route_queue_config *config = sched ? sched_config(sched) : queue->default_config;
    int64_t due = has_moved ? 0 : next_due(config, message);

    if (is_too_late(config, message, has_moved ? (int64_t)queue_wall_ms() : due)) {
        if (!is_logged)
            queue->ops.delayed(queue->ctx, message, reply);
        give_up(queue, message, reply);
        return;
    }
    message_set_due_ms(message, due);
    if (!is_logged)
        queue->ops.delayed(queue->ctx, message, reply);
    if (message_is_loaded(message) && message_spool_ref(message))
        queue->ops.save(queue->ctx, message);
    queue_place(queue, message);
}

/* The manual promises requeue_message the count before this attempt. */
static void count(struct message *message, int step)
{
    message_set_attempts(message, (unsigned)((int)message_attempts(message) + step));
}

/* ---- requeue_message ---- */

static int push_requeue(lua_State *L, void *ctx)
{
    struct task *task = ctx;
    char line[sizeof task->reply.text + 32];
    size_t used;

    policy_push_object(L, "message", task->message);
    if (task->reply.enhanced_class)
        used = (size_t)snprintf(line, sizeof line, "%d %d.%d.%d %s", task->reply.code, task->reply.enhanced_class,
                                task->reply.enhanced_subject, task->reply.enhanced_detail, task->reply.text);
    else
        used = (size_t)snprintf(line, sizeof line, "%d %s", task->reply.code, task->reply.text);
    if (used >= sizeof line)
        used = sizeof line - 1;
    for (size_t i = 0; i < used; i++)
        if (line[i] == '\n' || line[i] == '\r')
            line[i] = ' ';
    lua_pushlstring(L, line, used);
    return 2;
}

static void on_requeued(struct task *task, const struct policy_result *result)
{
    struct queue *queue = task->queue;
    struct message *message = task->message;

    if (result->outcome == POLICY_REJECTED || result->outcome == POLICY_DISCONNECT) {
        queue->ops.bounce(queue->ctx, message, &result->reply, false);
        return;
    }
    count(message, 1);
    back_to_wait(queue, message, &task->reply, task->is_logged, !is_name_of(message, span_of(task->former_name)));
}

void queue_retry(struct queue *queue, struct message *message, const struct smtp_reply *reply, bool is_logged)
{
    struct task *task;
    struct buf name;

    if (!policy_handles(queue->vm, POLICY_EVENT_REQUEUE_MESSAGE)) {
        if (!is_logged)
            count(message, 1);
        back_to_wait(queue, message, reply, is_logged, false);
        return;
    }
    if (is_logged && message_attempts(message) > 0)
        count(message, -1);
    task = task_new(queue, message);
    task->reply = *reply;
    task->is_logged = is_logged;
    buf_init(&name, QUEUE_NAME_LIMIT);
    if (message_queue_name(message, &name) == 0 && buf_len(&name) > 0)
        task->former_name = span_dup(buf_span(&name));
    buf_done(&name);
    task_run(task, POLICY_EVENT_REQUEUE_MESSAGE, push_requeue, on_requeued);
}
