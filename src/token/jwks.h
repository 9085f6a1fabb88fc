/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of public keys as an issuer publishes it (RFC 7517): those of it that can verify RS256,
 * ES256 and EdDSA. A key of another kind, for another use, or broken is passed over as the RFC
 * asks (section 5), for issuers publish more than one sort.
 */
#ifndef GATEPOST_TOKEN_JWKS_H
#define GATEPOST_TOKEN_JWKS_H

#include <stddef.h>

#include "base/error.h"
#include "base/span.h"
#include "crypto/signature.h"

#define JWKS_LIMIT_BYTES ((size_t)256 << 10)
#define JWKS_KEYS_MOST 64      /* usable ones */
#define JWKS_CANDIDATES_MOST 8 /* held against one token */

struct jwks; /* immutable */

/* NULL with an error when `text` is no set of keys, has no usable one, or too many. */
struct jwks *jwks_parse(struct span text, struct error *error);
void jwks_free(struct jwks *jwks); /* NULL is fine */

size_t jwks_count(const struct jwks *jwks);

/* The keys for `algorithm` that are called `kid`, or with NULL all for it, at most JWKS_CANDIDATES_MOST. `jwks` may
 * be NULL. Returns how many; borrowed from the set. */
size_t jwks_candidates(const struct jwks *jwks, enum crypto_signature algorithm, const char *kid,
                       const struct crypto_public_key *keys_out[JWKS_CANDIDATES_MOST]);

#endif
