/* SPDX-License-Identifier: Apache-2.0
 *
 * The client side: one context per kind of demand (verified or not, which CA).
 */
#include "tls/tls_private.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/cidr.h"
#include "base/mem.h"
#include "base/must.h"

struct tls_client {
    atomic_uint refs;
    enum tls_verify verify;
    SSL_CTX *context;
};

static int configure(struct tls_client *client, const struct tls_client_config *config, struct error *error)
{
    tls_set_common(client->context);
    if (config->certificate_pem &&
        tls_use_certificate(client->context, config->certificate_pem, config->private_key_pem, error))
        return -1;
    if (config->verify == TLS_VERIFY_NONE)
        return 0;
    SSL_CTX_set_verify(client->context, SSL_VERIFY_PEER, NULL);
    if (config->ca_pem)
        return tls_use_ca(client->context, config->ca_pem, error);
    if (!SSL_CTX_set_default_verify_paths(client->context))
        return tls_library_error(error, ERROR_TEMP, "cannot read the system's CA certificates");
    return 0;
}

struct tls_client *tls_client_new(const struct tls_client_config *config, struct error *error)
{
    struct tls_client *client = mem_zalloc(sizeof *client);

    atomic_init(&client->refs, 1);
    client->verify = config->verify;
    client->context = SSL_CTX_new(TLS_client_method());
    MUST(client->context != NULL);
    if (configure(client, config, error))
        tls_client_unref(&client);
    return client;
}

struct tls_client *tls_client_ref(struct tls_client *client)
{
    atomic_fetch_add(&client->refs, 1);
    return client;
}

void tls_client_unref(struct tls_client **client)
{
    struct tls_client *gone = *client;

    *client = NULL;
    if (!gone || atomic_fetch_sub(&gone->refs, 1) != 1)
        return;
    SSL_CTX_free(gone->context);
    free(gone);
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

int tls_connect(struct socket *socket, struct tls_client *client, const char *server_name, tls_done_fn *on_done,
                void *ctx, struct error *error)
{
    SSL *ssl = SSL_new(client->context);

    if (!ssl)
        return tls_library_error(error, ERROR_TEMP, "cannot start TLS");
    if (set_peer_name(ssl, client->verify, server_name)) {
        SSL_free(ssl);
        return error_set(error, ERROR_TEMP, "'%s' cannot be a TLS server name", server_name);
    }
    SSL_set_connect_state(ssl);
    return tls_layer_start(socket, ssl, NULL, NULL, on_done, ctx, error);
}
