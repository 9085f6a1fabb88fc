/* SPDX-License-Identifier: Apache-2.0
 *
 * Public keys as JSON Web Keys give them (RFC 7518, section 6; RFC 8037), and whether a
 * signature is theirs. A key knows the one algorithm it is for, so that nobody who sends a
 * signature can choose another. Immutable once made; verifying may be done on any thread.
 */
#ifndef GATEPOST_CRYPTO_SIGNATURE_H
#define GATEPOST_CRYPTO_SIGNATURE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/span.h"

enum crypto_signature {
    CRYPTO_RS256, /* RSASSA-PKCS1-v1_5 with SHA-256 */
    CRYPTO_ES256, /* ECDSA on P-256 with SHA-256; the signature is r and s, 32 octets each */
    CRYPTO_EDDSA, /* Ed25519 (RFC 8032) */
    CRYPTO_SIGNATURE_COUNT,
};

#define CRYPTO_SIGNATURE_MOST_BYTES 1024 /* of an RSA key of 8192 bits */

const char *crypto_signature_name(enum crypto_signature signature); /* "RS256" */
/* By exactly that name; CRYPTO_SIGNATURE_COUNT when there is none. */
enum crypto_signature crypto_signature_find(struct span name);

struct crypto_public_key;

/* Numbers are big-endian octets. NULL with an error when they make no key, or one that is too weak (RSA below 2048
 * bits, an exponent that is even or 1, a point that is not on the curve) or too large to be verified in good time. */
struct crypto_public_key *crypto_key_rsa(struct span modulus, struct span exponent, struct error *error);
struct crypto_public_key *crypto_key_p256(struct span x, struct span y, struct error *error);
struct crypto_public_key *crypto_key_ed25519(struct span x, struct error *error);
void crypto_key_free(struct crypto_public_key *key); /* NULL is fine */

enum crypto_signature crypto_key_signature(const struct crypto_public_key *key);

/* Takes 20 to 200 microseconds. False also for whatever is no signature at all. */
bool crypto_verify(const struct crypto_public_key *key, struct span data, struct span signature);

#endif
