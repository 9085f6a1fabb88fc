/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests and what is built from them. Pure functions; nothing outside this room and tls/ names
 * the library that does the arithmetic. Names of hashes are an enum, so that a caller cannot ask
 * for one that does not exist.
 */
#ifndef GATEPOST_CRYPTO_DIGEST_H
#define GATEPOST_CRYPTO_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

enum crypto_hash {
    CRYPTO_MD5,
    CRYPTO_SHA1,
    CRYPTO_SHA224,
    CRYPTO_SHA256,
    CRYPTO_SHA384,
    CRYPTO_SHA512,
    CRYPTO_SHA512_256,
    CRYPTO_SHA3_256,
    CRYPTO_SHA3_384,
    CRYPTO_SHA3_512,
    CRYPTO_HASH_COUNT,
};

#define CRYPTO_DIGEST_MOST_BYTES 64
#define CRYPTO_SHA256_BYTES 32

size_t crypto_hash_bytes(enum crypto_hash hash);

/* Each returns the length of what it wrote. */
size_t crypto_digest(enum crypto_hash hash, struct span data, unsigned char out[CRYPTO_DIGEST_MOST_BYTES]);
size_t crypto_hmac(enum crypto_hash hash, struct span key, struct span data,
                   unsigned char out[CRYPTO_DIGEST_MOST_BYTES]); /* RFC 2104 */

/* RFC 8018, section 5.2. Blocks for as long as `iterations` take. */
void crypto_pbkdf2(enum crypto_hash hash, struct span password, struct span salt, uint32_t iterations,
                   unsigned char *out, size_t out_len);

/* RFC 7914. -1 when the parameters are not sound or want more than `memory_limit_bytes`. Blocks. */
int crypto_scrypt(struct span password, struct span salt, uint64_t n, uint64_t r, uint64_t p,
                  uint64_t memory_limit_bytes, unsigned char *out, size_t out_len, struct error *error)
    __attribute__((warn_unused_result));

#endif
