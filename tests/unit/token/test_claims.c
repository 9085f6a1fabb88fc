/* SPDX-License-Identifier: Apache-2.0
 *
 * Claims against rules: each row is one token that differs from a good one in one respect. The
 * clock stands at 1,000,000 seconds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "token/claims.h"

#define NOW_MS ((int64_t)1000000 * 1000)

static json_t *audiences, *scopes;
static struct claims_rules strict;

static int make_rules(void **state)
{
    (void)state;
    audiences = json_pack("[s, s]", "smtp", "mail");
    scopes = json_pack("[s, s]", "mail.send", "openid");
    strict = (struct claims_rules){.issuer = "https://id.example",
                                   .audiences = audiences,
                                   .scopes = scopes,
                                   .leeway_ms = 60000,
                                   .needs_expiry = true,
                                   .user_claims = {"sub"}};
    return 0;
}

static int drop_rules(void **state)
{
    (void)state;
    json_decref(audiences);
    json_decref(scopes);
    return 0;
}

/* A good token's claims, changed by those of `text`, of which null takes one away. */
static json_t *claims_with(const char *text)
{
    json_t *claims = json_pack("{s:s, s:s, s:s, s:i, s:s}", "iss", "https://id.example", "aud", "smtp", "sub", "ann",
                               "exp", 1000300, "scope", "openid mail.send profile");
    json_t *changes = json_loads(text, 0, NULL), *value;
    const char *name;

    assert_non_null(changes);
    json_object_foreach(changes, name, value)
    {
        if (json_is_null(value))
            json_object_del(claims, name);
        else
            json_object_set(claims, name, value);
    }
    json_decref(changes);
    return claims;
}

static enum token_verdict check(const struct claims_rules *rules, const char *changes)
{
    json_t *claims = claims_with(changes);
    enum token_verdict verdict = claims_check(rules, claims, NOW_MS);

    json_decref(claims);
    return verdict;
}

struct row {
    const char *changes;
    enum token_verdict verdict;
};

static void check_all(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum token_verdict verdict = check(&strict, rows[i].changes);

        if (verdict != rows[i].verdict)
            fail_msg("%s: %s, not %s", rows[i].changes, token_verdict_name(verdict),
                     token_verdict_name(rows[i].verdict));
    }
}

static void issuer_and_audience(void **state)
{
    static const struct row rows[] = {
        {"{}", TOKEN_GOOD},
        {"{\"iss\":\"https://id.example/\"}", TOKEN_ISSUER},
        {"{\"iss\":null}", TOKEN_ISSUER},
        {"{\"iss\":[\"https://id.example\"]}", TOKEN_ISSUER},
        {"{\"aud\":\"mail\"}", TOKEN_GOOD},
        {"{\"aud\":[\"web\",\"mail\"]}", TOKEN_GOOD},
        {"{\"aud\":\"web\"}", TOKEN_AUDIENCE},
        {"{\"aud\":[\"web\"]}", TOKEN_AUDIENCE},
        {"{\"aud\":[]}", TOKEN_AUDIENCE},
        {"{\"aud\":\"smtp \"}", TOKEN_AUDIENCE},
        {"{\"aud\":\"smt\"}", TOKEN_AUDIENCE},
        {"{\"aud\":null}", TOKEN_AUDIENCE},
        {"{\"aud\":7}", TOKEN_CLAIM},
        {"{\"aud\":{\"smtp\":true}}", TOKEN_CLAIM},
        {"{\"aud\":[\"smtp\",7]}", TOKEN_CLAIM},
    };

    (void)state;
    check_all(rows, sizeof rows / sizeof *rows);
}

static void times(void **state)
{
    static const struct row rows[] = {
        {"{\"exp\":999941}", TOKEN_GOOD}, /* within the leeway */
        {"{\"exp\":999940}", TOKEN_EXPIRED},
        {"{\"exp\":0}", TOKEN_EXPIRED},
        {"{\"exp\":999940.5}", TOKEN_GOOD},
        {"{\"exp\":1e11}", TOKEN_GOOD},
        {"{\"exp\":null}", TOKEN_CLAIM},
        {"{\"exp\":\"1000300\"}", TOKEN_CLAIM},
        {"{\"exp\":-1}", TOKEN_CLAIM},
        {"{\"exp\":1e300}", TOKEN_CLAIM},
        {"{\"exp\":9223372036854775807}", TOKEN_CLAIM},
        {"{\"exp\":true}", TOKEN_CLAIM},
        {"{\"nbf\":1000060}", TOKEN_GOOD},
        {"{\"nbf\":1000061}", TOKEN_NOT_YET},
        {"{\"nbf\":\"soon\"}", TOKEN_CLAIM},
        {"{\"iat\":1000060}", TOKEN_GOOD},
        {"{\"iat\":1000061}", TOKEN_NOT_YET},
        {"{\"iat\":[]}", TOKEN_CLAIM},
        {"{\"iat\":0,\"nbf\":0}", TOKEN_GOOD},
    };
    struct claims_rules lenient = strict;

    (void)state;
    check_all(rows, sizeof rows / sizeof *rows);
    lenient.needs_expiry = false;
    assert_int_equal(check(&lenient, "{\"exp\":null}"), TOKEN_GOOD);
    assert_int_equal(check(&lenient, "{\"exp\":5}"), TOKEN_EXPIRED);
}

static void scopes_are_all_needed(void **state)
{
    static const struct row rows[] = {
        {"{\"scope\":\"mail.send openid\"}", TOKEN_GOOD},
        {"{\"scope\":\"openid\"}", TOKEN_SCOPE},
        {"{\"scope\":\"openid mail.sender\"}", TOKEN_SCOPE},
        {"{\"scope\":\"openid  mail.send\"}", TOKEN_GOOD},
        {"{\"scope\":\"OPENID mail.send\"}", TOKEN_SCOPE},
        {"{\"scope\":\"\"}", TOKEN_SCOPE},
        {"{\"scope\":null}", TOKEN_SCOPE},
        {"{\"scope\":null,\"scp\":[\"openid\",\"mail.send\"]}", TOKEN_GOOD},
        {"{\"scope\":null,\"scp\":\"openid mail.send\"}", TOKEN_GOOD},
        {"{\"scope\":[\"openid\",\"mail.send\"]}", TOKEN_GOOD},
        {"{\"scope\":[\"openid mail.send\"]}", TOKEN_SCOPE},
        {"{\"scope\":[\"openid\",\"mail.send\",7]}", TOKEN_SCOPE},
        {"{\"scope\":{\"openid\":true}}", TOKEN_SCOPE},
    };

    (void)state;
    check_all(rows, sizeof rows / sizeof *rows);
}

/* A token that is good only with a proof of a key opens the gate to nobody who brings the token alone. */
static void a_token_bound_to_a_key_is_none_for_bearers(void **state)
{
    static const struct row rows[] = {
        {"{\"cnf\":{\"jkt\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"}}", TOKEN_BOUND},      /* RFC 9449 */
        {"{\"cnf\":{\"x5t#S256\":\"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2\"}}", TOKEN_BOUND}, /* RFC 8705 */
        {"{\"cnf\":{\"kid\":\"dfd1aa97\"}}", TOKEN_BOUND},                                         /* RFC 7800 */
        {"{\"cnf\":{}}", TOKEN_BOUND},
        {"{\"cnf\":7}", TOKEN_BOUND},
        {"{\"cnf\":false}", TOKEN_BOUND},
        {"{\"CNF\":{}}", TOKEN_GOOD}, /* another claim */
        {"{\"cnf\":{},\"iss\":\"https://other.example\"}", TOKEN_ISSUER},
        {"{\"cnf\":{},\"exp\":1}", TOKEN_EXPIRED},
        {"{\"cnf\":{},\"scope\":\"\"}", TOKEN_BOUND},
    };
    static const struct claims_rules open = {.user_claims = {"sub"}};

    (void)state;
    check_all(rows, sizeof rows / sizeof *rows);
    assert_int_equal(check(&open, "{\"cnf\":{}}"), TOKEN_BOUND);
}

/* null does not mean that there is none: claims_with() would take it away. */
static void a_binding_to_null_is_one(void **state)
{
    json_t *claims = claims_with("{}");

    (void)state;
    json_object_set_new(claims, "cnf", json_null());
    assert_int_equal(claims_check(&strict, claims, NOW_MS), TOKEN_BOUND);
    json_decref(claims);
}

static void rules_that_ask_for_nothing(void **state)
{
    static const struct claims_rules open = {.user_claims = {"sub"}};
    json_t *none = json_object();

    (void)state;
    assert_int_equal(claims_check(&open, none, NOW_MS), TOKEN_GOOD);
    json_decref(none);
}

/* ---- the record ---- */

/* "{...}" of the record without the claims in it, or the verdict's name; freed by the caller */
static char *record(const struct claims_rules *rules, const char *changes)
{
    json_t *claims = claims_with(changes), *fields = NULL;
    enum token_verdict verdict = claims_record(rules, claims, &fields);
    char *text;

    if (verdict == TOKEN_GOOD) {
        assert_true(json_equal(json_object_get(fields, "claims"), claims));
        json_object_del(fields, "claims");
        text = json_dumps(fields, JSON_COMPACT | JSON_SORT_KEYS);
    } else {
        text = mem_strdup(token_verdict_name(verdict));
    }
    json_decref(fields);
    json_decref(claims);
    return text;
}

static void expect_record(const struct claims_rules *rules, const char *changes, const char *expected)
{
    char *text = record(rules, changes);

    assert_string_equal(text, expected);
    free(text);
}

static void the_user_is_found(void **state)
{
    struct claims_rules rules = {.user_claims = {"username", "sub"}};

    (void)state;
    expect_record(&rules, "{}", "{\"name\":\"ann\"}");
    expect_record(&rules, "{\"username\":\"bob\"}", "{\"name\":\"bob\"}");
    expect_record(&rules, "{\"username\":\"\"}", "no_user");
    expect_record(&rules, "{\"username\":7}", "no_user");
    expect_record(&rules, "{\"sub\":null}", "no_user");
    expect_record(&rules, "{\"sub\":\"a\\r\\nb\"}", "no_user");
    expect_record(&rules, "{\"sub\":\"a\\u007fb\"}", "no_user");
    expect_record(&rules, "{\"sub\":\"\\u00e4nn\"}", "{\"name\":\"\xc3\xa4nn\"}");
    rules.user_claims[0] = "act.sub";
    rules.user_claims[1] = NULL;
    expect_record(&rules, "{\"act\":{\"sub\":\"carl\"}}", "{\"name\":\"carl\"}");
    expect_record(&rules, "{\"act\":{\"sub\":\"carl\"},\"act.sub\":\"dora\"}", "{\"name\":\"dora\"}");
    expect_record(&rules, "{\"act\":\"carl\"}", "no_user");
}

static void a_long_name_is_no_user(void **state)
{
    static const struct claims_rules rules = {.user_claims = {"sub"}};
    char name[CLAIMS_USER_LIMIT + 2], *changes, *text;

    (void)state;
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    changes = mem_printf("{\"sub\":\"%s\"}", name);
    text = record(&rules, changes);
    assert_string_equal(text, "no_user");
    free(text);
    free(changes);
}

/* Whoever opens an account may write any address into it; an issuer that has not checked it says so. */
static void an_address_that_nobody_verified_is_no_user(void **state)
{
    static const struct claims_rules rules = {.user_claims = {"email"}};

    (void)state;
    expect_record(&rules, "{\"email\":\"a@b.example\"}", "{\"name\":\"a@b.example\"}");
    expect_record(&rules, "{\"email\":\"a@b.example\",\"email_verified\":true}", "{\"name\":\"a@b.example\"}");
    expect_record(&rules, "{\"email\":\"a@b.example\",\"email_verified\":false}", "no_user");
    expect_record(&rules, "{\"email\":\"a@b.example\",\"email_verified\":\"false\"}", "no_user");
    expect_record(&rules, "{}", "no_user");
}

static void claims_become_fields(void **state)
{
    static const struct claims_rules rules = {.user_claims = {"sub"},
                                              .groups_claim = "realm_access.roles",
                                              .tenant_claim = "org",
                                              .senders_claim = "https://id.example/senders"};

    (void)state;
    expect_record(&rules,
                  "{\"realm_access\":{\"roles\":[\"staff\",\"ops\"]},\"org\":\"acme\","
                  "\"https://id.example/senders\":[\"a@acme.example\",\"*@ops.example\"]}",
                  "{\"groups\":[\"staff\",\"ops\"],\"name\":\"ann\",\"senders\":[\"a@acme.example\",\"*@ops.example\"],"
                  "\"tenants\":[\"acme\"]}");
    expect_record(&rules, "{\"org\":\"acme\",\"https://id.example/senders\":\"a@acme.example\"}",
                  "{\"name\":\"ann\",\"senders\":[\"a@acme.example\"],\"tenants\":[\"acme\"]}");
    /* what would narrow the user's rights may not be missing */
    expect_record(&rules, "{\"org\":\"acme\"}", "bad_claim");
    expect_record(&rules, "{\"https://id.example/senders\":\"a@acme.example\"}", "bad_claim");
    expect_record(&rules, "{\"org\":[],\"https://id.example/senders\":\"a@acme.example\"}", "bad_claim");
    expect_record(&rules, "{\"org\":7,\"https://id.example/senders\":\"a@acme.example\"}", "bad_claim");
    expect_record(&rules, "{\"org\":\"a\\nb\",\"https://id.example/senders\":\"a@acme.example\"}", "bad_claim");
    expect_record(&rules, "{\"realm_access\":{\"roles\":[7]},\"org\":\"a\",\"https://id.example/senders\":\"b\"}",
                  "bad_claim");
}

static void expiry_for_caches(void **state)
{
    json_t *claims = claims_with("{\"exp\":1000300}");

    (void)state;
    assert_int_equal(claims_expiry_ms(claims), 1000300000);
    json_object_set_new(claims, "exp", json_string("later"));
    assert_true(claims_expiry_ms(claims) == INT64_MAX);
    json_object_del(claims, "exp");
    assert_true(claims_expiry_ms(claims) == INT64_MAX);
    json_decref(claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(issuer_and_audience),
        cmocka_unit_test(times),
        cmocka_unit_test(scopes_are_all_needed),
        cmocka_unit_test(a_token_bound_to_a_key_is_none_for_bearers),
        cmocka_unit_test(a_binding_to_null_is_one),
        cmocka_unit_test(rules_that_ask_for_nothing),
        cmocka_unit_test(the_user_is_found),
        cmocka_unit_test(a_long_name_is_no_user),
        cmocka_unit_test(an_address_that_nobody_verified_is_no_user),
        cmocka_unit_test(claims_become_fields),
        cmocka_unit_test(expiry_for_caches),
    };

    return cmocka_run_group_tests(tests, make_rules, drop_rules);
}
