/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share: the layer that sits on a socket, and the settings
 * that both directions have in common.
 */
#ifndef GATEPOST_TLS_PRIVATE_H
#define GATEPOST_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "tls/tls.h"

/* One connection's TLS. Owned by its socket, which frees it. */
struct tls_layer {
    SSL *ssl;
    struct socket *socket;
    tls_done_fn *on_done; /* NULL once the handshake is over */
    void *ctx;
    void *keep; /* what the handshake's callbacks read; released when it is over */
    void (*release)(void *keep);
    char *peer_subject;
    struct tls_peer_names *peer_names;
};

/* Puts a layer with `ssl` (owned from now on, also on failure) on the socket. `keep` is
 * released, once, when the handshake is over or the layer is freed. */
int tls_layer_start(struct socket *socket, SSL *ssl, void *keep, void (*release)(void *keep), tls_done_fn *on_done,
                    void *ctx, struct error *error) __attribute__((warn_unused_result));

/* The layer of a socket that speaks TLS and is past its handshake, or NULL. */
const struct tls_layer *tls_layer_of(const struct socket *socket);

/* Protocol versions, ciphers and modes for either direction. */
void tls_set_common(SSL_CTX *context);
int tls_use_certificate(SSL_CTX *context, const char *certificate_pem, const char *private_key_pem, struct error *error)
    __attribute__((warn_unused_result));
int tls_use_ca(SSL_CTX *context, const char *ca_pem, struct error *error) __attribute__((warn_unused_result));

/* "<doing>: <the library's reason>"; empties the library's error queue. Returns -1. */
int tls_library_error(struct error *error, enum error_kind kind, const char *doing);

/* peer.c; NULL is fine */
void tls_peer_names_free(struct tls_peer_names *names);

/* The BIO that joins the library to a socket's wire. */
BIO *tls_bio_new(struct socket *socket);

#endif
