/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens that must be taken apart, and those that must not; which key may have signed them; and
 * the forgeries that other programs have fallen for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "token/base64url.h"
#include "token/jwt.h"

#include "../../support/mint.h"

#define ALL ((1u << CRYPTO_SIGNATURE_COUNT) - 1)

static const char claims[] = "{\"iss\":\"https://id.example\",\"sub\":\"ann\"}";

static struct mint rsa, ec, ed, stranger;
static struct jwks *keys; /* of the first three */

static int make_keys(void **state)
{
    char *set;

    (void)state;
    rsa = mint_new(CRYPTO_RS256, "rsa-1");
    ec = mint_new(CRYPTO_ES256, "ec-1");
    ed = mint_new(CRYPTO_EDDSA, "ed-1");
    stranger = mint_new(CRYPTO_ES256, "ec-1");
    set = mint_jwks(&rsa, &ec, &ed);
    keys = jwks_parse(span_of(set), NULL);
    free(set);
    return keys && jwks_count(keys) == 3 ? 0 : -1;
}

static int drop_keys(void **state)
{
    (void)state;
    jwks_free(keys);
    mint_done(&rsa);
    mint_done(&ec);
    mint_done(&ed);
    mint_done(&stranger);
    return 0;
}

static int parses(const char *token)
{
    struct jwt jwt;

    if (jwt_parse(span_of(token), &jwt))
        return 0;
    jwt_done(&jwt);
    return 1;
}

static enum token_verdict verify(const char *token, unsigned algorithms, const struct jwks *with)
{
    enum token_verdict verdict;
    struct jwt jwt;

    assert_int_equal(jwt_parse(span_of(token), &jwt), 0);
    verdict = jwt_verify(&jwt, algorithms, with);
    jwt_done(&jwt);
    return verdict;
}

/* Frees the token. */
static enum token_verdict verify_minted(char *token, unsigned algorithms)
{
    enum token_verdict verdict = verify(token, algorithms, keys);

    free(token);
    return verdict;
}

static void base64url_is_strict(void **state)
{
    static const struct {
        const char *text;
        int result;
        const char *bytes;
    } table[] = {
        {"", 0, ""},         {"Zg", 0, "f"},        {"Zm8", 0, "fo"},
        {"Zm9v", 0, "foo"},  {"Zm9vYg", 0, "foob"}, {"-_-_", 0, "\xfb\xff\xbf"},
        {"Z", -1, NULL},     {"Zm9vY", -1, NULL},   {"Zg==", -1, NULL},
        {"Zm8=", -1, NULL},  {"Zh", -1, NULL},      {"Zm9", -1, NULL},
        {"+/+/", -1, NULL},  {"Zm 9v", -1, NULL},   {"Zm9v\n", -1, NULL},
        {"Zm9v ", -1, NULL}, {"Zm.v", -1, NULL},    {"Zg\xc3\xa4", -1, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct buf out;

        buf_init(&out, 100);
        assert_int_equal(base64url_decode(span_of(table[i].text), &out), table[i].result);
        assert_true(span_eq(buf_span(&out), table[i].bytes ? span_of(table[i].bytes) : span_of("")));
        buf_done(&out);
    }
}

/* The example of RFC 7519, section 3.1, whose algorithm is none of ours. */
static void a_token_is_taken_apart(void **state)
{
    static const char token[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    struct jwt jwt;

    (void)state;
    assert_int_equal(jwt_parse(span_of(token), &jwt), 0);
    assert_string_equal(jwt_issuer(&jwt), "joe");
    assert_false(jwt_names_key(&jwt));
    assert_int_equal(buf_len(&jwt.signature), 32);
    assert_int_equal(jwt_verify(&jwt, ALL, keys), TOKEN_ALGORITHM);
    jwt_done(&jwt);
}

static void what_is_no_token_is_said_to_be_none(void **state)
{
    static const char *const table[] = {
        "",
        ".",
        "..",
        "a",
        "a.b",
        "a.b.c",
        "2YotnFZFEjr1zCsicMWpAA",
        "e30",
        "e30.e30",
        "e30.e30.e30.e30",     /* four parts */
        "e30.e30.e30.e30.e30", /* JWE */
        ".e30.e30",
        "e30..e30",
        "e30.e30.e",
        "e30=.e30.e30",
        "e30.e30.e30 ",
        " e30.e30.e30",
        "e30\n.e30.e30",
        "W10.e30.e30", /* an array */
        "MQ.e30.e30",
        "bnVsbA.e30.e30",             /* 1, null */
        "eyJhIjoxLCJhIjoyfQ.e30.e30", /* {"a":1,"a":2} */
        "e30.eyJhIjoxLCJhIjoyfQ.e30",
        "e30.eyJhIjoxfXg.e30",         /* {"a":1}x */
        "e30.eyJhIjoi_yJ9.e30",        /* no UTF-8 */
        "e30.eyJhIjoiXHUwMDAwIn0.e30", /* {"a":"\u0000"} */
        "e30.eyJhIjoxZTk5OX0.e30",     /* 1e999 */
    };

    (void)state;
    assert_true(parses("e30.e30.e30"));
    assert_true(parses("e30.e30."));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (parses(table[i]))
            fail_msg("was parsed: %s", table[i]);
}

static void sizes_have_ceilings(void **state)
{
    static char text[JWT_LIMIT_BYTES + 64];

    (void)state;
    memset(text, 'A', sizeof text - 1);
    memcpy(text, "e30.e30.", 8);
    assert_false(parses(text)); /* longer than any token */
    text[8 + 4 * CRYPTO_SIGNATURE_MOST_BYTES / 3 + 8] = '\0';
    assert_false(parses(text)); /* longer than any signature */
}

/* JSON as deep as the size allows must not cost the stack. */
static void depth_has_a_ceiling(void **state)
{
    static char json[12000];
    char *payload, *token;

    (void)state;
    memset(json, '[', sizeof json - 1);
    memcpy(json, "{\"a\":", 5);
    payload = mint_base64url(json, strlen(json));
    token = mem_printf("e30.%s.", payload);
    assert_false(parses(token));
    free(payload);
    free(token);
}

static void each_algorithm_verifies(void **state)
{
    (void)state;
    assert_int_equal(verify_minted(mint_token(&rsa, claims), ALL), TOKEN_GOOD);
    assert_int_equal(verify_minted(mint_token(&ec, claims), ALL), TOKEN_GOOD);
    assert_int_equal(verify_minted(mint_token(&ed, claims), ALL), TOKEN_GOOD);
}

static void an_algorithm_that_is_not_allowed_is_refused(void **state)
{
    (void)state;
    assert_int_equal(verify_minted(mint_token(&rsa, claims), 1u << CRYPTO_ES256), TOKEN_ALGORITHM);
    assert_int_equal(verify_minted(mint_token(&ec, claims), 1u << CRYPTO_ES256), TOKEN_GOOD);
    assert_int_equal(verify_minted(mint_token(&ec, claims), 0), TOKEN_ALGORITHM);
}

static void headers_that_forge_are_refused(void **state)
{
    static const struct {
        const char *header;
        enum token_verdict verdict;
    } table[] = {
        {"{\"alg\":\"none\"}", TOKEN_ALGORITHM},
        {"{\"alg\":\"NONE\",\"kid\":\"ec-1\"}", TOKEN_ALGORITHM},
        {"{\"alg\":\"HS256\",\"kid\":\"rsa-1\"}", TOKEN_ALGORITHM}, /* the public key as a shared secret */
        {"{\"alg\":\"ES384\",\"kid\":\"ec-1\"}", TOKEN_ALGORITHM},
        {"{\"alg\":\"PS256\",\"kid\":\"rsa-1\"}", TOKEN_ALGORITHM},
        {"{\"alg\":[\"ES256\"],\"kid\":\"ec-1\"}", TOKEN_ALGORITHM},
        {"{\"alg\":null}", TOKEN_ALGORITHM},
        {"{\"kid\":\"ec-1\"}", TOKEN_ALGORITHM},
        {"{\"alg\":\"ES256\",\"kid\":\"ec-1\",\"crit\":[\"exp\"]}", TOKEN_CRITICAL},
        {"{\"alg\":\"ES256\",\"kid\":\"ec-1\",\"b64\":false,\"crit\":[\"b64\"]}", TOKEN_CRITICAL},
        {"{\"alg\":\"ES256\",\"kid\":\"ec-1\",\"crit\":[]}", TOKEN_CRITICAL},
        {"{\"alg\":\"RS256\",\"kid\":\"ec-1\"}", TOKEN_UNKNOWN_KEY}, /* that key is of another type */
        {"{\"alg\":\"ES256\",\"kid\":\"ec-2\"}", TOKEN_UNKNOWN_KEY},
        {"{\"alg\":\"ES256\",\"kid\":\"../../../etc/passwd\"}", TOKEN_UNKNOWN_KEY},
        {"{\"alg\":\"ES256\",\"kid\":7}", TOKEN_UNKNOWN_KEY},
        {"{\"alg\":\"ES256\",\"kid\":\"\"}", TOKEN_UNKNOWN_KEY},
        {"{\"alg\":\"RS256\",\"kid\":\"rsa-1\"}", TOKEN_SIGNATURE},
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed-1\"}", TOKEN_SIGNATURE},
        {"{\"alg\":\"ES256\",\"kid\":\"ec-1\"}", TOKEN_GOOD}, /* all of these are signed with ec-1 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(verify_minted(mint_token_as(&ec, table[i].header, claims), ALL), table[i].verdict);
}

/* A key that comes with the token is anybody's key. */
static void a_key_in_the_header_is_not_used(void **state)
{
    char *jwk = mint_jwk(&stranger, "");
    char *header = mem_printf("{\"alg\":\"ES256\",\"jwk\":%s}", jwk);

    (void)state;
    assert_int_equal(verify_minted(mint_token_as(&stranger, header, claims), ALL), TOKEN_SIGNATURE);
    free(header);
    free(jwk);
}

static void another_key_of_the_same_name_is_refused(void **state)
{
    (void)state;
    assert_int_equal(verify_minted(mint_token(&stranger, claims), ALL), TOKEN_SIGNATURE);
}

static void changed_claims_are_refused(void **state)
{
    char *token = mint_token(&ed, claims);
    const char *changed = "{\"iss\":\"https://id.example\",\"sub\":\"eve\"}";
    char *other = mint_base64url(changed, strlen(changed));
    char *first = strchr(token, '.'), *second = strrchr(token, '.');
    char *forged;

    (void)state;
    *first = '\0';
    forged = mem_printf("%s.%s%s", token, other, second);
    assert_int_equal(verify(forged, ALL, keys), TOKEN_SIGNATURE);
    *second = '\0';
    *first = '.';
    free(forged);
    forged = mem_printf("%s.", token);
    assert_int_equal(verify(forged, ALL, keys), TOKEN_SIGNATURE); /* the signature cut off */
    free(forged);
    free(other);
    free(token);
}

/* Without `kid` the keys of its algorithm are tried, but not without end. */
static void a_token_without_kid_tries_the_keys_of_its_type(void **state)
{
    struct mint nameless[JWKS_CANDIDATES_MOST + 1];
    struct buf set;
    struct jwks *many;
    char *token;

    (void)state;
    buf_init(&set, JWKS_LIMIT_BYTES);
    for (size_t i = 0; i <= JWKS_CANDIDATES_MOST; i++) {
        char *jwk;

        nameless[i] = mint_new(CRYPTO_ES256, NULL);
        jwk = mint_jwk(&nameless[i], "");
        assert_int_equal(buf_appendf(&set, "%s%s", i ? "," : "{\"keys\":[", jwk), 0);
        free(jwk);
    }
    assert_int_equal(buf_appendf(&set, "]}"), 0);
    many = jwks_parse(buf_span(&set), NULL);
    for (size_t i = 0; i <= JWKS_CANDIDATES_MOST; i++) {
        token = mint_token(&nameless[i], claims);
        assert_int_equal(verify(token, ALL, many), i < JWKS_CANDIDATES_MOST ? TOKEN_GOOD : TOKEN_SIGNATURE);
        free(token);
    }
    token = mint_token_as(&ec, "{\"alg\":\"ES256\"}", claims);
    assert_int_equal(verify(token, ALL, keys), TOKEN_GOOD);
    assert_int_equal(verify(token, ALL, NULL), TOKEN_UNKNOWN_KEY);
    free(token);
    for (size_t i = 0; i <= JWKS_CANDIDATES_MOST; i++)
        mint_done(&nameless[i]);
    jwks_free(many);
    buf_done(&set);
}

/* ---- its type ---- */

static enum token_verdict type_of(const char *header, const json_t *types)
{
    char *token = mint_token_as(&ec, header, claims);
    enum token_verdict verdict;
    struct jwt jwt;

    assert_int_equal(jwt_parse(span_of(token), &jwt), 0);
    verdict = jwt_check_type(&jwt, types);
    jwt_done(&jwt);
    free(token);
    return verdict;
}

static void a_type_is_one_of_those_that_are_taken(void **state)
{
    static const struct {
        const char *header;
        bool is_usual, is_at, is_other; /* of ["JWT", "at+jwt"], of ["application/AT+jwt"], of ["example/a+jwt"] */
    } table[] = {
        {"{}", true, false, false},
        {"{\"typ\":\"JWT\"}", true, false, false},
        {"{\"typ\":\"jwt\"}", true, false, false},
        {"{\"typ\":\"application/jwt\"}", true, false, false},
        {"{\"typ\":\"Application/JWT\"}", true, false, false},
        {"{\"typ\":\"at+jwt\"}", true, true, false},
        {"{\"typ\":\"AT+JWT\"}", true, true, false},
        {"{\"typ\":\"application/at+jwt\"}", true, true, false},
        {"{\"typ\":\"example/a+jwt\"}", false, false, true},
        {"{\"typ\":\"application/example/a+jwt\"}", false, false, false},
        {"{\"typ\":\"a+jwt\"}", false, false, false},
        {"{\"typ\":\"logout+jwt\"}", false, false, false},
        {"{\"typ\":\"dpop+jwt\"}", false, false, false},
        {"{\"typ\":\"id_token+jwt\"}", false, false, false},
        {"{\"typ\":\"secevent+jwt\"}", false, false, false},
        {"{\"typ\":\"oauth-authz-req+jwt\"}", false, false, false},
        {"{\"typ\":\"application/application/jwt\"}", false, false, false},
        {"{\"typ\":\"text/jwt\"}", false, false, false},
        {"{\"typ\":\"/jwt\"}", false, false, false},
        {"{\"typ\":\"application/\"}", false, false, false},
        {"{\"typ\":\"\"}", false, false, false},
        {"{\"typ\":\"JWT \"}", false, false, false},
        {"{\"typ\":\"JW\"}", false, false, false},
        {"{\"typ\":\"at+jwt; charset=utf-8\"}", false, false, false},
        {"{\"typ\":null}", false, false, false},
        {"{\"typ\":7}", false, false, false},
        {"{\"typ\":[\"JWT\"]}", false, false, false},
        {"{\"TYP\":\"logout+jwt\"}", true, false, false}, /* another parameter */
    };
    json_t *usual = json_pack("[s, s]", "JWT", "at+jwt"), *at = json_pack("[s]", "application/AT+jwt"),
           *other = json_pack("[s]", "example/a+jwt");

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if ((type_of(table[i].header, usual) == TOKEN_GOOD) != table[i].is_usual ||
            (type_of(table[i].header, at) == TOKEN_GOOD) != table[i].is_at ||
            (type_of(table[i].header, other) == TOKEN_GOOD) != table[i].is_other)
            fail_msg("%s", table[i].header);
    assert_int_equal(type_of("{\"typ\":\"logout+jwt\"}", usual), TOKEN_TYPE);
    json_decref(usual);
    json_decref(at);
    json_decref(other);
}

static void types_that_can_be(void **state)
{
    static const char *const sound[] = {"JWT", "at+jwt", "application/at+jwt", "example/a", "vnd.x-y_z!#$&^", "7"};
    static const char *const unsound[] = {"",     "/",       "application/", "/jwt", "a/b/c",    "at jwt",  " at+jwt",
                                          "+jwt", "at+jwt;", "a/+b",         "*",    "\xc3\xa4", "at+jwt\n"};

    (void)state;
    for (size_t i = 0; i < sizeof sound / sizeof *sound; i++)
        assert_true(jwt_type_is_sound(span_of(sound[i])));
    for (size_t i = 0; i < sizeof unsound / sizeof *unsound; i++)
        assert_false(jwt_type_is_sound(span_of(unsound[i])));
    assert_false(jwt_type_is_sound(span_make("a\0b", 3)));
}

static void every_verdict_has_words(void **state)
{
    (void)state;
    for (int i = 0; i < TOKEN_VERDICT_COUNT; i++) {
        assert_non_null(token_verdict_name((enum token_verdict)i));
        assert_non_null(token_verdict_sentence((enum token_verdict)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64url_is_strict),
        cmocka_unit_test(a_token_is_taken_apart),
        cmocka_unit_test(what_is_no_token_is_said_to_be_none),
        cmocka_unit_test(sizes_have_ceilings),
        cmocka_unit_test(depth_has_a_ceiling),
        cmocka_unit_test(each_algorithm_verifies),
        cmocka_unit_test(an_algorithm_that_is_not_allowed_is_refused),
        cmocka_unit_test(headers_that_forge_are_refused),
        cmocka_unit_test(a_key_in_the_header_is_not_used),
        cmocka_unit_test(another_key_of_the_same_name_is_refused),
        cmocka_unit_test(changed_claims_are_refused),
        cmocka_unit_test(a_token_without_kid_tries_the_keys_of_its_type),
        cmocka_unit_test(a_type_is_one_of_those_that_are_taken),
        cmocka_unit_test(types_that_can_be),
        cmocka_unit_test(every_verdict_has_words),
    };

    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
