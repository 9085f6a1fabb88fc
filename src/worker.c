/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread with sockets: its share of every listener's clients, its share of the outbound
 * connections, and a policy VM of its own.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "relay_private.h"

static int open_rooms(void *ctx, struct loop *loop, struct error *error)
{
    struct worker *worker = ctx;

    worker->listeners = mem_zalloc((worker->relay->setup->listener_count + 1) * sizeof(struct receive_listener *));
    worker->vm = policy_vm_new(worker->relay->policy, loop, error);
    if (!worker->vm)
        return -1;
    worker->dns = relay_dns_new(worker->relay, loop, error);
    return worker->dns ? 0 : -1;
}

/* Every session and connection. A reception that waits for the spool outlives its session. */
static void cut_all(struct worker *worker)
{
    while (worker->listener_count > 0)
        receive_listener_free(worker->listeners[--worker->listener_count]);
    connections_abort(worker);
}

static void close_rooms(void *ctx)
{
    struct worker *worker = ctx;

    cut_all(worker);
    free(worker->listeners);
    map_done(&worker->connections, NULL);
    dns_free(worker->dns);
    policy_vm_free(worker->vm);
}

int worker_start(struct worker *worker, struct relay *relay, size_t index, struct error *error)
{
    char name[16];

    worker->relay = relay;
    worker->index = index;
    map_init(&worker->connections);
    list_init(&worker->fresh);
    list_node_init(&worker->pass_fresh.node);
    snprintf(name, sizeof name, "worker-%zu", index);
    return thread_start(&worker->thread, name, open_rooms, close_rooms, worker, error);
}

void worker_stop(struct worker *worker) { thread_stop(&worker->thread); }

/* ---- notes to a worker ---- */

struct worker_note {
    struct note note;
    struct worker *worker;
};

static void listen_on_all(struct note *note)
{
    struct worker_note *asked = CONTAINER_OF(note, struct worker_note, note);
    struct worker *worker = asked->worker;
    const struct setup *setup = note->relay->setup;

    for (size_t i = 0; i < setup->listener_count; i++) {
        struct setup_listener *wanted = &setup->listeners[i];
        int fd = wanted->fds[worker->index];

        wanted->fds[worker->index] = -1;
        worker->listeners[worker->listener_count] =
            receive_listener_new(worker->thread.loop, fd, worker->vm, wanted->params, wanted->share,
                                 relay_receive_ops(), worker, &worker->listen_error);
        if (worker->listeners[worker->listener_count])
            worker->listener_count++;
    }
    sem_post(&note->relay->listening);
    free(asked);
}

static void ask_to_listen(struct worker *worker)
{
    struct worker_note *asked = mem_zalloc(sizeof *asked);

    asked->worker = worker;
    relay_pass_note(worker->relay, worker->thread.loop, &asked->note, listen_on_all);
}

int worker_listen_all(struct relay *relay, struct error *error)
{
    for (size_t i = 0; i < relay->worker_count; i++)
        ask_to_listen(&relay->workers[i]);
    for (size_t i = 0; i < relay->worker_count; i++)
        while (sem_wait(&relay->listening))
            ; /* interrupted by a signal */
    for (size_t i = 0; i < relay->worker_count; i++)
        if (relay->workers[i].listener_count < relay->setup->listener_count) {
            *error = relay->workers[i].listen_error;
            return -1;
        }
    return 0;
}

static void drain(struct note *note)
{
    struct worker_note *asked = CONTAINER_OF(note, struct worker_note, note);

    for (size_t i = 0; i < asked->worker->listener_count; i++)
        receive_listener_stop(asked->worker->listeners[i], NULL, NULL);
    free(asked);
}

void worker_drain(struct worker *worker)
{
    struct worker_note *asked = mem_zalloc(sizeof *asked);

    asked->worker = worker;
    relay_pass_note(worker->relay, worker->thread.loop, &asked->note, drain);
}

static void cut(struct note *note)
{
    struct worker_note *asked = CONTAINER_OF(note, struct worker_note, note);

    cut_all(asked->worker);
    free(asked);
}

void worker_cut(struct worker *worker)
{
    struct worker_note *asked = mem_zalloc(sizeof *asked);

    asked->worker = worker;
    relay_pass_note(worker->relay, worker->thread.loop, &asked->note, cut);
}
