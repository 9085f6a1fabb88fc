/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS for both directions, as a layer on a struct socket. Nothing outside this room names
 * the library. TLS 1.2 and up, no compression, no renegotiation; session tickets are not
 * accepted across identities.
 */
#ifndef GATEPOST_TLS_TLS_H
#define GATEPOST_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"
#include "loop/socket.h"

/* ---- server side: certificates and settings, shared by threads ---- */

struct tls_server; /* counted; immutable but for its certificates, which reload swaps */

struct tls_certificate_source {
    const char *server_name;     /* SNI name or "*.domain"; NULL: the default certificate */
    const char *certificate_pem; /* text, not a path; with its chain */
    const char *private_key_pem;
};

struct tls_server_config {
    const char *name;                                  /* for logs: the listener */
    const struct tls_certificate_source *certificates; /* the first without a name is the default */
    size_t certificate_count;                          /* 0: make a self-signed one for `hostname` */
    const char *hostname;
    const char *client_ca_pem; /* NULL: client certificates are not asked for */
    unsigned tickets;          /* TLS 1.3 tickets sent after a handshake; default 1 */
};

struct tls_server *tls_server_new(const struct tls_server_config *config, struct error *error);
/* Puts new certificates in place for handshakes to come. On failure the old ones stay. From
 * any thread. */
int tls_server_reload(struct tls_server *server, const struct tls_server_config *config, struct error *error)
    __attribute__((warn_unused_result));
/* Handshakes under way go on with what they began with. NULL is fine. */
void tls_server_free(struct tls_server *server);

/* NULL error: the handshake is done and the socket carries plaintext from now on. On error
 * close the socket. Called once, from the loop. The caller must not have unread clear-text
 * bytes (RFC 3207, section 4.2: check socket_read gives SOCKET_WAIT first). The caller bounds
 * the time by closing the socket. */
typedef void tls_done_fn(void *ctx, const struct error *error);
int tls_accept(struct socket *socket, struct tls_server *server, tls_done_fn *on_done, void *ctx, struct error *error)
    __attribute__((warn_unused_result));

/* ---- client side ---- */

struct tls_client; /* counted; one per kind of demand */

enum tls_verify { TLS_VERIFY_NONE, TLS_VERIFY_HOST };

struct tls_client_config {
    enum tls_verify verify;
    const char *ca_pem;          /* NULL: the system's store */
    const char *certificate_pem; /* our client certificate, or NULL */
    const char *private_key_pem;
};

struct tls_client *tls_client_new(const struct tls_client_config *config, struct error *error);
struct tls_client *tls_client_ref(struct tls_client *client);
void tls_client_unref(struct tls_client **client);
int tls_connect(struct socket *socket, struct tls_client *client, const char *server_name, tls_done_fn *on_done,
                void *ctx, struct error *error) __attribute__((warn_unused_result));

/* ---- what was agreed: valid while the socket lives; "" or NULL without TLS ---- */

const char *tls_protocol(const struct socket *socket); /* "TLSv1.3" */
const char *tls_cipher(const struct socket *socket);   /* "TLS_AES_128_GCM_SHA256" */
/* The verified peer certificate's subject (RFC 2253 form), or NULL. */
const char *tls_peer_subject(struct socket *socket);
/* The verified peer certificate's subject alternative names (RFC 5280, section 4.2.1.6): printable ASCII, the first
 * TLS_PEER_NAMES_MOST of each kind; NULL without such a certificate. Made when first asked for. */
#define TLS_PEER_NAMES_MOST 16
struct tls_peer_names {
    char *emails[TLS_PEER_NAMES_MOST];
    size_t email_count;
    char *dns_names[TLS_PEER_NAMES_MOST];
    size_t dns_name_count;
};
const struct tls_peer_names *tls_peer_names(struct socket *socket);
const char *tls_server_name(const struct socket *socket); /* SNI, or NULL */
bool tls_is_on(const struct socket *socket);

/* From now on the peer sends no secrets: what was decrypted and read is no longer wiped, which costs as much as
 * decrypting it. Until then it is, so that a password does not stay in buffers that were given back. Without TLS:
 * nothing. */
void tls_expect_no_secrets(struct socket *socket);

enum tls_binding { TLS_BINDING_EXPORTER, TLS_BINDING_SERVER_END_POINT };
/* True when the connection has one of them; costs nothing, while making one takes hashing. */
bool tls_can_bind(const struct socket *socket);
/* Channel binding data (RFC 9266, RFC 5929); -1 when the connection has none. */
int tls_channel_binding(struct socket *socket, enum tls_binding binding, struct buf *out)
    __attribute__((warn_unused_result));

/* ---- other services of the library ---- */

/* Self-signed ECDSA P-256 certificate, PEM, for `hostname`; the caller frees both (the key
 * with secret_free). */
int tls_make_self_signed(const char *hostname, unsigned days, char **certificate_pem_out, char **private_key_pem_out,
                         struct error *error) __attribute__((warn_unused_result));

const char *tls_library_version(void);

#endif
