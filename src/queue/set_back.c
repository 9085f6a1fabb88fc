/* SPDX-License-Identifier: Apache-2.0
 *
 * Somebody sets the clock back. A message that was to wait a second must not wait an hour and
 * a second for that: what was due by the clock before is due by the clock after. Moments that a
 * schedule named stay, since those are the calendar's. Set forward, the clock only makes mail
 * come early, as it does after a night that a laptop slept.
 *
 * Only what is in memory moves. A message read from the spool that was made later than now
 * tells of a clock set back meanwhile, and is due at once.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "log/diag.h"
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
    if (back_ms < STEP_MS)
        return;
    diag(DIAG_WARN, NULL, "the clock was set back by %lld ms: what waits for its next try is not held up by that",
         (long long)back_ms);
    while (map_next(&queue->scheds, &cursor, &key, &value))
        move_sched(value, (uint64_t)back_ms);
}

bool queue_was_made_later(const struct message *message)
{
    return !message_schedule(message) && message_created_ms(message) > (int64_t)queue_wall_ms() + STEP_MS;
}
