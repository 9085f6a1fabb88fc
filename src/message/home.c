/* SPDX-License-Identifier: Apache-2.0
 *
 * A message dies far from where it was made: a worker receives it, and the queue's thread or another worker is done
 * with it. Memory is given back cheapest by the thread that took it, since any other has to lock that thread's part of
 * the heap, and two threads that meet there put each other to sleep. So the dead are sent home, without waking anybody;
 * who makes its next message buries them first. What may lie there is bounded, in messages and in bytes.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "message/message_private.h"

#define DEAD_MOST 256
#define LARGE_BYTES ((size_t)32 * 1024) /* the body of a larger one is not kept waiting */

struct message_home {
    struct message_home *next; /* of all there ever were: they are reused by nobody, and last as long as the process */
    _Atomic(struct message *) dead;
    atomic_uint dead_count;
};

static _Atomic(struct message_home *) homes;
static _Thread_local struct message_home *own;

static struct message_home *build(void)
{
    struct message_home *home = mem_zalloc(sizeof *home);

    home->next = atomic_load(&homes);
    while (!atomic_compare_exchange_weak(&homes, &home->next, home)) {
    }
    return home;
}

static void bury(struct message_home *home)
{
    struct message *message = atomic_exchange_explicit(&home->dead, NULL, memory_order_acquire);
    unsigned count = 0;

    for (struct message *next; message; message = next, count++) {
        next = message->next_dead;
        message_destroy(message);
    }
    atomic_fetch_sub_explicit(&home->dead_count, count, memory_order_relaxed);
}

struct message_home *message_home(void)
{
    if (!own)
        own = build();
    if (atomic_load_explicit(&own->dead, memory_order_relaxed))
        bury(own);
    return own;
}

static void send_home(struct message *message)
{
    struct message_home *home = message->home;
    struct message *newest = atomic_load_explicit(&home->dead, memory_order_relaxed);

    if (message->body_bytes > LARGE_BYTES)
        bytes_unref(&message->body);
    do
        message->next_dead = newest;
    while (!atomic_compare_exchange_weak_explicit(&home->dead, &newest, message, memory_order_release,
                                                  memory_order_relaxed));
}

void message_free(struct message *message)
{
    if (!message)
        return;
    if (!message->home || message->home == own) {
        message_destroy(message);
        return;
    }
    if (atomic_fetch_add_explicit(&message->home->dead_count, 1, memory_order_relaxed) < DEAD_MOST) {
        send_home(message);
        return;
    }
    atomic_fetch_sub_explicit(&message->home->dead_count, 1, memory_order_relaxed);
    message_destroy(message);
}
