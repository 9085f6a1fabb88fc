/* SPDX-License-Identifier: Apache-2.0
 *
 * One worker's part of a listener. The number of connections is counted over all workers;
 * whoever is one too many hears so and is let go at once, without a session.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "metrics/metrics.h"
#include "receive/receive_private.h"

struct receive_share *receive_share_new(void)
{
    struct receive_share *share = mem_zalloc(sizeof *share);

    atomic_init(&share->refs, 1);
    return share;
}

static struct receive_share *share_ref(struct receive_share *share)
{
    atomic_fetch_add_explicit(&share->refs, 1, memory_order_relaxed);
    return share;
}

void receive_share_unref(struct receive_share **share_at)
{
    struct receive_share *share = *share_at;

    *share_at = NULL;
    if (share && atomic_fetch_sub_explicit(&share->refs, 1, memory_order_acq_rel) == 1)
        free(share);
}

/* One try, never waiting: a fresh connection has room for a line. */
static void turn_away(const struct receive_listener *listener, int fd)
{
    char line[512];
    int len = snprintf(line, sizeof line, "421 4.3.2 %.255s too many concurrent sessions. Try later\r\n",
                       listener->params->hostname);

    metrics_count(METRIC_SMTPD_CONNECTIONS_DENIED);
    /* with TLS from the first byte there is nobody yet who could read this */
    if (listener->params->tls_mode != RECEIVE_TLS_IMPLICIT)
        (void)!send(fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_accept(void *ctx, int fd, const struct sockaddr *peer)
{
    struct receive_listener *listener = ctx;
    uint64_t before = atomic_fetch_add_explicit(&listener->share->connections, 1, memory_order_relaxed);

    if (before >= listener->params->max_connections) {
        atomic_fetch_sub_explicit(&listener->share->connections, 1, memory_order_relaxed);
        turn_away(listener, fd);
        close(fd);
        return;
    }
    session_start(listener, fd, peer);
}

static void on_refuse(void *ctx, int fd)
{
    const struct receive_listener *listener = ctx;

    diag(DIAG_WARN, NULL, "no descriptors left: a client was turned away");
    turn_away(listener, fd);
}

struct receive_listener *receive_listener_new(struct loop *loop, int fd, struct policy_vm *vm,
                                              struct receive_params *params, struct receive_share *share,
                                              const struct receive_ops *ops, void *ctx, struct error *error)
{
    struct receive_listener *listener = mem_zalloc(sizeof *listener);

    listener->listener = listener_new(loop, fd, on_accept, on_refuse, listener, error);
    if (!listener->listener) {
        free(listener);
        return NULL;
    }
    listener->loop = loop;
    listener->vm = vm;
    listener->params = receive_params_ref(params);
    listener->share = share_ref(share);
    listener->ops = ops;
    listener->ctx = ctx;
    list_init(&listener->sessions);
    list_init(&listener->suspicions);
    listener->scratch = mem_alloc(SCRATCH_BYTES);
    return listener;
}

void session_say_goodbye(struct session *session)
{
    session_replyf_close(session, 421, "4.3.2 %s is shutting down", session->connection->params->hostname);
}

/* Those who wait for nothing of ours and have nothing under way go at once; the others when
 * they have had their answer. */
static void dismiss_idle(struct receive_listener *listener)
{
    struct list_node *next;

    for (struct list_node *node = list_first(&listener->sessions); node; node = next) {
        struct session *session = CONTAINER_OF(node, struct session, node);

        next = list_next(&listener->sessions, node);
        if (session->state == SESSION_COMMAND && session->waiting == WAITING_NOT && !session->transaction)
            session_say_goodbye(session);
    }
}

void receive_listener_stop(struct receive_listener *listener, void (*on_drained)(void *ctx), void *ctx)
{
    listener_free(listener->listener);
    listener->listener = NULL;
    listener->stopping = true;
    listener->on_drained = on_drained;
    listener->drained_ctx = ctx;
    if (list_is_empty(&listener->sessions)) {
        listener->on_drained = NULL;
        if (on_drained)
            on_drained(ctx);
        return;
    }
    dismiss_idle(listener);
}

void receive_listener_free(struct receive_listener *listener)
{
    if (!listener)
        return;
    listener_free(listener->listener);
    listener->on_drained = NULL;
    while (!list_is_empty(&listener->sessions))
        session_close(CONTAINER_OF(list_first(&listener->sessions), struct session, node), "stopping");
    auth_drop_suspicions(listener);
    receive_params_unref(&listener->params);
    receive_share_unref(&listener->share);
    free(listener->scratch);
    free(listener);
}

size_t receive_listener_sessions(const struct receive_listener *listener) { return listener->sessions.count; }
