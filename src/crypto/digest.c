/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL's digests. The algorithms are fetched once per process: fetching by name for each
 * call costs more than hashing a short text.
 */
#include "crypto/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

#include "base/must.h"

static const char *const names[CRYPTO_HASH_COUNT] = {
    [CRYPTO_MD5] = "MD5",
    [CRYPTO_SHA1] = "SHA1",
    [CRYPTO_SHA224] = "SHA224",
    [CRYPTO_SHA256] = "SHA256",
    [CRYPTO_SHA384] = "SHA384",
    [CRYPTO_SHA512] = "SHA512",
    [CRYPTO_SHA512_256] = "SHA512-256",
    [CRYPTO_SHA3_256] = "SHA3-256",
    [CRYPTO_SHA3_384] = "SHA3-384",
    [CRYPTO_SHA3_512] = "SHA3-512",
};

static EVP_MD *fetched[CRYPTO_HASH_COUNT];
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;

static void fetch_all(void)
{
    for (int i = 0; i < CRYPTO_HASH_COUNT; i++) {
        fetched[i] = EVP_MD_fetch(NULL, names[i], NULL);
        MUST(fetched[i]);
    }
}

static const EVP_MD *md_of(enum crypto_hash hash)
{
    MUST((unsigned)hash < CRYPTO_HASH_COUNT);
    pthread_once(&fetch_once, fetch_all);
    return fetched[hash];
}

static const unsigned char *bytes_of(struct span s) { return (const unsigned char *)(s.data ? s.data : ""); }

size_t crypto_hash_bytes(enum crypto_hash hash) { return (size_t)EVP_MD_get_size(md_of(hash)); }

size_t crypto_digest(enum crypto_hash hash, struct span data, unsigned char out[CRYPTO_DIGEST_MOST_BYTES])
{
    unsigned len = 0;

    MUST(EVP_Digest(bytes_of(data), data.len, out, &len, md_of(hash), NULL) == 1);
    return len;
}

size_t crypto_hmac(enum crypto_hash hash, struct span key, struct span data,
                   unsigned char out[CRYPTO_DIGEST_MOST_BYTES])
{
    unsigned len = 0;

    MUST(HMAC(md_of(hash), bytes_of(key), (int)key.len, bytes_of(data), data.len, out, &len));
    return len;
}

void crypto_pbkdf2(enum crypto_hash hash, struct span password, struct span salt, uint32_t iterations,
                   unsigned char *out, size_t out_len)
{
    MUST(iterations > 0 && iterations <= INT32_MAX);
    MUST(PKCS5_PBKDF2_HMAC(password.data ? password.data : "", (int)password.len, bytes_of(salt), (int)salt.len,
                           (int)iterations, md_of(hash), (int)out_len, out) == 1);
}

int crypto_scrypt(struct span password, struct span salt, uint64_t n, uint64_t r, uint64_t p,
                  uint64_t memory_limit_bytes, unsigned char *out, size_t out_len, struct error *error)
{
    if (EVP_PBE_scrypt(password.data ? password.data : "", password.len, bytes_of(salt), salt.len, n, r, p,
                       memory_limit_bytes, out, out_len) != 1)
        return error_set(error, ERROR_PERM, "scrypt does not take the parameters N=%llu r=%llu p=%llu",
                         (unsigned long long)n, (unsigned long long)r, (unsigned long long)p);
    return 0;
}
