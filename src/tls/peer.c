/* SPDX-License-Identifier: Apache-2.0
 *
 * Who the peer's certificate says it is. Only a certificate that was verified says anything; and of its names only
 * those that are plain text: a NUL or a line end in one is somebody's attempt to be taken for another.
 */
#include "tls/tls_private.h"

#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"

static char *format_name(X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    long len;
    char *text;

    MUST(bio != NULL);
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
    len = BIO_get_mem_data(bio, &data);
    text = mem_strndup(data, len > 0 ? (size_t)len : 0);
    BIO_free(bio);
    return text;
}

static X509 *verified_certificate(const struct tls_layer *layer)
{
    return layer && !layer->on_done ? tls_session_verified_peer(layer->session) : NULL;
}

const char *tls_peer_subject(struct socket *socket)
{
    struct tls_layer *layer = socket_layer(socket);
    X509 *certificate;

    if (layer && layer->peer_subject)
        return layer->peer_subject;
    certificate = verified_certificate(layer);
    if (!certificate)
        return NULL;
    layer->peer_subject = format_name(X509_get_subject_name(certificate));
    X509_free(certificate);
    return layer->peer_subject;
}

/* ---- subject alternative names ---- */

static void add(const ASN1_IA5STRING *string, char **names, size_t *count)
{
    const unsigned char *data = ASN1_STRING_get0_data(string);
    int len = ASN1_STRING_length(string);

    if (*count == TLS_PEER_NAMES_MOST || len <= 0)
        return;
    for (int i = 0; i < len; i++)
        if (data[i] <= ' ' || data[i] > '~')
            return;
    names[(*count)++] = mem_strndup((const char *)data, (size_t)len);
}

static struct tls_peer_names *read_names(const X509 *certificate)
{
    struct tls_peer_names *names = mem_zalloc(sizeof *names);
    GENERAL_NAMES *list = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);

        if (name->type == GEN_EMAIL)
            add(name->d.rfc822Name, names->emails, &names->email_count);
        else if (name->type == GEN_DNS)
            add(name->d.dNSName, names->dns_names, &names->dns_name_count);
    }
    GENERAL_NAMES_free(list);
    return names;
}

const struct tls_peer_names *tls_peer_names(struct socket *socket)
{
    struct tls_layer *layer = socket_layer(socket);
    X509 *certificate;

    if (layer && layer->peer_names)
        return layer->peer_names;
    certificate = verified_certificate(layer);
    if (!certificate)
        return NULL;
    layer->peer_names = read_names(certificate);
    X509_free(certificate);
    return layer->peer_names;
}

void tls_peer_names_free(struct tls_peer_names *names)
{
    if (!names)
        return;
    for (size_t i = 0; i < names->email_count; i++)
        free(names->emails[i]);
    for (size_t i = 0; i < names->dns_name_count; i++)
        free(names->dns_names[i]);
    free(names);
}
