/* SPDX-License-Identifier: Apache-2.0
 *
 * What a finished handshake agreed on, and the bindings that tie a SASL exchange to it
 * (RFC 9266 tls-exporter, RFC 5929 tls-server-end-point).
 */
#include "tls/tls_private.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#define BINDING_BYTES 32

bool tls_is_on(const struct socket *socket) { return tls_layer_of(socket) != NULL; }

const char *tls_protocol(const struct socket *socket)
{
    const struct tls_layer *layer = tls_layer_of(socket);

    return layer ? SSL_get_version(layer->ssl) : "";
}

const char *tls_cipher(const struct socket *socket)
{
    const struct tls_layer *layer = tls_layer_of(socket);

    return layer ? SSL_get_cipher_name(layer->ssl) : "";
}

const char *tls_server_name(const struct socket *socket)
{
    const struct tls_layer *layer = tls_layer_of(socket);

    return layer ? SSL_get_servername(layer->ssl, TLSEXT_NAMETYPE_host_name) : NULL;
}

static int bind_exporter(SSL *ssl, struct buf *out)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    unsigned char binding[BINDING_BYTES];

    /* before TLS 1.3 the exporter is unique only with the extended master secret (RFC 9266, 4.2) */
    if (SSL_version(ssl) < TLS1_3_VERSION && !SSL_get_extms_support(ssl))
        return -1;
    if (SSL_export_keying_material(ssl, binding, sizeof binding, label, sizeof label - 1, NULL, 0, 0) != 1)
        return -1;
    return buf_append(out, binding, sizeof binding);
}

/* The certificate's own signature hash, but never weaker than SHA-256 (RFC 5929, 4.1). */
static const EVP_MD *end_point_digest(const X509 *certificate)
{
    int digest = NID_undef;

    if (!OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &digest, NULL) || digest == NID_undef)
        return NULL;
    if (digest == NID_md5 || digest == NID_sha1)
        digest = NID_sha256;
    return EVP_get_digestbynid(digest);
}

static X509 *server_certificate(SSL *ssl)
{
    return SSL_is_server(ssl) ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl);
}

static int bind_end_point(SSL *ssl, struct buf *out)
{
    X509 *certificate = server_certificate(ssl);
    unsigned char binding[EVP_MAX_MD_SIZE];
    const EVP_MD *digest = certificate ? end_point_digest(certificate) : NULL;
    unsigned len;

    if (!digest || !X509_digest(certificate, digest, binding, &len))
        return -1;
    return buf_append(out, binding, len);
}

bool tls_can_bind(const struct socket *socket)
{
    const struct tls_layer *layer = tls_layer_of(socket);
    X509 *certificate = layer ? server_certificate(layer->ssl) : NULL;

    return layer && (SSL_version(layer->ssl) >= TLS1_3_VERSION || (certificate && end_point_digest(certificate)));
}

int tls_channel_binding(struct socket *socket, enum tls_binding binding, struct buf *out)
{
    const struct tls_layer *layer = tls_layer_of(socket);

    if (!layer)
        return -1;
    return binding == TLS_BINDING_EXPORTER ? bind_exporter(layer->ssl, out) : bind_end_point(layer->ssl, out);
}
