/* SPDX-License-Identifier: Apache-2.0
 *
 * A connected stream socket on a loop, plain or TLS alike: bytes go in and out here,
 * and a layer (tls/ has one) may stand between them and the wire. Reading is pulled by
 * the owner when told that there is something; writing never blocks: what the peer does
 * not take yet is kept, up to a ceiling.
 */
#ifndef GATEPOST_LOOP_SOCKET_H
#define GATEPOST_LOOP_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/error.h"
#include "loop/loop.h"

struct socket;

/* Callbacks, all on the loop's thread, never from within a call of the owner's own
 * into this file. After socket_close none is called. */
struct socket_handler {
    /* Bytes, or the end, are there: call socket_read until it says SOCKET_WAIT. */
    void (*on_readable)(void *ctx);
    /* All that was written has left for the kernel. May be NULL. */
    void (*on_drained)(void *ctx);
};

/* Results of socket_read besides a byte count. */
enum {
    SOCKET_WAIT = 0,   /* nothing now; on_readable will tell */
    SOCKET_EOF = -1,   /* the peer ended its side properly (with TLS: close_notify seen) */
    SOCKET_ERROR = -2, /* reset, TLS failure or cut without close_notify: see socket_error */
};

/* Takes `fd` (a connected, or connecting, stream socket) and makes it non-blocking. On
 * failure the descriptor is closed. */
struct socket *socket_new(struct loop *loop, int fd, const struct socket_handler *handler, void *ctx,
                          struct error *error);

/* Starts a connection to `address`, from `source` if not NULL. on_drained is called when
 * it is up; on_readable, with socket_read giving SOCKET_ERROR, when it failed. */
struct socket *socket_connect(struct loop *loop, const struct sockaddr *address, const struct sockaddr *source,
                              const struct socket_handler *handler, void *ctx, struct error *error);

/* Ends the connection at once, unsent bytes lost; frees the socket. NULL is fine. */
void socket_close(struct socket *socket);

/* The same, but what was written is still sent, for at most `linger_ms`. The owner is
 * not called again. */
void socket_close_after_write(struct socket *socket, uint64_t linger_ms);

/* Up to `len` bytes: a count > 0, or one of the results above. */
ssize_t socket_read(struct socket *socket, void *data, size_t len);

/* Writes or keeps all of it. -1 when more than the ceiling (socket_set_write_limit)
 * would be waiting for the peer, or the connection is gone; then nothing of it was taken. Bytes leave
 * at the end of the turn at the latest, gathered into one write; socket_flush sends
 * them now. */
int socket_write(struct socket *socket, const void *data, size_t len) __attribute__((warn_unused_result));
void socket_flush(struct socket *socket);
void socket_set_write_limit(struct socket *socket, size_t limit_bytes); /* default 1 MiB */
size_t socket_unsent_bytes(const struct socket *socket);

/* While paused, on_readable is not called: the peer meets TCP's own back-pressure. */
void socket_pause(struct socket *socket);
void socket_resume(struct socket *socket);

const struct error *socket_error(const struct socket *socket);
int socket_fd(const struct socket *socket);

/* ---- a layer between the owner and the wire: for tls/ ---- */

struct socket_layer_ops {
    /* As socket_read; reads the wire with socket_wire_read. */
    ssize_t (*read)(void *layer, struct socket *socket, void *data, size_t len, struct error *error);
    /* Encodes all of `data` and hands it to socket_wire_write; -1 = broken. */
    int (*write)(void *layer, struct socket *socket, const void *data, size_t len, struct error *error);
    /* The wire became readable; true when the owner should be told (plaintext, an end or
     * an error is there, as opposed to a handshake that goes on). */
    bool (*on_wire_readable)(void *layer, struct socket *socket);
    /* Say goodbye (close_notify) if it can be said. */
    void (*shutdown)(void *layer, struct socket *socket);
    void (*free)(void *layer);
};

/* From now on bytes pass through `layer`, which the socket owns. */
void socket_set_layer(struct socket *socket, const struct socket_layer_ops *ops, void *layer);
void *socket_layer(const struct socket *socket); /* NULL when plain */

/* Tells the owner again (from the event loop) that it may read: a layer that holds
 * decoded bytes calls it. */
void socket_poke(struct socket *socket);

/* The wire itself: results as socket_read and socket_write. */
ssize_t socket_wire_read(struct socket *socket, void *data, size_t len);
int socket_wire_write(struct socket *socket, const void *data, size_t len) __attribute__((warn_unused_result));

#endif
