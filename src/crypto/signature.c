/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL's public keys from bare numbers. The library checks that a point is on its curve; what
 * it would take and we would not (an RSA exponent of 1 signs everything) is refused here.
 */
#include "crypto/signature.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"

#define RSA_LEAST_BITS 2048 /* RFC 7518, section 3.3 */
#define RSA_MOST_BITS (CRYPTO_SIGNATURE_MOST_BYTES * 8)
#define RSA_EXPONENT_MOST_BITS 32
#define P256_BYTES 32
#define ED25519_KEY_BYTES 32
#define ED25519_SIGNATURE_BYTES 64
#define ECDSA_DER_MOST_BYTES 80

struct crypto_public_key {
    enum crypto_signature signature;
    EVP_PKEY *pkey;
};

static const char *const names[CRYPTO_SIGNATURE_COUNT] = {
    [CRYPTO_RS256] = "RS256",
    [CRYPTO_ES256] = "ES256",
    [CRYPTO_EDDSA] = "EdDSA",
};

const char *crypto_signature_name(enum crypto_signature signature)
{
    MUST((unsigned)signature < CRYPTO_SIGNATURE_COUNT);
    return names[signature];
}

enum crypto_signature crypto_signature_find(struct span name)
{
    unsigned i = 0;

    while (i < CRYPTO_SIGNATURE_COUNT && !span_eq(name, span_of(names[i])))
        i++;
    return (enum crypto_signature)i;
}

static const unsigned char *bytes_of(struct span s) { return (const unsigned char *)(s.data ? s.data : ""); }

static struct crypto_public_key *key_of(enum crypto_signature signature, EVP_PKEY *pkey)
{
    struct crypto_public_key *key = mem_zalloc(sizeof *key);

    key->signature = signature;
    key->pkey = pkey;
    return key;
}

/* What stands in the library's list of errors would be told of somebody else's call. */
static struct crypto_public_key *no_key(struct error *error, const char *what)
{
    ERR_clear_error();
    error_set(error, ERROR_PERM, "%s", what);
    return NULL;
}

static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;

    MUST(params && ctx);
    if (EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

static bool rsa_is_sound(const BIGNUM *n, const BIGNUM *e)
{
    return BN_num_bits(n) >= RSA_LEAST_BITS && BN_num_bits(n) <= RSA_MOST_BITS && BN_is_odd(n) && BN_is_odd(e) &&
           !BN_is_one(e) && BN_num_bits(e) <= RSA_EXPONENT_MOST_BITS;
}

static EVP_PKEY *rsa_pkey(const BIGNUM *n, const BIGNUM *e)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey;

    MUST(build && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
         OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1);
    pkey = pkey_from("RSA", build);
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

struct crypto_public_key *crypto_key_rsa(struct span modulus, struct span exponent, struct error *error)
{
    EVP_PKEY *pkey = NULL;
    BIGNUM *n, *e;

    if (modulus.len > CRYPTO_SIGNATURE_MOST_BYTES || exponent.len > sizeof(uint64_t))
        return no_key(error, "an RSA key may have at most 8192 bits");
    n = BN_bin2bn(bytes_of(modulus), (int)modulus.len, NULL);
    e = BN_bin2bn(bytes_of(exponent), (int)exponent.len, NULL);
    MUST(n && e);
    if (rsa_is_sound(n, e))
        pkey = rsa_pkey(n, e);
    BN_free(n);
    BN_free(e);
    return pkey ? key_of(CRYPTO_RS256, pkey) : no_key(error, "an RSA key wants 2048 to 8192 bits and an odd exponent");
}

struct crypto_public_key *crypto_key_p256(struct span x, struct span y, struct error *error)
{
    unsigned char point[1 + 2 * P256_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    OSSL_PARAM_BLD *build;
    EVP_PKEY *pkey;

    if (x.len != P256_BYTES || y.len != P256_BYTES)
        return no_key(error, "a P-256 key has two coordinates of 32 octets");
    memcpy(point + 1, x.data, P256_BYTES);
    memcpy(point + 1 + P256_BYTES, y.data, P256_BYTES);
    build = OSSL_PARAM_BLD_new();
    MUST(build && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
         OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1);
    pkey = pkey_from("EC", build);
    OSSL_PARAM_BLD_free(build);
    return pkey ? key_of(CRYPTO_ES256, pkey) : no_key(error, "the point of a P-256 key is not on the curve");
}

struct crypto_public_key *crypto_key_ed25519(struct span x, struct error *error)
{
    EVP_PKEY *pkey;

    if (x.len != ED25519_KEY_BYTES)
        return no_key(error, "an Ed25519 key has 32 octets");
    pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, bytes_of(x), x.len);
    return pkey ? key_of(CRYPTO_EDDSA, pkey) : no_key(error, "this is not an Ed25519 key");
}

void crypto_key_free(struct crypto_public_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

enum crypto_signature crypto_key_signature(const struct crypto_public_key *key) { return key->signature; }

/* The library wants r and s in DER (RFC 3279), JOSE writes them side by side (RFC 7518, section 3.4). Returns the
 * length, 0 when they are none. */
static size_t ecdsa_to_der(struct span signature, unsigned char der_out[ECDSA_DER_MOST_BYTES])
{
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes_of(signature), P256_BYTES, NULL);
    BIGNUM *s = BN_bin2bn(bytes_of(signature) + P256_BYTES, P256_BYTES, NULL);
    unsigned char *end = der_out;
    int len;

    MUST(pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1);
    len = i2d_ECDSA_SIG(pair, NULL);
    MUST(len > 0 && len <= ECDSA_DER_MOST_BYTES);
    len = i2d_ECDSA_SIG(pair, &end);
    ECDSA_SIG_free(pair);
    return (size_t)len;
}

static bool verify(const struct crypto_public_key *key, const char *digest, struct span data, struct span signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_good;

    MUST(ctx);
    is_good = EVP_DigestVerifyInit_ex(ctx, NULL, digest, NULL, NULL, key->pkey, NULL) == 1 &&
              EVP_DigestVerify(ctx, bytes_of(signature), signature.len, bytes_of(data), data.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return is_good;
}

bool crypto_verify(const struct crypto_public_key *key, struct span data, struct span signature)
{
    unsigned char der[ECDSA_DER_MOST_BYTES];

    switch (key->signature) {
    case CRYPTO_RS256:
        return verify(key, "SHA256", data, signature);
    case CRYPTO_ES256:
        return signature.len == 2 * P256_BYTES &&
               verify(key, "SHA256", data, span_make((const char *)der, ecdsa_to_der(signature, der)));
    case CRYPTO_EDDSA:
        return signature.len == ED25519_SIGNATURE_BYTES && verify(key, NULL, data, signature);
    case CRYPTO_SIGNATURE_COUNT:
        break;
    }
    MUST_NOT_REACH("a key has one of the algorithms");
}
