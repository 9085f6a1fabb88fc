/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS between a socket's owner and the wire: the handshake, then records both ways. A
 * connection that is cut without close_notify is an error, not an end: a message that
 * stops there must never be taken for complete.
 */
#include "tls/tls_private.h"

#include <stdlib.h>

#include "base/mem.h"

/* The handshake is over: tells whoever asked for it. */
static void report(struct tls_layer *layer, const struct error *error)
{
    tls_done_fn *on_done = layer->on_done;

    layer->on_done = NULL;
    on_done(layer->ctx, error);
}

/* True when the peer's first bytes came with the end of its handshake: the answer to them then leaves together with our
 * last words of the handshake. */
static bool drive_handshake(struct tls_layer *layer)
{
    struct error error = {0};

    switch (tls_session_handshake(layer->session, &error)) {
    case TLS_HANDSHAKE_DONE:
        report(layer, NULL);
        return tls_session_has_unread(layer->session);
    case TLS_HANDSHAKE_FAILED:
        error_prefix(&error, "TLS handshake failed");
        report(layer, &error);
        return false;
    case TLS_HANDSHAKE_WAITS:
        break;
    }
    return false;
}

static bool on_wire_readable(void *ctx, struct socket *socket)
{
    struct tls_layer *layer = ctx;

    (void)socket;
    return layer->on_done ? drive_handshake(layer) : true;
}

static ssize_t on_read(void *ctx, struct socket *socket, void *data, size_t len, struct error *error)
{
    struct tls_layer *layer = ctx;
    ssize_t got;

    (void)socket;
    if (layer->on_done)
        return SOCKET_WAIT;
    got = tls_session_read(layer->session, data, len, error);
    if (got == SOCKET_ERROR)
        error_prefix(error, "TLS connection broken");
    return got;
}

static int on_write(void *ctx, struct socket *socket, const void *data, size_t len, struct error *error)
{
    struct tls_layer *layer = ctx;

    (void)socket;
    if (tls_session_write(layer->session, data, len, error))
        return error_prefix(error, "TLS connection broken");
    return 0;
}

static void on_shutdown(void *ctx, struct socket *socket)
{
    struct tls_layer *layer = ctx;

    (void)socket;
    if (!layer->on_done)
        tls_session_close_notify(layer->session);
}

void tls_layer_free(struct tls_layer *layer)
{
    if (!layer)
        return;
    tls_session_free(layer->session);
    if (layer->keep)
        layer->release(layer->keep);
    free(layer->peer_subject);
    tls_peer_names_free(layer->peer_names);
    free(layer);
}

static void on_free(void *ctx) { tls_layer_free(ctx); }

static const struct socket_layer_ops layer_ops = {
    .read = on_read,
    .write = on_write,
    .on_wire_readable = on_wire_readable,
    .shutdown = on_shutdown,
    .free = on_free,
};

struct tls_layer *tls_layer_new(struct socket *socket, void *keep, void (*release)(void *keep), tls_done_fn *on_done,
                                void *ctx)
{
    struct tls_layer *layer = mem_alloc(sizeof *layer);

    *layer = (struct tls_layer){.socket = socket, .keep = keep, .release = release, .on_done = on_done, .ctx = ctx};
    return layer;
}

int tls_layer_start(struct tls_layer *layer, bool speaks_first, struct error *error)
{
    socket_set_layer(layer->socket, &layer_ops, layer);
    if (!speaks_first || tls_session_handshake(layer->session, error) != TLS_HANDSHAKE_FAILED)
        return 0;
    layer->on_done = NULL;
    return error_prefix(error, "cannot start TLS");
}

void tls_expect_no_secrets(struct socket *socket)
{
    struct tls_layer *layer = socket_layer(socket);

    if (layer)
        tls_session_stop_wiping(layer->session);
}

const struct tls_layer *tls_layer_of(const struct socket *socket)
{
    const struct tls_layer *layer = socket_layer(socket);

    return layer && !layer->on_done ? layer : NULL;
}
