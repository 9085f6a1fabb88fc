/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this back end share. The opaque structs of the room are the library's own
 * objects here, so nothing is allocated twice: settings are an SSL_CTX, a session is an SSL.
 */
#ifndef GATEPOST_TLS_OPENSSL_PRIVATE_H
#define GATEPOST_TLS_OPENSSL_PRIVATE_H

#include <openssl/ssl.h>

#include "tls/tls_private.h"

static inline SSL_CTX *openssl_context(struct tls_settings *settings) { return (SSL_CTX *)settings; }
static inline struct tls_settings *openssl_settings(SSL_CTX *context) { return (struct tls_settings *)context; }

/* "<doing>: <the library's reason>", or the reason alone without `doing`; empties the library's error queue.
 * Returns -1. */
int openssl_error(struct error *error, enum error_kind kind, const char *doing);

/* The BIO that joins the library to a socket's wire. */
BIO *openssl_bio_new(struct socket *socket);

#endif
