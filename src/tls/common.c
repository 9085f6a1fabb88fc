/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings that hold in both directions, and reading PEM text. AES-128 stands first: it is
 * as safe as the session needs and measurably cheaper per handshake.
 */
#include "tls/tls_private.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/must.h"

#define TLS13_CIPHERS "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
#define TLS12_CIPHERS                                                                                                  \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"                         \
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"

void tls_set_common(SSL_CTX *context)
{
    MUST(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION));
    MUST(SSL_CTX_set_ciphersuites(context, TLS13_CIPHERS));
    MUST(SSL_CTX_set_cipher_list(context, TLS12_CIPHERS));
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA);
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

int tls_use_certificate(SSL_CTX *context, const char *certificate_pem, const char *private_key_pem, struct error *error)
{
    BIO *bio = memory_of(private_key_pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    int status = -1;

    BIO_free(bio);
    if (!key)
        return tls_library_error(error, ERROR_PERM, "cannot read the private key");
    if (use_chain(context, certificate_pem))
        tls_library_error(error, ERROR_PERM, "cannot read the certificate");
    else if (!SSL_CTX_use_PrivateKey(context, key) || !SSL_CTX_check_private_key(context))
        tls_library_error(error, ERROR_PERM, "the private key does not belong to the certificate");
    else
        status = 0;
    EVP_PKEY_free(key);
    return status;
}

int tls_use_ca(SSL_CTX *context, const char *ca_pem, struct error *error)
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

const char *tls_library_version(void) { return OpenSSL_version(OPENSSL_VERSION); }
