/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS between a socket's owner and the wire: the handshake, then records both ways. A
 * connection that is cut without close_notify is an error, not an end: a message that
 * stops there must never be taken for complete.
 */
#include "tls/tls_private.h"

#include <limits.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"

int tls_library_error(struct error *error, enum error_kind kind, const char *doing)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    error_set(error, kind, "%s: %s", doing, reason ? reason : "the connection was cut");
    ERR_clear_error();
    return -1;
}

static void release_keep(struct tls_layer *layer)
{
    if (layer->keep)
        layer->release(layer->keep);
    layer->keep = NULL;
}

/* The handshake is over: tells whoever asked for it. */
static void report(struct tls_layer *layer, const struct error *error)
{
    tls_done_fn *on_done = layer->on_done;

    layer->on_done = NULL;
    release_keep(layer);
    on_done(layer->ctx, error);
}

static void drive_handshake(struct tls_layer *layer)
{
    struct error error = {0};
    int status;

    ERR_clear_error();
    status = SSL_do_handshake(layer->ssl);
    if (status == 1) {
        report(layer, NULL);
        return;
    }
    if (SSL_get_error(layer->ssl, status) == SSL_ERROR_WANT_READ)
        return;
    tls_library_error(&error, ERROR_TEMP, "TLS handshake failed");
    report(layer, &error);
}

static bool on_wire_readable(void *ctx, struct socket *socket)
{
    struct tls_layer *layer = ctx;

    if (!layer->on_done)
        return true;
    drive_handshake(layer);
    /* the peer's first bytes may have come with the end of its handshake */
    if (!layer->on_done && SSL_is_init_finished(layer->ssl) && SSL_has_pending(layer->ssl))
        socket_poke(socket);
    return false;
}

static ssize_t on_read(void *ctx, struct socket *socket, void *data, size_t len, struct error *error)
{
    struct tls_layer *layer = ctx;
    size_t got;

    (void)socket;
    if (layer->on_done)
        return SOCKET_WAIT;
    ERR_clear_error();
    if (SSL_read_ex(layer->ssl, data, len, &got))
        return (ssize_t)got;
    switch (SSL_get_error(layer->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return SOCKET_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        return SOCKET_EOF;
    default:
        tls_library_error(error, ERROR_TEMP, "TLS connection broken");
        return SOCKET_ERROR;
    }
}

static int on_write(void *ctx, struct socket *socket, const void *data, size_t len, struct error *error)
{
    struct tls_layer *layer = ctx;
    size_t written;

    (void)socket;
    ERR_clear_error();
    /* the BIO takes everything, so a write is whole or the connection is broken */
    if (SSL_write_ex(layer->ssl, data, len, &written) && written == len)
        return 0;
    return tls_library_error(error, ERROR_TEMP, "TLS connection broken");
}

static void on_shutdown(void *ctx, struct socket *socket)
{
    struct tls_layer *layer = ctx;

    (void)socket;
    ERR_clear_error();
    if (SSL_is_init_finished(layer->ssl))
        SSL_shutdown(layer->ssl);
    ERR_clear_error();
}

static void on_free(void *ctx)
{
    struct tls_layer *layer = ctx;

    release_keep(layer);
    SSL_free(layer->ssl);
    free(layer->peer_subject);
    tls_peer_names_free(layer->peer_names);
    free(layer);
}

static const struct socket_layer_ops layer_ops = {
    .read = on_read,
    .write = on_write,
    .on_wire_readable = on_wire_readable,
    .shutdown = on_shutdown,
    .free = on_free,
};

int tls_layer_start(struct socket *socket, SSL *ssl, void *keep, void (*release)(void *keep), tls_done_fn *on_done,
                    void *ctx, struct error *error)
{
    struct tls_layer *layer = mem_zalloc(sizeof *layer);
    BIO *bio = tls_bio_new(socket);

    *layer = (struct tls_layer){
        .ssl = ssl, .socket = socket, .on_done = on_done, .ctx = ctx, .keep = keep, .release = release};
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, layer);
    socket_set_layer(socket, &layer_ops, layer);
    if (SSL_is_server(ssl))
        return 0; /* the client speaks first */
    ERR_clear_error();
    if (SSL_do_handshake(ssl) == 1 || SSL_get_error(ssl, -1) == SSL_ERROR_WANT_READ)
        return 0;
    layer->on_done = NULL;
    return tls_library_error(error, ERROR_TEMP, "cannot start TLS");
}

const struct tls_layer *tls_layer_of(const struct socket *socket)
{
    const struct tls_layer *layer = socket_layer(socket);

    return layer && !layer->on_done ? layer : NULL;
}
