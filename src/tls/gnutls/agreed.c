/* SPDX-License-Identifier: Apache-2.0
 *
 * What a finished handshake agreed on. Ciphers have the names that OpenSSL gives them,
 * because those stand in logs and policies.
 */
#include "tls/gnutls/gnutls_private.h"

#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *theirs;
    const char *ours;
} cipher_names[] = {
    {"TLS_ECDHE_ECDSA_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_RSA_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_ECDSA_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_RSA_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_ECDSA_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
};

const char *tls_session_protocol(const struct tls_session *session)
{
    return gnutls_protocol_get_version(session->library) == GNUTLS_TLS1_3 ? "TLSv1.3" : "TLSv1.2";
}

const char *tls_session_cipher(const struct tls_session *session)
{
    const char *name = gnutls_ciphersuite_get(session->library);

    for (size_t i = 0; name && i < sizeof cipher_names / sizeof *cipher_names; i++)
        if (strcmp(name, cipher_names[i].theirs) == 0)
            return cipher_names[i].ours;
    return name ? name : ""; /* those of TLS 1.3 are called the same */
}

const char *tls_session_server_name(const struct tls_session *session) { return session->server_name; }

bool tls_session_has_unique_exporter(const struct tls_session *session)
{
    return gnutls_protocol_get_version(session->library) >= GNUTLS_TLS1_3 ||
           gnutls_session_ext_master_secret_status(session->library) != 0;
}

int tls_session_export(struct tls_session *session, struct span label, unsigned char *out, size_t len)
{
    return gnutls_prf_rfc5705(session->library, label.len, label.data, 0, NULL, len, (char *)out) ? -1 : 0;
}

static X509 *parse(const gnutls_datum_t *der)
{
    const unsigned char *data = der ? der->data : NULL;

    return data ? d2i_X509(NULL, &data, (long)der->size) : NULL;
}

X509 *tls_session_verified_peer(const struct tls_session *session)
{
    unsigned count;

    return session->verifies ? parse(gnutls_certificate_get_peers(session->library, &count)) : NULL;
}

X509 *tls_session_server_certificate(const struct tls_session *session)
{
    unsigned count;

    return parse(session->is_server ? gnutls_certificate_get_ours(session->library)
                                    : gnutls_certificate_get_peers(session->library, &count));
}

static char version[96];
static pthread_once_t version_once = PTHREAD_ONCE_INIT;

/* certificates and digests are still OpenSSL's */
static void make_version(void)
{
    snprintf(version, sizeof version, "GnuTLS %s\n%s", gnutls_check_version(NULL), OpenSSL_version(OPENSSL_VERSION));
}

const char *tls_library_version(void)
{
    pthread_once(&version_once, make_version);
    return version;
}
