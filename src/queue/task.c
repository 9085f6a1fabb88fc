/* SPDX-License-Identifier: Apache-2.0
 *
 * A message that a policy handler has in its hands. The handler may wait; the message is the
 * queue's all the while, and is let go of when the queue ends.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "queue/queue_private.h"

bool queue_has_hands(const struct queue *queue)
{
    return queue->loading.count + queue->tasks.count < QUEUE_HANDS_LIMIT;
}

struct task *task_new(struct queue *queue, struct message *message)
{
    struct task *task = mem_zalloc(sizeof *task);

    task->queue = queue;
    task->message = message;
    list_push_back(&queue->tasks, &task->link);
    return task;
}

static void task_free(struct task *task)
{
    list_remove(&task->queue->tasks, &task->link);
    if (task->ready)
        ready_unref(&task->ready);
    free(task->former_name);
    free(task);
}

static void on_policy_done(void *ctx, const struct policy_result *result)
{
    struct task *task = ctx;

    task->call = NULL;
    task->on_done(task, result);
    task_free(task);
}

void task_run(struct task *task, enum policy_event event, policy_push_fn *push,
              void (*on_done)(struct task *task, const struct policy_result *result))
{
    struct policy_call *call;

    task->on_done = on_done;
    call = policy_call(task->queue->vm, event, push, on_policy_done, task);
    if (call) /* otherwise the task is gone already */
        task->call = call;
}

void task_cancel_all(struct queue *queue)
{
    struct list_node *node;

    while ((node = list_first(&queue->tasks))) {
        struct task *task = CONTAINER_OF(node, struct task, link);

        policy_call_cancel(task->call);
        message_free(task->message);
        task_free(task);
    }
}
