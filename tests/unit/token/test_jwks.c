/* SPDX-License-Identifier: Apache-2.0
 *
 * Key sets as issuers publish them: what is usable is found among what is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "base/buf.h"
#include "token/jwks.h"

#include "../../support/mint.h"

/* RFC 7517, appendix A.1: an EC key for encryption, and an RSA key */
static const char published[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
    "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\",\"use\":\"enc\",\"kid\":\"1\"},"
    "{\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
    "BJE"
    "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
    "FDW2QvzqY368QQMicAtaSqzs8KJZgn"
    "Yb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-cs"
    "FCur-kEgU8awapJzKnqDKgw\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}]}";

static struct mint ec, ed;

static int make_keys(void **state)
{
    (void)state;
    ec = mint_new(CRYPTO_ES256, "a");
    ed = mint_new(CRYPTO_EDDSA, "a");
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    mint_done(&ec);
    mint_done(&ed);
    return 0;
}

static size_t candidates(const struct jwks *jwks, enum crypto_signature algorithm, const char *kid)
{
    const struct crypto_public_key *found[JWKS_CANDIDATES_MOST];

    return jwks_candidates(jwks, algorithm, kid, found);
}

/* How many keys of one JWK with these further members are usable: one or none. */
static size_t usable(const struct mint *mint, const char *extra)
{
    char *jwk = mint_jwk(mint, extra);
    char *set = mem_printf("{\"keys\":[%s]}", jwk);
    struct error error = {0};
    struct jwks *jwks = jwks_parse(span_of(set), &error);
    size_t count = jwks ? jwks_count(jwks) : 0;

    assert_true(jwks || error.sentence[0]);
    jwks_free(jwks);
    free(set);
    free(jwk);
    return count;
}

static void a_published_set_is_read(void **state)
{
    struct jwks *jwks = jwks_parse(span_of(published), NULL);

    (void)state;
    assert_non_null(jwks);
    assert_int_equal(jwks_count(jwks), 1);
    assert_int_equal(candidates(jwks, CRYPTO_RS256, "2011-04-29"), 1);
    assert_int_equal(candidates(jwks, CRYPTO_RS256, NULL), 1);
    assert_int_equal(candidates(jwks, CRYPTO_RS256, "1"), 0);
    assert_int_equal(candidates(jwks, CRYPTO_ES256, "1"), 0); /* for encryption */
    assert_int_equal(candidates(jwks, CRYPTO_ES256, "2011-04-29"), 0);
    jwks_free(jwks);
}

static void what_a_key_is_for_is_heeded(void **state)
{
    (void)state;
    assert_int_equal(usable(&ec, ""), 1);
    assert_int_equal(usable(&ec, ",\"use\":\"sig\""), 1);
    assert_int_equal(usable(&ec, ",\"use\":\"enc\""), 0);
    assert_int_equal(usable(&ec, ",\"use\":1"), 0);
    assert_int_equal(usable(&ec, ",\"key_ops\":[\"verify\"]"), 1);
    assert_int_equal(usable(&ec, ",\"key_ops\":[\"deriveKey\",7]"), 0);
    assert_int_equal(usable(&ec, ",\"key_ops\":\"verify\""), 0);
    assert_int_equal(usable(&ec, ",\"alg\":\"ES256\""), 1);
    assert_int_equal(usable(&ec, ",\"alg\":\"ES384\""), 0);
    assert_int_equal(usable(&ed, ",\"alg\":\"EdDSA\""), 1);
    assert_int_equal(usable(&ed, ",\"alg\":\"ES256\""), 0);
    assert_int_equal(usable(&ed, ",\"d\":\"AAAA\",\"x5c\":[\"AAAA\"],\"anything\":{}"), 1);
}

/* Names need not be unique where types differ (RFC 7517, section 4.5). */
static void two_keys_may_have_one_name(void **state)
{
    char *set = mint_jwks(&ec, &ed, NULL);
    struct jwks *jwks = jwks_parse(span_of(set), NULL);

    (void)state;
    assert_int_equal(candidates(jwks, CRYPTO_ES256, "a"), 1);
    assert_int_equal(candidates(jwks, CRYPTO_EDDSA, "a"), 1);
    jwks_free(jwks);
    free(set);
}

static void what_is_no_set_is_an_error(void **state)
{
    static const char *const table[] = {
        "",
        "{}",
        "[]",
        "null",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[1,null,\"x\",[],{}]}",
        "<html>It works!</html>",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":7,\"e\":[]}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"====\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}],"
        "\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct error error = {0};

        assert_null(jwks_parse(span_of(table[i]), &error));
        assert_int_equal(error.kind, ERROR_PERM);
    }
}

/* n copies of one key, so that counting costs nothing */
static struct jwks *parse_many(size_t n, struct error *error)
{
    char *jwk = mint_jwk(&ed, "");
    struct jwks *jwks;
    struct buf set;

    buf_init(&set, JWKS_LIMIT_BYTES);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf_appendf(&set, "%s%s", i ? "," : "{\"keys\":[", jwk), 0);
    assert_int_equal(buf_appendf(&set, "]}"), 0);
    jwks = jwks_parse(buf_span(&set), error);
    buf_done(&set);
    free(jwk);
    return jwks;
}

static void a_set_has_a_ceiling(void **state)
{
    static char spaces[JWKS_LIMIT_BYTES + 1];
    struct error error = {0};
    struct jwks *jwks = parse_many(JWKS_KEYS_MOST, NULL);

    (void)state;
    assert_int_equal(jwks_count(jwks), JWKS_KEYS_MOST);
    assert_int_equal(candidates(jwks, CRYPTO_EDDSA, "a"), JWKS_CANDIDATES_MOST);
    jwks_free(jwks);
    assert_null(parse_many(JWKS_KEYS_MOST + 1, &error));
    assert_non_null(strstr(error.sentence, "more than 64"));
    memset(spaces, ' ', sizeof spaces);
    memcpy(spaces, published, sizeof published - 1);
    assert_null(jwks_parse(span_make(spaces, sizeof spaces), NULL));
    jwks = jwks_parse(span_make(spaces, sizeof spaces - 1), NULL);
    assert_non_null(jwks);
    jwks_free(jwks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_published_set_is_read),    cmocka_unit_test(what_a_key_is_for_is_heeded),
        cmocka_unit_test(two_keys_may_have_one_name), cmocka_unit_test(what_is_no_set_is_an_error),
        cmocka_unit_test(a_set_has_a_ceiling),
    };

    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
