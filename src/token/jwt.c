/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking a token apart and holding keys against its signature. The parser refuses what could be
 * read in two ways (a member twice, base64 with stray bits, anything around the three parts), so
 * that what was signed and what is believed are the same.
 */
#include "token/jwt.h"

#include <string.h>

#include "base/secret.h"
#include "token/base64url.h"

/* A JSON object, or NULL. */
static json_t *decode_object(struct span part, size_t limit_bytes)
{
    json_t *object = NULL;
    struct buf text;

    if (part.len > limit_bytes)
        return NULL;
    buf_init(&text, limit_bytes);
    if (!base64url_decode(part, &text))
        object = json_loadb(buf_span(&text).data, buf_len(&text), JSON_REJECT_DUPLICATES, NULL);
    buf_done(&text);
    if (object && !json_is_object(object)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

int jwt_parse(struct span token, struct jwt *jwt_out)
{
    struct jwt jwt = {0};
    struct span rest = token, header, claims;

    if (token.len > JWT_LIMIT_BYTES || !span_split(&rest, '.', &header) || !span_split(&rest, '.', &claims) ||
        !rest.data || span_find(rest, '.') < rest.len)
        return -1;
    buf_init(&jwt.signature, CRYPTO_SIGNATURE_MOST_BYTES);
    jwt.signed_part = span_head(token, header.len + 1 + claims.len);
    if ((jwt.header = decode_object(header, JWT_HEADER_LIMIT_BYTES)) &&
        (jwt.claims = decode_object(claims, JWT_LIMIT_BYTES)) && !base64url_decode(rest, &jwt.signature)) {
        *jwt_out = jwt;
        return 0;
    }
    jwt_done(&jwt);
    return -1;
}

void jwt_done(struct jwt *jwt)
{
    json_decref(jwt->header);
    json_decref(jwt->claims);
    if (jwt->signature.data)
        secret_wipe(jwt->signature.data, jwt->signature.capacity);
    buf_done(&jwt->signature);
}

const char *jwt_issuer(const struct jwt *jwt) { return json_string_value(json_object_get(jwt->claims, "iss")); }

bool jwt_names_key(const struct jwt *jwt) { return json_object_get(jwt->header, "kid") != NULL; }

static enum crypto_signature algorithm_of(const struct jwt *jwt)
{
    const char *name = json_string_value(json_object_get(jwt->header, "alg"));

    return name ? crypto_signature_find(span_of(name)) : CRYPTO_SIGNATURE_COUNT;
}

enum token_verdict jwt_verify(const struct jwt *jwt, unsigned algorithms, const struct jwks *keys)
{
    const struct crypto_public_key *candidates[JWKS_CANDIDATES_MOST];
    const json_t *kid = json_object_get(jwt->header, "kid");
    enum crypto_signature algorithm = algorithm_of(jwt);
    size_t count;

    if (algorithm == CRYPTO_SIGNATURE_COUNT || !(algorithms & 1u << algorithm))
        return TOKEN_ALGORITHM;
    if (json_object_get(jwt->header, "crit"))
        return TOKEN_CRITICAL;
    if (kid && !json_is_string(kid))
        return TOKEN_UNKNOWN_KEY;
    count = jwks_candidates(keys, algorithm, json_string_value(kid), candidates);
    for (size_t i = 0; i < count; i++)
        if (crypto_verify(candidates[i], jwt->signed_part, buf_span(&jwt->signature)))
            return TOKEN_GOOD;
    return count ? TOKEN_SIGNATURE : TOKEN_UNKNOWN_KEY;
}

/* ---- its type ---- */

/* Without "application/", which goes without saying where no other slash follows. */
static struct span short_type(struct span type)
{
    static const char prefix[] = "application/";
    struct span rest = span_from(type, sizeof prefix - 1);

    return span_istarts_with(type, span_of(prefix)) && span_find(rest, '/') == rest.len ? rest : type;
}

static struct span text_of(const json_t *string)
{
    return span_make(json_string_value(string), json_string_length(string));
}

enum token_verdict jwt_check_type(const struct jwt *jwt, const json_t *types)
{
    const json_t *typ = json_object_get(jwt->header, "typ");
    struct span type = typ ? text_of(typ) : SPAN_LIT("JWT"); /* which says no more than none (RFC 7519, section 5.1) */
    const json_t *element;
    size_t i;

    if (typ && !json_is_string(typ))
        return TOKEN_TYPE;
    json_array_foreach(types, i,
                       element) if (span_ieq(short_type(type), short_type(text_of(element)))) return TOKEN_GOOD;
    return TOKEN_TYPE;
}

/* RFC 6838, section 4.2. */
static bool is_type_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.data[i]);

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && (i == 0 || !c || !strchr("!#$&-^_.+", c)))
            return false;
    }
    return name.len > 0;
}

bool jwt_type_is_sound(struct span type)
{
    size_t slash = span_find(type, '/');

    return is_type_name(span_head(type, slash)) && (slash == type.len || is_type_name(span_from(type, slash + 1)));
}
