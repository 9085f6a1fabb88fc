/* SPDX-License-Identifier: Apache-2.0
 *
 * A certificate of our own for a listener that was given none: enough for a first run and
 * for links where the client does not verify; the operator is told to bring a real one.
 */
#include "tls/tls_private.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/cidr.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"

static int add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;
    int status;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (!extension)
        return -1;
    status = X509_add_ext(certificate, extension, -1) ? 0 : -1;
    X509_EXTENSION_free(extension);
    return status;
}

static int fill(X509 *certificate, EVP_PKEY *key, const char *hostname, unsigned days)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    struct ip ip;
    char *alternative = mem_printf("%s:%s", ip_parse(span_of(hostname), &ip) ? "DNS" : "IP", hostname);
    uint64_t serial;
    int status = -1;

    random_bytes(&serial, sizeof serial);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), (long)days * 86400);
    /* 64 octets is the most a common name may have (RFC 5280, A.1) */
    if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                   (const unsigned char *)(strlen(hostname) > 64 ? "gatepost" : hostname), -1, -1, 0) &&
        X509_set_issuer_name(certificate, name) && X509_set_pubkey(certificate, key) &&
        !add_extension(certificate, NID_subject_alt_name, alternative) &&
        !add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
        !add_extension(certificate, NID_ext_key_usage, "serverAuth") && X509_sign(certificate, key, EVP_sha256()))
        status = 0;
    free(alternative);
    return status;
}

static char *text_of(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);

    return mem_strndup(data, len > 0 ? (size_t)len : 0);
}

int tls_make_self_signed(const char *hostname, unsigned days, char **certificate_pem_out, char **private_key_pem_out,
                         struct error *error)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    BIO *certificate_pem = BIO_new(BIO_s_mem());
    BIO *key_pem = BIO_new(BIO_s_secmem());
    int status = -1;

    MUST(certificate && certificate_pem && key_pem);
    if (key && !fill(certificate, key, hostname, days) && PEM_write_bio_X509(certificate_pem, certificate) &&
        PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL)) {
        *certificate_pem_out = text_of(certificate_pem);
        *private_key_pem_out = text_of(key_pem);
        status = 0;
    } else {
        error_set(error, ERROR_TEMP, "cannot make a self-signed certificate");
        ERR_clear_error();
    }
    BIO_free(key_pem);
    BIO_free(certificate_pem);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return status;
}
