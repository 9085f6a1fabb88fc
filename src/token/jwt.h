/* SPDX-License-Identifier: Apache-2.0
 *
 * A JSON Web Token in its compact form (RFC 7519, RFC 7515): taken apart, and verified with keys
 * that we have. Nothing in it is to be believed before jwt_verify has said TOKEN_GOOD, with one
 * exception: `iss` may be read to find out whose keys it would be verified with.
 *
 * Pure functions of bytes. Nothing that comes with the token adds a key (no jwk, jku, x5c, x5u)
 * or an algorithm: what may be is the store's to say (RFC 8725).
 */
#ifndef GATEPOST_TOKEN_JWT_H
#define GATEPOST_TOKEN_JWT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/span.h"
#include "token/jwks.h"
#include "token/verdict.h"

#define JWT_LIMIT_BYTES 16384       /* a whole token */
#define JWT_HEADER_LIMIT_BYTES 4096 /* its header, encoded */

struct jwt {
    json_t *header;
    json_t *claims;
    struct span signed_part; /* borrowed from the token */
    struct buf signature;
};

/* -1 when `token` is no such token: not three parts of base64url of which the first two are JSON objects, with no
 * member twice. `jwt_out` is then untouched; otherwise it is ended with jwt_done. */
int jwt_parse(struct span token, struct jwt *jwt_out) __attribute__((warn_unused_result));
void jwt_done(struct jwt *jwt); /* wipes the signature: a token without it opens nothing */

const char *jwt_issuer(const struct jwt *jwt); /* NULL when it has none */

/* `algorithms` has a bit for each enum crypto_signature that will do. TOKEN_GOOD, TOKEN_ALGORITHM, TOKEN_CRITICAL,
 * TOKEN_UNKNOWN_KEY (none of the keys is meant: newer ones may be) or TOKEN_SIGNATURE. A token that names no key is
 * tried with all keys of its algorithm, at most JWKS_CANDIDATES_MOST. */
enum token_verdict jwt_verify(const struct jwt *jwt, unsigned algorithms, const struct jwks *keys);
bool jwt_names_key(const struct jwt *jwt); /* has a `kid` */

/* TOKEN_GOOD, or TOKEN_TYPE when `typ` is none of `types`: an array of media types, which are compared without regard
 * to case and to "application/" in front (RFC 7515, section 4.1.9). A token that has none is a "JWT". */
enum token_verdict jwt_check_type(const struct jwt *jwt, const json_t *types);
bool jwt_type_is_sound(struct span type); /* can be a media type, "application/" left out or not */

#endif
