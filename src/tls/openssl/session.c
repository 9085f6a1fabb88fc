/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection with OpenSSL: the handshake, records both ways, and what was agreed.
 */
#include "tls/openssl/openssl_private.h"

#include <openssl/err.h>

#include "base/cidr.h"

static SSL *ssl_of(const struct tls_session *session) { return (SSL *)(uintptr_t)session; }

int openssl_error(struct error *error, enum error_kind kind, const char *doing)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    error_set(error, kind, "%s", reason ? reason : "the connection was cut");
    if (doing)
        error_prefix(error, "%s", doing);
    ERR_clear_error();
    return -1;
}

/* An error of another session on this thread would pass for this one's. Nearly always there is none, and looking is
 * cheaper than clearing. */
static void forget_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

/* ---- beginning and end ---- */

static SSL *start(struct tls_settings *settings, struct tls_layer *layer, struct error *error)
{
    SSL *ssl = SSL_new(openssl_context(settings));
    BIO *bio;

    if (!ssl || !SSL_set_app_data(ssl, layer)) {
        openssl_error(error, ERROR_TEMP, NULL);
        SSL_free(ssl);
        return NULL;
    }
    bio = openssl_bio_new(layer->socket);
    SSL_set_bio(ssl, bio, bio);
    return ssl;
}

struct tls_session *tls_session_accept(struct tls_settings *settings, struct tls_layer *layer, struct error *error)
{
    SSL *ssl = start(settings, layer, error);

    if (ssl)
        SSL_set_accept_state(ssl);
    return (struct tls_session *)ssl;
}

/* A host name goes into SNI and is checked as one; an address literal is checked as an
 * address and has no SNI (RFC 6066, section 3). */
static int set_peer_name(SSL *ssl, enum tls_verify verify, const char *server_name)
{
    struct ip ip;
    bool is_address = ip_parse(span_of(server_name), &ip) == 0;

    if (!is_address && !SSL_set_tlsext_host_name(ssl, server_name))
        return -1;
    if (verify == TLS_VERIFY_NONE)
        return 0;
    if (is_address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server_name) ? 0 : -1;
    return SSL_set1_host(ssl, server_name) ? 0 : -1;
}

struct tls_session *tls_session_connect(struct tls_settings *settings, struct tls_layer *layer, enum tls_verify verify,
                                        const char *server_name, struct error *error)
{
    SSL *ssl = start(settings, layer, error);

    if (!ssl)
        return NULL;
    if (set_peer_name(ssl, verify, server_name)) {
        SSL_free(ssl);
        error_set(error, ERROR_TEMP, "'%s' cannot be a TLS server name", server_name);
        return NULL;
    }
    SSL_set_connect_state(ssl);
    return (struct tls_session *)ssl;
}

void tls_session_free(struct tls_session *session) { SSL_free(ssl_of(session)); }

/* ---- bytes ---- */

enum tls_handshake tls_session_handshake(struct tls_session *session, struct error *error)
{
    int status;

    forget_errors();
    status = SSL_do_handshake(ssl_of(session));
    if (status == 1)
        return TLS_HANDSHAKE_DONE;
    if (SSL_get_error(ssl_of(session), status) == SSL_ERROR_WANT_READ)
        return TLS_HANDSHAKE_WAITS;
    openssl_error(error, ERROR_TEMP, NULL);
    return TLS_HANDSHAKE_FAILED;
}

ssize_t tls_session_read(struct tls_session *session, void *data, size_t len, struct error *error)
{
    size_t got;

    forget_errors();
    if (SSL_read_ex(ssl_of(session), data, len, &got))
        return (ssize_t)got;
    switch (SSL_get_error(ssl_of(session), 0)) {
    case SSL_ERROR_WANT_READ:
        return SOCKET_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        return SOCKET_EOF;
    default:
        openssl_error(error, ERROR_TEMP, NULL);
        return SOCKET_ERROR;
    }
}

int tls_session_write(struct tls_session *session, const void *data, size_t len, struct error *error)
{
    size_t written;

    forget_errors();
    /* the BIO takes everything, so a write is whole or the connection is broken */
    if (SSL_write_ex(ssl_of(session), data, len, &written) && written == len)
        return 0;
    return openssl_error(error, ERROR_TEMP, NULL);
}

bool tls_session_has_unread(const struct tls_session *session) { return SSL_has_pending(ssl_of(session)) == 1; }

void tls_session_close_notify(struct tls_session *session)
{
    forget_errors();
    if (SSL_is_init_finished(ssl_of(session)))
        SSL_shutdown(ssl_of(session));
    forget_errors();
}

void tls_session_stop_wiping(struct tls_session *session)
{
    SSL_clear_options(ssl_of(session), SSL_OP_CLEANSE_PLAINTEXT);
}

/* ---- what was agreed ---- */

const char *tls_session_protocol(const struct tls_session *session) { return SSL_get_version(ssl_of(session)); }

const char *tls_session_cipher(const struct tls_session *session) { return SSL_get_cipher_name(ssl_of(session)); }

const char *tls_session_server_name(const struct tls_session *session)
{
    return SSL_get_servername(ssl_of(session), TLSEXT_NAMETYPE_host_name);
}

bool tls_session_has_unique_exporter(const struct tls_session *session)
{
    return SSL_version(ssl_of(session)) >= TLS1_3_VERSION || SSL_get_extms_support(ssl_of(session)) == 1;
}

int tls_session_export(struct tls_session *session, struct span label, unsigned char *out, size_t len)
{
    return SSL_export_keying_material(ssl_of(session), out, len, label.data, label.len, NULL, 0, 0) == 1 ? 0 : -1;
}

X509 *tls_session_verified_peer(const struct tls_session *session)
{
    if (SSL_get_verify_result(ssl_of(session)) != X509_V_OK || SSL_get_verify_mode(ssl_of(session)) == SSL_VERIFY_NONE)
        return NULL;
    return SSL_get1_peer_certificate(ssl_of(session));
}

X509 *tls_session_server_certificate(const struct tls_session *session)
{
    X509 *own;

    if (!SSL_is_server(ssl_of(session)))
        return SSL_get1_peer_certificate(ssl_of(session));
    own = SSL_get_certificate(ssl_of(session));
    if (own)
        X509_up_ref(own);
    return own;
}
