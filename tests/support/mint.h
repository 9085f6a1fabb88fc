/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys, key sets and tokens for tests, made with OpenSSL by another way than the one that
 * verifies them. In a header because test programs are one file each.
 */
#ifndef GATEPOST_TESTS_MINT_H
#define GATEPOST_TESTS_MINT_H

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/must.h"
#include "crypto/signature.h"

struct mint {
    EVP_PKEY *pkey;
    enum crypto_signature algorithm;
    const char *kid; /* NULL: neither the key nor its tokens have one */
};

/* The caller frees it. */
static inline char *mint_base64url(const void *data, size_t len)
{
    struct buf buf;
    char *text;

    buf_init(&buf, 65536);
    MUST(!base64_encode(span_make(data, len), &buf));
    text = span_dup(buf_span(&buf));
    buf_done(&buf);
    for (char *p = text; *p; p++)
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p == '=' ? '\0' : *p;
    return text;
}

static inline struct mint mint_new(enum crypto_signature algorithm, const char *kid)
{
    struct mint mint = {.algorithm = algorithm, .kid = kid};

    if (algorithm == CRYPTO_RS256)
        mint.pkey = EVP_RSA_gen(2048);
    else if (algorithm == CRYPTO_ES256)
        mint.pkey = EVP_EC_gen("P-256");
    else
        mint.pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    MUST(mint.pkey);
    return mint;
}

static inline void mint_done(struct mint *mint) { EVP_PKEY_free(mint->pkey); }

static inline char *mint_number(const struct mint *mint, const char *name)
{
    unsigned char bytes[1024];
    BIGNUM *number = NULL;
    int len;
    char *text;

    MUST(EVP_PKEY_get_bn_param(mint->pkey, name, &number) == 1);
    len = mint->algorithm == CRYPTO_ES256 ? 32 : BN_num_bytes(number);
    MUST(BN_bn2binpad(number, bytes, len) == len);
    text = mint_base64url(bytes, (size_t)len);
    BN_free(number);
    return text;
}

/* The public key as a JWK; `extra` is further members ("" or ",\"use\":\"sig\""). The caller frees it. */
static inline char *mint_jwk(const struct mint *mint, const char *extra)
{
    char *kid = mint->kid ? mem_printf(",\"kid\":\"%s\"", mint->kid) : mem_strdup("");
    char *first, *second = NULL, *jwk;

    if (mint->algorithm == CRYPTO_RS256) {
        first = mint_number(mint, OSSL_PKEY_PARAM_RSA_N);
        second = mint_number(mint, OSSL_PKEY_PARAM_RSA_E);
        jwk = mem_printf("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s%s}", first, second, kid, extra);
    } else if (mint->algorithm == CRYPTO_ES256) {
        first = mint_number(mint, OSSL_PKEY_PARAM_EC_PUB_X);
        second = mint_number(mint, OSSL_PKEY_PARAM_EC_PUB_Y);
        jwk = mem_printf("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"%s%s}", first, second, kid, extra);
    } else {
        unsigned char raw[32];
        size_t len = sizeof raw;

        MUST(EVP_PKEY_get_raw_public_key(mint->pkey, raw, &len) == 1);
        first = mint_base64url(raw, len);
        jwk = mem_printf("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"%s%s}", first, kid, extra);
    }
    free(first);
    free(second);
    free(kid);
    return jwk;
}

/* A set of up to three keys; NULL ends them. The caller frees it. */
static inline char *mint_jwks(const struct mint *a, const struct mint *b, const struct mint *c)
{
    char *one = mint_jwk(a, ""), *two = b ? mint_jwk(b, "") : NULL, *three = c ? mint_jwk(c, "") : NULL;
    char *set = mem_printf("{\"keys\":[%s%s%s%s%s]}", one, two ? "," : "", two ? two : "", three ? "," : "",
                           three ? three : "");

    free(one);
    free(two);
    free(three);
    return set;
}

static inline char *mint_signature(const struct mint *mint, const char *text)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const unsigned char *data = (const unsigned char *)text;
    unsigned char signature[1024], pair[64];
    size_t len = sizeof signature;

    MUST(EVP_DigestSignInit_ex(ctx, NULL, mint->algorithm == CRYPTO_EDDSA ? NULL : "SHA256", NULL, NULL, mint->pkey,
                               NULL) == 1 &&
         EVP_DigestSign(ctx, signature, &len, data, strlen(text)) == 1);
    EVP_MD_CTX_free(ctx);
    if (mint->algorithm == CRYPTO_ES256) {
        const unsigned char *der = signature;
        ECDSA_SIG *numbers = d2i_ECDSA_SIG(NULL, &der, (long)len);

        MUST(numbers && BN_bn2binpad(ECDSA_SIG_get0_r(numbers), pair, 32) == 32 &&
             BN_bn2binpad(ECDSA_SIG_get0_s(numbers), pair + 32, 32) == 32);
        ECDSA_SIG_free(numbers);
        return mint_base64url(pair, sizeof pair);
    }
    return mint_base64url(signature, len);
}

/* With a header of the test's own. The caller frees it. */
static inline char *mint_token_as(const struct mint *mint, const char *header, const char *claims)
{
    char *first = mint_base64url(header, strlen(header)), *second = mint_base64url(claims, strlen(claims));
    char *text = mem_printf("%s.%s", first, second);
    char *signature = mint_signature(mint, text);
    char *token = mem_printf("%s.%s", text, signature);

    free(first);
    free(second);
    free(text);
    free(signature);
    return token;
}

static inline char *mint_token(const struct mint *mint, const char *claims)
{
    const char *name = crypto_signature_name(mint->algorithm);
    char *header = mint->kid ? mem_printf("{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", name, mint->kid)
                             : mem_printf("{\"alg\":\"%s\"}", name);
    char *token = mint_token_as(mint, header, claims);

    free(header);
    return token;
}

#endif
