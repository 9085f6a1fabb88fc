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

    return layer ? tls_session_protocol(layer->session) : "";
}

const char *tls_cipher(const struct socket *socket)
{
    const struct tls_layer *layer = tls_layer_of(socket);

    return layer ? tls_session_cipher(layer->session) : "";
}

const char *tls_server_name(const struct socket *socket)
{
    const struct tls_layer *layer = tls_layer_of(socket);

    return layer ? tls_session_server_name(layer->session) : NULL;
}

static int bind_exporter(struct tls_session *session, struct buf *out)
{
    unsigned char binding[BINDING_BYTES];

    if (!tls_session_has_unique_exporter(session) ||
        tls_session_export(session, SPAN_LIT("EXPORTER-Channel-Binding"), binding, sizeof binding))
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

/* Its length; 0 when the certificate has none. */
static unsigned digest_end_point(const struct tls_session *session, unsigned char binding[EVP_MAX_MD_SIZE])
{
    X509 *certificate = tls_session_server_certificate(session);
    const EVP_MD *digest = certificate ? end_point_digest(certificate) : NULL;
    unsigned len = 0;

    if (digest && !X509_digest(certificate, digest, binding, &len))
        len = 0;
    X509_free(certificate);
    return len;
}

static int bind_end_point(const struct tls_session *session, struct buf *out)
{
    unsigned char binding[EVP_MAX_MD_SIZE];
    unsigned len = digest_end_point(session, binding);

    return len > 0 ? buf_append(out, binding, len) : -1;
}

bool tls_can_bind(const struct socket *socket)
{
    const struct tls_layer *layer = tls_layer_of(socket);
    unsigned char binding[EVP_MAX_MD_SIZE];

    /* all but the oldest clients have the first */
    return layer && (tls_session_has_unique_exporter(layer->session) || digest_end_point(layer->session, binding) > 0);
}

int tls_channel_binding(struct socket *socket, enum tls_binding binding, struct buf *out)
{
    const struct tls_layer *layer = tls_layer_of(socket);

    if (!layer)
        return -1;
    return binding == TLS_BINDING_EXPORTER ? bind_exporter(layer->session, out) : bind_end_point(layer->session, out);
}
