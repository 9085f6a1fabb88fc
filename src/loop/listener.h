/* SPDX-License-Identifier: Apache-2.0
 *
 * A listening socket. Each worker has its own on the same address (SO_REUSEPORT), so
 * that accepting needs no lock. An eighth of the descriptors the process may have is not for
 * peers: deliveries, logs and stores need some to end what was begun. Who comes then is turned
 * away; when none at all is left a spare one is given up for that. Accepting never spins.
 */
#ifndef GATEPOST_LOOP_LISTENER_H
#define GATEPOST_LOOP_LISTENER_H

#include <sys/socket.h>

#include "base/error.h"
#include "loop/loop.h"

struct listener;

/* `fd` is the callee's from now on. */
typedef void listener_accept_fn(void *ctx, int fd, const struct sockaddr *peer);

/* Called, at most once per turn, when a peer had to be turned away for want of
 * descriptors; `fd` is closed by the listener after. May be NULL. */
typedef void listener_refuse_fn(void *ctx, int fd);

/* Binds and listens without a loop: `*bound_out` is the real address (port 0 becomes a
 * port). A descriptor, or -1. Further workers bind the same address by passing
 * `*bound_out` again. */
int listener_bind(const struct sockaddr *address, struct sockaddr_storage *bound_out, struct error *error)
    __attribute__((warn_unused_result));

/* Takes `fd` from listener_bind and accepts on `loop`. */
struct listener *listener_new(struct loop *loop, int fd, listener_accept_fn *on_accept, listener_refuse_fn *on_refuse,
                              void *ctx, struct error *error);
void listener_free(struct listener *listener); /* stops; NULL is fine */

#endif
