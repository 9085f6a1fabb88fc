/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's answer to a challenge of SCRAM-SHA-256 (RFC 5802, RFC 7677).
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define BYTES 32

static void keyed(const unsigned char key[BYTES], const char *text, unsigned char out[BYTES])
{
    HMAC(EVP_sha256(), key, BYTES, (const unsigned char *)text, strlen(text), out, NULL);
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
    static unsigned char salted[BYTES];
    static bool is_made;
    unsigned char salt[128];
    int len = decode(salt_text, salt_text_len, salt, sizeof salt);

    if (!is_made && len > 0)
        is_made = PKCS5_PBKDF2_HMAC(login->password, (int)strlen(login->password), salt, len, iterations, EVP_sha256(),
                                    BYTES, salted) == 1;
    return is_made ? salted : NULL;
}

static void make_proof(const unsigned char salted[BYTES], const char *signed_text, unsigned char proof[BYTES])
{
    unsigned char client_key[BYTES], stored_key[BYTES], signature[BYTES];

    keyed(salted, "Client Key", client_key);
    EVP_Digest(client_key, BYTES, stored_key, NULL, EVP_sha256(), NULL);
    keyed(stored_key, signed_text, signature);
    for (size_t i = 0; i < BYTES; i++)
        proof[i] = client_key[i] ^ signature[i];
}

char *scram_final(const struct login *login, const char *challenge)
{
    char first[512] = "", signed_text[2048], final[1024], *line;
    unsigned char proof[BYTES], encoded_proof[BYTES * 2], encoded[2048];
    const unsigned char *salted;
    int len = decode(challenge, strlen(challenge), (unsigned char *)first, sizeof first - 1);
    const char *nonce = strstr(first, "r="), *salt = strstr(first, ",s="), *iterations = strstr(first, ",i=");

    if (len < 0 || nonce != first || !salt || !iterations || iterations < salt)
        return NULL;
    first[len] = '\0';
    salted = salted_password(login, salt + 3, (size_t)(iterations - salt - 3), (int)strtol(iterations + 3, NULL, 10));
    if (!salted)
        return NULL;
    snprintf(final, sizeof final, "c=biws,%.*s", (int)(salt - first), first);
    snprintf(signed_text, sizeof signed_text, SCRAM_FIRST_BARE ",%s,%s", login->user, first, final);
    make_proof(salted, signed_text, proof);
    EVP_EncodeBlock(encoded_proof, proof, BYTES);
    snprintf(final + strlen(final), sizeof final - strlen(final), ",p=%s", encoded_proof);
    EVP_EncodeBlock(encoded, (const unsigned char *) final, (int)strlen(final));
    return asprintf(&line, "%s\r\n", encoded) < 0 ? NULL : line;
}
