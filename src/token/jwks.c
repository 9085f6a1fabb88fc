/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a JWK set. Only public numbers are looked at: a private part that somebody published
 * by mistake is not kept, and a symmetric key is no key of ours, so that no published number can
 * ever be taken for a shared secret.
 */
#include "token/jwks.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/mem.h"
#include "token/base64url.h"

struct jwk {
    char *kid; /* NULL when it has none */
    struct crypto_public_key *key;
};

struct jwks {
    struct jwk keys[JWKS_KEYS_MOST];
    size_t count;
};

static const char *text_of(const json_t *jwk, const char *member)
{
    return json_string_value(json_object_get(jwk, member));
}

static bool is_text(const json_t *jwk, const char *member, const char *expected)
{
    const char *text = text_of(jwk, member);

    return text && strcmp(text, expected) == 0;
}

/* Appends nothing when the member is missing or malformed: the key is then refused as too short. */
static struct span number_of(const json_t *jwk, const char *member, struct buf *buf)
{
    const char *text = text_of(jwk, member);

    if (text && base64url_decode(span_of(text), buf))
        buf_clear(buf);
    return buf_span(buf);
}

/* `use` and `key_ops` (RFC 7517, sections 4.2 and 4.3) both may be left out. */
static bool is_for_verifying(const json_t *jwk)
{
    const json_t *operations = json_object_get(jwk, "key_ops");
    json_t *operation;
    size_t i;

    if (json_object_get(jwk, "use") && !is_text(jwk, "use", "sig"))
        return false;
    if (!operations)
        return true;
    json_array_foreach(operations, i, operation)
    {
        const char *name = json_string_value(operation);

        if (name && strcmp(name, "verify") == 0)
            return true;
    }
    return false;
}

static struct crypto_public_key *key_from(const json_t *jwk, struct buf *first, struct buf *second)
{
    if (is_text(jwk, "kty", "RSA"))
        return crypto_key_rsa(number_of(jwk, "n", first), number_of(jwk, "e", second), NULL);
    if (is_text(jwk, "kty", "EC") && is_text(jwk, "crv", "P-256"))
        return crypto_key_p256(number_of(jwk, "x", first), number_of(jwk, "y", second), NULL);
    if (is_text(jwk, "kty", "OKP") && is_text(jwk, "crv", "Ed25519"))
        return crypto_key_ed25519(number_of(jwk, "x", first), NULL);
    return NULL;
}

/* A usable key, or NULL. `alg` (section 4.4) must be the one that we would use it for. */
static struct crypto_public_key *read_key(const json_t *jwk)
{
    struct crypto_public_key *key;
    struct buf first, second;

    if (!is_for_verifying(jwk))
        return NULL;
    buf_init(&first, CRYPTO_SIGNATURE_MOST_BYTES + 1);
    buf_init(&second, CRYPTO_SIGNATURE_MOST_BYTES + 1);
    key = key_from(jwk, &first, &second);
    buf_done(&first);
    buf_done(&second);
    if (key && json_object_get(jwk, "alg") && !is_text(jwk, "alg", crypto_signature_name(crypto_key_signature(key)))) {
        crypto_key_free(key);
        return NULL;
    }
    return key;
}

static int add_key(struct jwks *jwks, const json_t *jwk, struct error *error)
{
    const char *kid = text_of(jwk, "kid");
    struct crypto_public_key *key = read_key(jwk);

    if (!key)
        return 0;
    if (jwks->count == JWKS_KEYS_MOST) {
        crypto_key_free(key);
        return error_set(error, ERROR_PERM, "the set holds more than %d keys", JWKS_KEYS_MOST);
    }
    jwks->keys[jwks->count++] = (struct jwk){.kid = kid ? mem_strdup(kid) : NULL, .key = key};
    return 0;
}

static int add_keys(struct jwks *jwks, const json_t *set, struct error *error)
{
    const json_t *keys = json_object_get(set, "keys");
    json_t *jwk;
    size_t i;

    if (!json_is_array(keys))
        return error_set(error, ERROR_PERM, "this is not a set of JSON Web Keys");
    json_array_foreach(keys, i, jwk) if (add_key(jwks, jwk, error)) return -1;
    if (!jwks->count)
        return error_set(error, ERROR_PERM, "the set holds no key for RS256, ES256 or EdDSA");
    return 0;
}

struct jwks *jwks_parse(struct span text, struct error *error)
{
    struct jwks *jwks = mem_zalloc(sizeof *jwks);
    json_t *set = NULL;

    if (text.len <= JWKS_LIMIT_BYTES)
        set = json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES, NULL);
    if (add_keys(jwks, set, error)) {
        jwks_free(jwks);
        jwks = NULL;
    }
    json_decref(set);
    return jwks;
}

void jwks_free(struct jwks *jwks)
{
    if (!jwks)
        return;
    for (size_t i = 0; i < jwks->count; i++) {
        free(jwks->keys[i].kid);
        crypto_key_free(jwks->keys[i].key);
    }
    free(jwks);
}

size_t jwks_count(const struct jwks *jwks) { return jwks->count; }

size_t jwks_candidates(const struct jwks *jwks, enum crypto_signature algorithm, const char *kid,
                       const struct crypto_public_key *keys_out[JWKS_CANDIDATES_MOST])
{
    size_t count = 0;

    for (size_t i = 0; jwks && i < jwks->count && count < JWKS_CANDIDATES_MOST; i++) {
        const struct jwk *jwk = &jwks->keys[i];

        if (crypto_key_signature(jwk->key) != algorithm)
            continue;
        if (!kid || (jwk->kid && strcmp(kid, jwk->kid) == 0))
            keys_out[count++] = jwk->key;
    }
    return count;
}
