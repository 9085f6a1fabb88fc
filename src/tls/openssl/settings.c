/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings of both directions with OpenSSL, where they are an SSL_CTX, and reading PEM text.
 * AES-128 stands first: it is as safe as the session needs and measurably cheaper per
 * handshake.
 */
#include "tls/openssl/openssl_private.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/must.h"

#define TLS13_CIPHERS "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
#define TLS12_CIPHERS                                                                                                  \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"                         \
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"

static void set_common(SSL_CTX *context)
{
    MUST(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION));
    MUST(SSL_CTX_set_ciphersuites(context, TLS13_CIPHERS));
    MUST(SSL_CTX_set_cipher_list(context, TLS12_CIPHERS));
    SSL_CTX_set_options(context,
                        SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                            SSL_OP_PRIORITIZE_CHACHA |
                            SSL_OP_CLEANSE_PLAINTEXT); /* else passwords stay in buffers that were given back */
    /* an idle session keeps no record buffers */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

static BIO *memory_of(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);

    MUST(bio != NULL);
    return bio;
}

/* A key that wants a passphrase is refused, not prompted for. */
static int no_passphrase(char *out, int size, int writing, void *ctx)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static int add_chain(SSL_CTX *context, BIO *bio)
{
    X509 *certificate;

    while ((certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)))
        if (!SSL_CTX_add0_chain_cert(context, certificate)) {
            X509_free(certificate);
            return -1;
        }
    ERR_clear_error(); /* the end of the text is reported as an error */
    return 0;
}

static int use_chain(SSL_CTX *context, const char *certificate_pem)
{
    BIO *bio = memory_of(certificate_pem);
    X509 *certificate = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
    int status = -1;

    if (certificate && SSL_CTX_use_certificate(context, certificate))
        status = add_chain(context, bio);
    X509_free(certificate);
    BIO_free(bio);
    return status;
}

static int use_certificate(SSL_CTX *context, const char *certificate_pem, const char *private_key_pem,
                           struct error *error)
{
    BIO *bio = memory_of(private_key_pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    int status = -1;

    BIO_free(bio);
    if (!key)
        return openssl_error(error, ERROR_PERM, "cannot read the private key");
    if (use_chain(context, certificate_pem))
        openssl_error(error, ERROR_PERM, "cannot read the certificate");
    else if (!SSL_CTX_use_PrivateKey(context, key) || !SSL_CTX_check_private_key(context))
        openssl_error(error, ERROR_PERM, "the private key does not belong to the certificate");
    else
        status = 0;
    EVP_PKEY_free(key);
    return status;
}

static int use_ca(SSL_CTX *context, const char *ca_pem, struct error *error)
{
    BIO *bio = memory_of(ca_pem);
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    X509 *certificate;
    int count = 0;

    while ((certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
        X509_STORE_add_cert(store, certificate);
        SSL_CTX_add_client_CA(context, certificate);
        X509_free(certificate);
        count++;
    }
    BIO_free(bio);
    ERR_clear_error();
    if (count == 0)
        return error_set(error, ERROR_PERM, "the CA file holds no certificate in PEM form");
    return 0;
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    struct tls_settings *settings = name ? tls_settings_for_name(SSL_get_app_data(ssl), name) : NULL;

    (void)alert;
    (void)arg;
    if (settings)
        SSL_set_SSL_CTX(ssl, openssl_context(settings));
    return SSL_TLSEXT_ERR_OK;
}

static int ask_for_client_certificate(SSL_CTX *context, const char *ca_pem, struct error *error)
{
    if (use_ca(context, ca_pem, error))
        return error_prefix(error, "client CA");
    /* one that is shown must verify; showing none is for policy to judge */
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return 0;
}

struct tls_settings *tls_settings_for_server(const struct tls_server_config *config,
                                             const struct tls_certificate_source *source,
                                             const unsigned char ticket_secret[TLS_TICKET_SECRET_BYTES],
                                             struct error *error)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    MUST(context != NULL);
    set_common(context);
    SSL_CTX_set_num_tickets(context, config->tickets);
    if (config->tickets == 0)
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    /* the library has made keys for tickets; that they are not accepted elsewhere is said again by this mark */
    MUST(SSL_CTX_set_session_id_context(context, ticket_secret, SSL_MAX_SID_CTX_LENGTH));
    SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
    if (use_certificate(context, source->certificate_pem, source->private_key_pem, error) ||
        (config->client_ca_pem && ask_for_client_certificate(context, config->client_ca_pem, error))) {
        SSL_CTX_free(context);
        return NULL;
    }
    return openssl_settings(context);
}

static int configure_client(SSL_CTX *context, const struct tls_client_config *config, struct error *error)
{
    set_common(context);
    if (config->certificate_pem && use_certificate(context, config->certificate_pem, config->private_key_pem, error))
        return -1;
    if (config->verify == TLS_VERIFY_NONE)
        return 0;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (config->ca_pem)
        return use_ca(context, config->ca_pem, error);
    if (!SSL_CTX_set_default_verify_paths(context))
        return openssl_error(error, ERROR_TEMP, "cannot read the system's CA certificates");
    return 0;
}

struct tls_settings *tls_settings_for_client(const struct tls_client_config *config, struct error *error)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    MUST(context != NULL);
    if (configure_client(context, config, error)) {
        SSL_CTX_free(context);
        return NULL;
    }
    return openssl_settings(context);
}

void tls_settings_free(struct tls_settings *settings) { SSL_CTX_free(openssl_context(settings)); }

const char *tls_library_version(void) { return OpenSSL_version(OPENSSL_VERSION); }
