/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's side of SCRAM (RFC 5802, RFC 7677), with and without the binding to the TLS channel (tls-exporter,
 * RFC 9266).
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define BYTES_MOST 32
#define BINDING_BYTES 32
#define FIRST_BARE "n=%s,r=load-load-load-load-load"

static bool is_bound(const struct login *login) { return !strcmp(login->mechanism, "SCRAM-SHA-256-PLUS"); }

static const char *header_of(const struct login *login) { return is_bound(login) ? "p=tls-exporter,," : "n,,"; }

static const EVP_MD *hash_of(const struct login *login)
{
    return !strcmp(login->mechanism, "SCRAM-SHA-1") ? EVP_sha1() : EVP_sha256();
}

bool scram_is_it(const struct login *login) { return !strncmp(login->mechanism, "SCRAM-", 6); }

void scram_first(const struct login *login, char out[SCRAM_FIRST_BYTES])
{
    snprintf(out, SCRAM_FIRST_BYTES, "%s" FIRST_BARE, header_of(login), login->user);
}

static void keyed(const EVP_MD *hash, const unsigned char *key, const char *text, unsigned char out[BYTES_MOST])
{
    HMAC(hash, key, EVP_MD_get_size(hash), (const unsigned char *)text, strlen(text), out, NULL);
}

/* The length without what the padding stands for; -1: no base64. */
static int decode(const char *text, size_t len, unsigned char *out, size_t most)
{
    int got = len / 4 * 3 < most ? EVP_DecodeBlock(out, (const unsigned char *)text, (int)len) : -1;

    if (got < 0)
        return -1;
    for (; len && text[len - 1] == '='; len--)
        got--;
    return got;
}

/* One user, one salt: made with the first challenge. */
static const unsigned char *salted_password(const struct login *login, const char *salt_text, size_t salt_text_len,
                                            int iterations)
{
    static unsigned char salted[BYTES_MOST];
    static bool is_made;
    unsigned char salt[128];
    int len = decode(salt_text, salt_text_len, salt, sizeof salt);

    if (!is_made && len > 0)
        is_made = PKCS5_PBKDF2_HMAC(login->password, (int)strlen(login->password), salt, len, iterations,
                                    hash_of(login), EVP_MD_get_size(hash_of(login)), salted) == 1;
    return is_made ? salted : NULL;
}

static void make_proof(const EVP_MD *hash, const unsigned char *salted, const char *signed_text, unsigned char *proof)
{
    unsigned char client_key[BYTES_MOST], stored_key[BYTES_MOST], signature[BYTES_MOST];
    size_t bytes = (size_t)EVP_MD_get_size(hash);

    keyed(hash, salted, "Client Key", client_key);
    EVP_Digest(client_key, bytes, stored_key, NULL, hash, NULL);
    keyed(hash, stored_key, signed_text, signature);
    for (size_t i = 0; i < bytes; i++)
        proof[i] = client_key[i] ^ signature[i];
}

/* "c=": base64 of the header and of what binds to the channel. */
static bool write_binding(const struct login *login, SSL *tls, char *out)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    unsigned char plain[64];
    size_t len = strlen(header_of(login));

    memcpy(plain, header_of(login), len);
    if (is_bound(login)) {
        if (!SSL_export_keying_material(tls, plain + len, BINDING_BYTES, label, sizeof label - 1, NULL, 0, 0))
            return false;
        len += BINDING_BYTES;
    }
    EVP_EncodeBlock((unsigned char *)out, plain, (int)len);
    return true;
}

char *scram_final(const struct login *login, SSL *tls, const char *challenge)
{
    char first[512] = "", binding[128], signed_text[2048], final[1024], *line;
    unsigned char proof[BYTES_MOST], encoded_proof[BYTES_MOST * 2], encoded[2048];
    const unsigned char *salted;
    int len = decode(challenge, strlen(challenge), (unsigned char *)first, sizeof first - 1);
    const char *nonce = strstr(first, "r="), *salt = strstr(first, ",s="), *iterations = strstr(first, ",i=");

    if (len < 0 || nonce != first || !salt || !iterations || iterations < salt || !write_binding(login, tls, binding))
        return NULL;
    first[len] = '\0';
    salted = salted_password(login, salt + 3, (size_t)(iterations - salt - 3), (int)strtol(iterations + 3, NULL, 10));
    if (!salted)
        return NULL;
    snprintf(final, sizeof final, "c=%s,%.*s", binding, (int)(salt - first), first);
    snprintf(signed_text, sizeof signed_text, FIRST_BARE ",%s,%s", login->user, first, final);
    make_proof(hash_of(login), salted, signed_text, proof);
    EVP_EncodeBlock(encoded_proof, proof, EVP_MD_get_size(hash_of(login)));
    snprintf(final + strlen(final), sizeof final - strlen(final), ",p=%s", encoded_proof);
    EVP_EncodeBlock(encoded, (const unsigned char *) final, (int)strlen(final));
    return asprintf(&line, "%s\r\n", encoded) < 0 ? NULL : line;
}
