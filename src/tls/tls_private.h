/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share. The room has two halves: what holds whatever library
 * speaks TLS (this folder: the layer on a socket, a server's set of certificates, names,
 * bindings) and the library (openssl/ or gnutls/, one of them is compiled), which implements
 * the second half of this file. Certificates are looked at with libcrypto in either case, so
 * that a name reads the same whoever shook hands.
 */
#ifndef GATEPOST_TLS_PRIVATE_H
#define GATEPOST_TLS_PRIVATE_H

#include <openssl/types.h>

#include "tls/tls.h"

/* One connection's TLS. Owned by its socket, which frees it. */
struct tls_layer {
    struct tls_session *session; /* the library's part of it */
    struct socket *socket;
    tls_done_fn *on_done; /* NULL once the handshake is over */
    void *ctx;
    void *keep; /* what `session` refers to: the server's set of certificates or the client's demand */
    void (*release)(void *keep);
    char *peer_subject;
    struct tls_peer_names *peer_names;
};

/* A layer without a session, which is to be given one and then started. It releases `keep`. */
struct tls_layer *tls_layer_new(struct socket *socket, void *keep, void (*release)(void *keep), tls_done_fn *on_done,
                                void *ctx);
void tls_layer_free(struct tls_layer *layer); /* before it was started; NULL is fine */

/* Puts the layer on its socket, which owns it from now on, also on failure. */
int tls_layer_start(struct tls_layer *layer, bool speaks_first, struct error *error)
    __attribute__((warn_unused_result));

/* The layer of a socket that speaks TLS and is past its handshake, or NULL. */
const struct tls_layer *tls_layer_of(const struct socket *socket);

/* server.c: the settings for the name that a client asked for, or NULL when it has no settings of its own. For the
 * library, in the handshake of a layer that was made by tls_accept. */
struct tls_settings *tls_settings_for_name(const struct tls_layer *layer, const char *name);

/* peer.c; NULL is fine */
void tls_peer_names_free(struct tls_peer_names *names);

/* ---- what the library does ---- */

/* How to shake hands: versions, ciphers, one certificate. Immutable; used by all threads. The sessions that were made
 * with it refer to it: whoever owns it is kept by their layers. */
struct tls_settings;

/* Whoever has the secret accepts the tickets that were made with it. */
#define TLS_TICKET_SECRET_BYTES 64

struct tls_settings *tls_settings_for_server(const struct tls_server_config *config,
                                             const struct tls_certificate_source *source,
                                             const unsigned char ticket_secret[TLS_TICKET_SECRET_BYTES],
                                             struct error *error);
struct tls_settings *tls_settings_for_client(const struct tls_client_config *config, struct error *error);
void tls_settings_free(struct tls_settings *settings); /* NULL is fine */

struct tls_session;

/* Each returns NULL with an error when it fails. */
struct tls_session *tls_session_accept(struct tls_settings *settings, struct tls_layer *layer, struct error *error);
struct tls_session *tls_session_connect(struct tls_settings *settings, struct tls_layer *layer, enum tls_verify verify,
                                        const char *server_name, struct error *error);
void tls_session_free(struct tls_session *session); /* NULL is fine */

enum tls_handshake { TLS_HANDSHAKE_DONE, TLS_HANDSHAKE_WAITS, TLS_HANDSHAKE_FAILED };
/* As far as the bytes go that are there. */
enum tls_handshake tls_session_handshake(struct tls_session *session, struct error *error);
/* Results as socket_read and socket_write; only after the handshake. */
ssize_t tls_session_read(struct tls_session *session, void *data, size_t len, struct error *error);
int tls_session_write(struct tls_session *session, const void *data, size_t len, struct error *error);
/* True when bytes are there, taken from the wire and not yet read, that no event will announce. */
bool tls_session_has_unread(const struct tls_session *session);
void tls_session_close_notify(struct tls_session *session);
/* Decrypted bytes are wiped once they are read, until this. */
void tls_session_stop_wiping(struct tls_session *session);

/* After the handshake. */
const char *tls_session_protocol(const struct tls_session *session);
const char *tls_session_cipher(const struct tls_session *session);
const char *tls_session_server_name(const struct tls_session *session);
/* Before TLS 1.3 the exporter is unique only with the extended master secret (RFC 9266, section 4.2). */
bool tls_session_has_unique_exporter(const struct tls_session *session);
int tls_session_export(struct tls_session *session, struct span label, unsigned char *out, size_t len)
    __attribute__((warn_unused_result));
/* The caller frees them; NULL when there is none. The peer's only if it was verified. */
X509 *tls_session_verified_peer(const struct tls_session *session);
X509 *tls_session_server_certificate(const struct tls_session *session);

#endif
