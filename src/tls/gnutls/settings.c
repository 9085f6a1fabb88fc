/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings of both directions with GnuTLS: credentials, and the ciphers. AES-128 stands
 * first: it is as safe as the session needs and measurably cheaper per handshake. A client
 * without AES in hardware puts ChaCha20 first, and gets it.
 */
#include "tls/gnutls/gnutls_private.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"

/* ---- ciphers ---- */

#define VERSIONS "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+CTYPE-X509:+COMP-NULL:+AEAD:+ECDHE-ECDSA:+ECDHE-RSA"
#define REST                                                                                                           \
    "+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:+GROUP-X448:"                                    \
    "+SIGN-ALL:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1:-SIGN-DSA-SHA1:-SIGN-DSA-SHA224:%SERVER_PRECEDENCE:%PROFILE_MEDIUM"

static gnutls_priority_t orders[2]; /* [1]: ChaCha20 first */
static pthread_once_t priorities_once = PTHREAD_ONCE_INIT;

static void make_priorities(void)
{
    MUST(!gnutls_priority_init(&orders[0], VERSIONS ":+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM:" REST, NULL));
    MUST(!gnutls_priority_init(&orders[1], VERSIONS ":+CHACHA20-POLY1305:+AES-128-GCM:+AES-256-GCM:" REST, NULL));
}

/* The client's suites (RFC 8446, section 4.1.2), cut off where the message is. */
static struct span suites_of(const gnutls_datum_t *client_hello)
{
    struct span rest = span_from(span_make((const char *)client_hello->data, client_hello->size), 2 + 32);
    size_t len;

    rest = span_from(rest, rest.len > 0 ? 1u + (unsigned char)rest.data[0] : 0); /* session id */
    if (rest.len < 2)
        return SPAN_LIT("");
    len = (size_t)(unsigned char)rest.data[0] << 8 | (unsigned char)rest.data[1];
    return span_head(span_from(rest, 2), len);
}

static bool is_grease(unsigned suite) { return (suite & 0x0f0f) == 0x0a0a; } /* RFC 8701 */

bool prefers_chacha(const gnutls_datum_t *client_hello)
{
    for (struct span rest = suites_of(client_hello); rest.len >= 2; rest = span_from(rest, 2)) {
        unsigned suite = (unsigned)(unsigned char)rest.data[0] << 8 | (unsigned char)rest.data[1];

        if (!is_grease(suite)) /* TLS 1.3, and ECDHE with RSA and ECDSA (RFC 7905) */
            return suite == 0x1303 || suite == 0xcca8 || suite == 0xcca9;
    }
    return false;
}

gnutls_priority_t priorities(bool chacha_first)
{
    pthread_once(&priorities_once, make_priorities);
    return orders[chacha_first];
}

/* ---- certificates ---- */

static gnutls_datum_t datum_of(const char *text)
{
    return (gnutls_datum_t){.data = (unsigned char *)(uintptr_t)text, .size = (unsigned)strlen(text)};
}

static int use_certificate(struct tls_settings *settings, const char *certificate_pem, const char *private_key_pem,
                           struct error *error)
{
    gnutls_datum_t certificate = datum_of(certificate_pem);
    gnutls_datum_t key = datum_of(private_key_pem);
    /* a key that wants a passphrase is refused, not prompted for */
    int status =
        gnutls_certificate_set_x509_key_mem2(settings->credentials, &certificate, &key, GNUTLS_X509_FMT_PEM, NULL, 0);

    if (status < 0)
        return error_set(error, ERROR_PERM, "cannot use the certificate with its private key: %s",
                         gnutls_strerror(status));
    return 0;
}

static int use_ca(struct tls_settings *settings, const char *ca_pem, struct error *error)
{
    gnutls_datum_t ca = datum_of(ca_pem);

    if (gnutls_certificate_set_x509_trust_mem(settings->credentials, &ca, GNUTLS_X509_FMT_PEM) <= 0)
        return error_set(error, ERROR_PERM, "the CA file holds no certificate in PEM form");
    return 0;
}

static struct tls_settings *empty(void)
{
    struct tls_settings *settings = mem_zalloc(sizeof *settings);

    MUST(!gnutls_certificate_allocate_credentials(&settings->credentials));
    return settings;
}

struct tls_settings *tls_settings_for_server(const struct tls_server_config *config,
                                             const struct tls_certificate_source *source,
                                             const unsigned char ticket_secret[TLS_TICKET_SECRET_BYTES],
                                             struct error *error)
{
    struct tls_settings *settings = empty();

    settings->tickets = config->tickets;
    settings->asks_for_certificate = config->client_ca_pem != NULL;
    memcpy(settings->ticket_secret, ticket_secret, TLS_TICKET_SECRET_BYTES);
    if (use_certificate(settings, source->certificate_pem, source->private_key_pem, error))
        goto fail;
    if (config->client_ca_pem && use_ca(settings, config->client_ca_pem, error)) {
        error_prefix(error, "client CA");
        goto fail;
    }
    return settings;
fail:
    tls_settings_free(settings);
    return NULL;
}

static int configure_client(struct tls_settings *settings, const struct tls_client_config *config, struct error *error)
{
    int status;

    if (config->certificate_pem && use_certificate(settings, config->certificate_pem, config->private_key_pem, error))
        return -1;
    if (config->verify == TLS_VERIFY_NONE)
        return 0;
    if (config->ca_pem)
        return use_ca(settings, config->ca_pem, error);
    status = gnutls_certificate_set_x509_system_trust(settings->credentials);
    if (status < 0)
        return error_set(error, ERROR_TEMP, "cannot read the system's CA certificates: %s", gnutls_strerror(status));
    return 0;
}

struct tls_settings *tls_settings_for_client(const struct tls_client_config *config, struct error *error)
{
    struct tls_settings *settings = empty();

    if (configure_client(settings, config, error)) {
        tls_settings_free(settings);
        return NULL;
    }
    return settings;
}

void tls_settings_free(struct tls_settings *settings)
{
    if (!settings)
        return;
    gnutls_certificate_free_credentials(settings->credentials);
    secret_wipe(settings->ticket_secret, sizeof settings->ticket_secret);
    free(settings);
}
