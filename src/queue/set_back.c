/* SPDX-License-Identifier: Apache-2.0
 *
 * Somebody sets the clock back. A message that was to wait a second must not wait an hour and
 * a second for that: what was due by the clock before is due by the clock after. Moments that a
 * schedule named stay, since those are the calendar's.
 *
 * Only what is in memory moves. A message read from the spool that was made later than now
 * tells of a clock set back meanwhile, and is due at once. One that was tried by a clock that was
 * ahead has a due time that far ahead: it waits no longer than its queue's settings let anything
 * wait after as many attempts. They are not known when it is read, so it has a turn for that alone.
 *
 * Set forward, the clock makes mail come early, as it does after a night that a laptop slept; and
 * old. Its age goes by the calendar, and a step may use up the time it was given: but nothing
 * expires that was not tried since the step, or since the start.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "log/diag.h"
#include "message/schedule.h"
#include "queue/backoff.h"
#include "queue/queue_private.h"

/* Less than a step: the clock is only being slewed. */
#define STEP_MS 500

struct waiting {
    struct message *message;
    uint64_t key;
};

static uint64_t earlier(uint64_t moment_ms, uint64_t by_ms) { return moment_ms > by_ms ? moment_ms - by_ms : 0; }

static void move_message(struct sched *sched, const struct waiting *waiting, uint64_t back_ms)
{
    struct message *message = waiting->message;
    uint64_t key = waiting->key;

    if (!message_schedule(message) && message_due_ms(message) > 0) {
        message_set_due_ms(message, (int64_t)earlier((uint64_t)message_due_ms(message), back_ms));
        key = earlier(key, back_ms);
    }
    heap_insert(&sched->heap, message_heap_link(message), key);
}

static void move_sched(struct sched *sched, uint64_t back_ms)
{
    size_t count = sched->heap.count, taken = 0;
    struct waiting *all = count ? mem_alloc(count * sizeof *all) : NULL;
    struct heap_node *node;

    while ((node = heap_first(&sched->heap))) {
        all[taken++] = (struct waiting){message_of_heap_link(node), node->key};
        heap_remove(&sched->heap, node);
    }
    for (size_t i = 0; i < taken; i++)
        move_message(sched, &all[i], back_ms);
    free(all);
    sched->not_before_ms = earlier(sched->not_before_ms, back_ms);
    sched_arm(sched);
}

void queue_mind_clock(struct queue *queue)
{
    int64_t ahead_ms = clock_wall_ms() - (int64_t)clock_mono_ms();
    int64_t back_ms = queue->wall_ahead_ms - ahead_ms;
    struct map_cursor cursor = {0};
    struct span key;
    void *value;

    queue->wall_ahead_ms = ahead_ms;
    if (back_ms <= -STEP_MS)
        queue->steady_since_ms = clock_wall_ms();
    if (back_ms < STEP_MS)
        return;
    queue->steady_since_ms -= back_ms;
    diag(DIAG_WARN, NULL, "the clock was set back by %lld ms: what waits for its next try is not held up by that",
         (long long)back_ms);
    while (map_next(&queue->scheds, &cursor, &key, &value))
        move_sched(value, (uint64_t)back_ms);
}

bool queue_was_made_later(const struct message *message)
{
    return !message_schedule(message) && message_created_ms(message) > (int64_t)queue_wall_ms() + STEP_MS;
}

bool queue_doubts_due(const struct message *message)
{
    return message_attempts(message) > 0 && message_due_ms(message) > (int64_t)queue_wall_ms();
}

void queue_limit_due(const struct route_queue_config *config, struct message *message)
{
    uint64_t delay_ms = backoff_delay_ms(config, message_attempts(message), BACKOFF_DICE - 1);
    int64_t latest_ms = (int64_t)(queue_wall_ms() + delay_ms);

    if (message_schedule(message))
        latest_ms = message_schedule_next_ms(message_schedule(message), latest_ms);
    if (message_due_ms(message) > latest_ms)
        message_set_due_ms(message, latest_ms);
}

bool queue_has_let_wait(const struct queue *queue, const struct message *message)
{
    bool is_retry = message_attempts(message) > 0 && message_due_ms(message) > 0;

    return (is_retry ? message_due_ms(message) : message_created_ms(message)) >= queue->steady_since_ms;
}
