/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this back end share. GnuTLS keeps a reference to credentials for as long
 * as a session lives; whoever owns the settings is kept by the session's layer.
 */
#ifndef GATEPOST_TLS_GNUTLS_PRIVATE_H
#define GATEPOST_TLS_GNUTLS_PRIVATE_H

#include <gnutls/gnutls.h>

#include "tls/tls_private.h"

struct tls_settings {
    gnutls_certificate_credentials_t credentials;
    unsigned char ticket_secret[TLS_TICKET_SECRET_BYTES];
    unsigned tickets;
    bool asks_for_certificate;
};

struct tls_session {
    gnutls_session_t library;
    struct tls_layer *layer;
    unsigned tickets; /* to send after the handshake */
    bool is_server;
    bool verifies; /* a certificate that the peer shows is verified, or the handshake fails */
    bool is_shaken;
    bool keeps_plaintext; /* what was read is not wiped */
    char *server_name;    /* SNI, ours or the client's; NULL without */
    char *called;         /* by us, whom to verify: a name or an address; NULL for nobody */

    gnutls_packet_t record; /* decrypted, read up to record_start; NULL when none is */
    size_t record_start;

    /* wire.c: taken from the wire, not yet read by the library; NULL when nothing is */
    unsigned char *ahead;
    size_t ahead_start, ahead_end;
    bool is_dry; /* the wire had nothing more */
};

/* "<the library's reason>", with what a certificate lacks or the peer's alert said. Returns -1. */
int gnutls_error(const struct tls_session *session, struct error *error, int status);

/* wire.c */
void wire_join(struct tls_session *session);
/* After every call that may have read: an idle session keeps no buffer. */
void wire_settle(struct tls_session *session);

/* settings.c: TLS 1.2 and 1.3 with our ciphers, in our order or with ChaCha20 first. */
gnutls_priority_t priorities(bool chacha_first);
/* What the client would have first (RFC 8446, section 4.1.2; RFC 8701). */
bool prefers_chacha(const gnutls_datum_t *client_hello);

/* verdict.c: has the peer's certificate verified in the handshake. */
void verify_peer(struct tls_session *session);

#endif
