/* SPDX-License-Identifier: Apache-2.0
 *
 * The JWT store: what a token comes to; and keys from a file and over HTTP, changed, withheld, broken and slow. An
 * issuer that misbehaves must never make a good token wrong or a bad one good.
 */
#include "ask_token.h"

#include "credential/jwt_keys.h"

static struct mint old_key, new_key, nameless;
static char *old_set, *new_set, *nameless_set;
static struct fake_issuer *issuer;

static int set_up(void **state)
{
    clock_inject(&later_clock);
    old_key = mint_new(CRYPTO_ES256, "old");
    new_key = mint_new(CRYPTO_EDDSA, "new");
    nameless = mint_new(CRYPTO_EDDSA, NULL);
    old_set = mint_jwks(&old_key, NULL, NULL);
    new_set = mint_jwks(&new_key, NULL, NULL);
    nameless_set = mint_jwks(&nameless, NULL, NULL);
    issuer = fake_issuer_start();
    return make_dir(state);
}

static int tear_down(void **state)
{
    fake_issuer_stop(issuer);
    mint_done(&old_key);
    mint_done(&new_key);
    mint_done(&nameless);
    free(old_set);
    free(new_set);
    free(nameless_set);
    return remove_dir(state);
}

/* ---- stores and tokens ---- */

#define BASE "issuer = 'https://id.example'\naudience = 'smtp'\n"

static struct test_store open_file(const char *name, const char *set, const char *more)
{
    char toml[2048];

    write_file(name, set);
    snprintf(toml, sizeof toml, BASE "jwks_file = '%s'\n%s", in_dir(name), more);
    return token_store_open(&store_jwt, toml);
}

/* A busy machine may make the issuer slow, which is no failure of its. */
#define PATIENT "timeout = '60s'\n"
#define HASTY "timeout = '500ms'\n" /* for an issuer that never answers */

static struct test_store open_within(const char *timeout, const char *more)
{
    char toml[2048];

    snprintf(toml, sizeof toml, BASE "jwks_url = '%s/keys'\n%s%s", issuer->address, timeout, more);
    return token_store_open(&store_jwt, toml);
}

static struct test_store open_url(const char *more) { return open_within(PATIENT, more); }

/* Ann's, good for an hour, with these claims besides. */
static char *ann(const struct mint *mint, const char *more)
{
    char *claims = mem_printf("{\"iss\":\"https://id.example\",\"aud\":\"smtp\",\"sub\":\"ann\",\"exp\":%lld%s}",
                              now_s() + 3600, more);
    char *token = mint_token(mint, claims);

    free(claims);
    return token;
}

static char *with_claims(const char *format, long long time_s)
{
    char text[512];

    snprintf(text, sizeof text, format, time_s);
    return mint_token(&old_key, text);
}

/* ---- verdicts ---- */

static void a_good_token_names_its_user(void **state)
{
    struct test_store store = open_file("good", old_set, "groups_claim = 'roles'\ntenant_claim = 'org'\n");
    char *token = ann(&old_key, ",\"roles\":[\"staff\"],\"org\":\"acme\"");
    struct credential *credential;
    struct test_ask test;

    (void)state;
    token_begin(&store, &test, token);
    assert_int_equal(test.outcome, STORE_FOUND);
    assert_string_equal(json_string_value(json_object_get(json_object_get(test.fields, "claims"), "org")), "acme");
    credential = credential_from_json("somebody", test.fields, true, NULL);
    assert_string_equal(credential->name, "ann");
    assert_string_equal(credential->groups.texts[0], "staff");
    assert_string_equal(credential->tenants.texts[0], "acme");
    credential_unref(&credential);
    ask_forget(&test);
    free(token);
    token_store_close(&store);
}

static void every_refusal_has_its_reason(void **state)
{
    struct test_store store = open_file("refusals", old_set, "scopes = ['mail.send']\nleeway = 60\n");
    char *forged = ann(&old_key, ",\"scope\":\"mail.send\"");

    (void)state;
    expect_minted(&store, ann(&old_key, ",\"scope\":\"openid mail.send\""), "ann");
    expect_minted(&store, ann(&old_key, ",\"scope\":\"openid\""), "missing_scope");
    expect_minted(&store, ann(&old_key, ""), "missing_scope");
    expect_minted(&store, with_claims("{\"iss\":\"https://id.example\",\"aud\":\"web\",\"exp\":%lld}", now_s() + 60),
                  "wrong_audience");
    expect_minted(&store, with_claims("{\"iss\":\"https://id.example\",\"aud\":\"smtp\",\"exp\":%lld}", now_s() - 61),
                  "expired");
    expect_minted(
        &store,
        with_claims("{\"iss\":\"https://id.example\",\"aud\":\"smtp\",\"exp\":9999999999,\"nbf\":%lld}", now_s() + 100),
        "not_yet_valid");
    expect_minted(&store, with_claims("{\"iss\":\"https://id.example\",\"aud\":\"smtp\",\"iat\":%lld}", now_s()),
                  "bad_claim");
    expect_minted(&store,
                  with_claims("{\"iss\":\"https://id.example\",\"aud\":\"smtp\",\"scope\":\"mail.send\",\"exp\":%lld}",
                              now_s() + 60),
                  "no_user");
    expect_minted(&store, mint_token_as(&old_key, "{\"alg\":\"none\"}", "{\"iss\":\"https://id.example\"}"),
                  "bad_algorithm");
    expect_minted(&store,
                  mint_token_as(&old_key, "{\"alg\":\"ES256\",\"crit\":[\"x\"]}", "{\"iss\":\"https://id.example\"}"),
                  "critical_header");
    expect_minted(&store, ann(&new_key, ""), "unknown_key");
    forged[strlen(forged) - 20] ^= forged[strlen(forged) - 20] == 'A' ? 3 : 'A' ^ forged[strlen(forged) - 20];
    expect_minted(&store, forged, "bad_signature");
    token_store_close(&store);
}

static void what_is_not_for_this_store_is_passed_on(void **state)
{
    struct test_store store = open_file("others", old_set, "");
    char *token = with_claims("{\"iss\":\"https://other.example\",\"aud\":\"smtp\",\"exp\":%lld}", now_s());

    (void)state;
    expect_passed_on(&store, token, "the token comes from another issuer");
    free(token);
    expect_token(&store, "2YotnFZFEjr1zCsicMWpAA", "(not found)");
    expect_token(&store, "", "(not found)");
    expect_token(&store, "a.b.c", "(not found)");
    expect_minted(&store, with_claims("{\"aud\":\"smtp\",\"sub\":\"ann\",\"exp\":%lld}", now_s() + 60), "(not found)");
    token_store_close(&store);
}

static void algorithms_can_be_narrowed(void **state)
{
    char *both = mint_jwks(&old_key, &new_key, NULL);
    struct test_store store = open_file("narrow", both, "algorithms = ['EdDSA']\n");

    (void)state;
    expect_minted(&store, ann(&new_key, ""), "ann");
    expect_minted(&store, ann(&old_key, ""), "bad_algorithm");
    token_store_close(&store);
    free(both);
}

static void expiry_may_be_waived_by_name(void **state)
{
    struct test_store store = open_file("waived", old_set, "require_expiry = false\n");

    (void)state;
    expect_minted(
        &store, with_claims("{\"iss\":\"https://id.example\",\"aud\":\"smtp\",\"sub\":\"ann\",\"iat\":%lld}", now_s()),
        "ann");
    token_store_close(&store);
}

/* Ann's, with this header besides the algorithm. */
static char *ann_typed(const char *typ)
{
    char *header = mem_printf("{\"alg\":\"ES256\",\"kid\":\"old\"%s}", typ);
    char *payload =
        mem_printf("{\"iss\":\"https://id.example\",\"aud\":\"smtp\",\"sub\":\"ann\",\"exp\":%lld}", now_s() + 3600);
    char *token = mint_token_as(&old_key, header, payload);

    free(header);
    free(payload);
    return token;
}

/* What else the issuer signs with the same keys for the same audience is no access token. */
static void other_kinds_of_tokens_are_refused(void **state)
{
    struct test_store store = open_file("kinds", old_set, "");
    char *forged = ann_typed(",\"typ\":\"logout+jwt\"");

    (void)state;
    expect_minted(&store, ann_typed(""), "ann");
    expect_minted(&store, ann_typed(",\"typ\":\"JWT\""), "ann");
    expect_minted(&store, ann_typed(",\"typ\":\"application/at+jwt\""), "ann");
    expect_minted(&store, ann_typed(",\"typ\":\"logout+jwt\""), "bad_type");
    expect_minted(&store, ann_typed(",\"typ\":\"dpop+jwt\""), "bad_type");
    expect_minted(&store, ann_typed(",\"typ\":7"), "bad_type");
    forged[strlen(forged) - 20] ^= forged[strlen(forged) - 20] == 'A' ? 3 : 'A' ^ forged[strlen(forged) - 20];
    expect_minted(&store, forged, "bad_signature"); /* it may say what it likes */
    token_store_close(&store);
}

static void types_can_be_chosen(void **state)
{
    struct test_store store = open_file("strict", old_set, "types = 'at+jwt'\n");

    (void)state;
    expect_minted(&store, ann_typed(",\"typ\":\"at+JWT\""), "ann");
    expect_minted(&store, ann_typed(",\"typ\":\"JWT\""), "bad_type");
    expect_minted(&store, ann_typed(""), "bad_type");
    token_store_close(&store);
    store = open_file("wide", old_set, "types = ['application/JWT', 'id_token+jwt']\n");
    expect_minted(&store, ann_typed(",\"typ\":\"id_token+jwt\""), "ann");
    expect_minted(&store, ann_typed(""), "ann");
    expect_minted(&store, ann_typed(",\"typ\":\"at+jwt\""), "bad_type");
    token_store_close(&store);
}

static void a_token_that_is_bound_to_a_key_is_refused(void **state)
{
    struct test_store store = open_file("bound", old_set, "");

    (void)state;
    expect_minted(&store, ann(&old_key, ",\"cnf\":{\"jkt\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"}"), "bound");
    expect_minted(&store, ann(&old_key, ",\"cnf\":null"), "bound");
    token_store_close(&store);
}

static void settings_are_checked(void **state)
{
    static const struct {
        const char *toml, *key;
    } table[] = {
        {"audience = 'smtp'\njwks_url = 'https://id.example/keys'", "issuer"},
        {"issuer = 'x'\njwks_url = 'https://id.example/keys'", "audience"},
        {"issuer = 'x'\naudience = []\njwks_url = 'https://id.example/keys'", "audience"},
        {BASE, "jwks_url"},
        {BASE "jwks_url = 'https://id.example/keys'\njwks_file = '/x'", "jwks_url"},
        {BASE "jwks_url = 'http://id.example/keys'", "jwks_url"}, /* in clear, from another machine */
        {BASE "jwks_url = 'ftp://127.0.0.1/keys'", "jwks_url"},
        {BASE "jwks_url = 'https://id.example/keys'\nalgorithms = ['HS256']", "algorithms"},
        {BASE "jwks_url = 'https://id.example/keys'\nalgorithms = ['none']", "algorithms"},
        {BASE "jwks_url = 'https://id.example/keys'\ntypes = []", ":4: types: must name one"},
        {BASE "jwks_url = 'https://id.example/keys'\ntypes = 7", ":4: types: must be a string or an array"},
        {BASE "jwks_url = 'https://id.example/keys'\ntypes = ''", ":4: types: must be media types"},
        {BASE "jwks_url = 'https://id.example/keys'\ntypes = ['at+jwt', 'at jwt']", ":4: types: must be media types"},
        {BASE "jwks_url = 'https://id.example/keys'\nleeway = '1h'", "leeway"},
        {BASE "jwks_url = 'https://id.example/keys'\nrefresh = 0", "refresh"},
        {BASE "jwks_url = 'https://id.example/keys'\nrefresh = '2h'\nkeep_for = '1h'", "keep_for"},
        {BASE "jwks_url = 'https://id.example/keys'\nca_file = '/nonexistent.pem'", "ca_file"},
        {BASE "jwks_url = 'https://id.example/keys'\nissuers = 'x'", "issuers"},
        {BASE "jwks_file = '/nonexistent.json'", "/nonexistent.json"},
        {BASE "jwks_file = '/dev/null'", "/dev/null"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct error error = {0};

        assert_null(try_open(&store_jwt, table[i].toml, &error));
        if (!strstr(error.sentence, table[i].key))
            fail_msg("%s: %s", table[i].toml, error.sentence);
    }
}

/* ---- a file ---- */

static void a_changed_file_is_noticed_by_an_unknown_key(void **state)
{
    struct test_store store = open_file("rotated", old_set, "");

    (void)state;
    expect_minted(&store, ann(&new_key, ""), "unknown_key");
    write_file("rotated", new_set);
    expect_minted(&store, ann(&new_key, ""), "unknown_key"); /* it was looked at just now */
    pass_ms(JWT_KEYS_PAUSE_MS);
    expect_minted(&store, ann(&new_key, ""), "ann");
    expect_minted(&store, ann(&old_key, ""), "unknown_key");
    token_store_close(&store);
}

static void a_broken_file_keeps_the_keys_of_before(void **state)
{
    struct test_store store = open_file("broken", old_set, "keep_for = '1h'\n");

    (void)state;
    write_file("broken", "{\"keys\":[");
    expect_minted(&store, ann(&new_key, ""), "(failed)");
    expect_minted(&store, ann(&old_key, ""), "ann");
    pass_ms(JWT_KEYS_PAUSE_MS);
    unlink(in_dir("broken"));
    expect_minted(&store, ann(&new_key, ""), "(failed)");
    expect_minted(&store, ann(&old_key, ""), "ann");
    pass_ms(3600 * 1000);
    expect_minted(&store, ann(&old_key, ""), "(failed)"); /* no longer than keep_for */
    write_file("broken", old_set);
    pass_ms(JWT_KEYS_PAUSE_MS);
    expect_minted(&store, ann(&old_key, ""), "ann");
    token_store_close(&store);
}

/* ---- an address ---- */

/* Whoever comes before the keys do waits for them, all for the same request. */
static void keys_are_fetched_once_for_all(void **state)
{
    struct test_store store;
    struct test_ask tests[100];
    char *token = ann(&old_key, "");
    int before = atomic_load(&issuer->requests);

    (void)state;
    fake_issuer_set(issuer, FAKE_ANSWERS, 200, old_set);
    store = open_url("");
    for (size_t i = 0; i < 100; i++)
        token_begin(&store, &tests[i], token);
    for (size_t i = 0; i < 100; i++) {
        ask_wait(&store, &tests[i]);
        assert_string_equal(word_of(&tests[i]), "ann");
        ask_forget(&tests[i]);
    }
    expect_token(&store, token, "ann");
    assert_int_equal(atomic_load(&issuer->requests) - before, 1);
    free(token);
    token_store_close(&store);
}

static void a_new_key_is_fetched_when_it_is_first_seen(void **state)
{
    struct test_store store;
    int before;

    (void)state;
    fake_issuer_set(issuer, FAKE_ANSWERS, 200, old_set);
    store = open_url("");
    expect_minted(&store, ann(&old_key, ""), "ann");
    before = atomic_load(&issuer->requests);
    for (int i = 0; i < 20; i++) /* anybody can name keys that do not exist */
        expect_minted(&store, ann(&new_key, ""), "unknown_key");
    assert_int_equal(atomic_load(&issuer->requests), before);
    fake_issuer_set(issuer, FAKE_ANSWERS, 200, new_set);
    pass_ms(JWT_KEYS_PAUSE_MS);
    expect_minted(&store, ann(&new_key, ""), "ann");
    expect_minted(&store, ann(&old_key, ""), "unknown_key");
    assert_int_equal(atomic_load(&issuer->requests), before + 1);
    token_store_close(&store);
}

/* Tokens and keys without names: a wrong signature may mean new keys. */
static void a_new_key_without_a_name_is_found_too(void **state)
{
    struct mint other = mint_new(CRYPTO_EDDSA, NULL);
    struct test_store store;

    (void)state;
    fake_issuer_set(issuer, FAKE_ANSWERS, 200, nameless_set);
    store = open_url("");
    expect_minted(&store, ann(&nameless, ""), "ann");
    expect_minted(&store, ann(&other, ""), "bad_signature");
    pass_ms(JWT_KEYS_PAUSE_MS);
    expect_minted(&store, ann(&other, ""), "bad_signature");
    mint_done(&other);
    token_store_close(&store);
}

static void keys_are_refreshed_in_time(void **state)
{
    struct test_store store;
    int before = atomic_load(&issuer->requests);

    (void)state;
    fake_issuer_set(issuer, FAKE_ANSWERS, 200, old_set);
    store = open_url("refresh = 1\n");
    while (atomic_load(&issuer->requests) < before + 2)
        loop_turn(store.loop, true);
    fake_issuer_set(issuer, FAKE_ANSWERS, 200, new_set);
    while (atomic_load(&issuer->requests) < before + 4)
        loop_turn(store.loop, true);
    expect_minted(&store, ann(&new_key, ""), "ann");
    token_store_close(&store);
}

/* ---- an issuer that misbehaves ---- */

static const struct {
    enum fake_issuer_way way;
    int status;
    const char *body;
} misbehaviours[] = {
    {FAKE_ANSWERS, 500, "{\"error\":\"oops\"}"},
    {FAKE_ANSWERS, 503, ""},
    {FAKE_ANSWERS, 404, "<html>no</html>"},
    {FAKE_ANSWERS, 403, "{}"},
    {FAKE_ANSWERS, 302, ""}, /* its Location is not asked */
    {FAKE_ANSWERS, 200, "<html>It works!</html>"},
    {FAKE_ANSWERS, 200, "{\"keys\":[]}"},
    {FAKE_ANSWERS, 200, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}"},
    {FAKE_ANSWERS, 200, ""},
    {FAKE_HANGS, 200, ""},
    {FAKE_DRIPS, 200, "{\"keys\":["},
    {FAKE_CUTS, 200, ""},
    {FAKE_TRUNCATES, 200, "{\"keys\":[]}"},
    {FAKE_FLOODS, 200, ""},
};
#define MISBEHAVIOURS (sizeof misbehaviours / sizeof *misbehaviours)

static void misbehave(size_t i)
{
    fake_issuer_set(issuer, misbehaviours[i].way, misbehaviours[i].status, misbehaviours[i].body);
}

/* Only time ends these. */
static bool is_silence(size_t i) { return misbehaviours[i].way == FAKE_HANGS || misbehaviours[i].way == FAKE_DRIPS; }

static const char *time_for(size_t i) { return is_silence(i) ? HASTY : PATIENT; }

static enum store_outcome outcome_of(struct test_store *store, const char *token)
{
    struct test_ask test;

    token_begin(store, &test, token);
    ask_wait(store, &test);
    ask_forget(&test);
    return test.outcome;
}

/* In a hasty store: on a busy machine the keys may be late once more. */
static void wait_for_keys(struct test_store *store)
{
    char *token = ann(&old_key, "");
    enum store_outcome outcome;

    while ((outcome = outcome_of(store, token)) == STORE_FAILED)
        pass_ms(JWT_KEYS_PAUSE_MS);
    assert_int_equal(outcome, STORE_FOUND);
    free(token);
}

static void without_keys_there_is_no_verdict(void **state)
{
    (void)state;
    for (size_t i = 0; i < MISBEHAVIOURS; i++) {
        struct test_store store;

        misbehave(i);
        store = open_within(time_for(i), "");
        expect_minted(&store, ann(&old_key, ""), "(failed)");
        expect_minted(&store, ann(&old_key, ""), "(failed)"); /* at once, and without asking again */
        expect_token(&store, "opaque", "(not found)");        /* needs no key */
        fake_issuer_set(issuer, FAKE_ANSWERS, 200, old_set);
        pass_ms(JWT_KEYS_PAUSE_MS);
        if (is_silence(i))
            wait_for_keys(&store);
        expect_minted(&store, ann(&old_key, ""), "ann");
        token_store_close(&store);
    }
}

static void expect_keys_of_before(struct test_store *store, bool in_silence)
{
    for (size_t i = 0; i < MISBEHAVIOURS; i++) {
        if (is_silence(i) != in_silence)
            continue;
        misbehave(i);
        pass_ms(JWT_KEYS_PAUSE_MS);
        expect_minted(store, ann(&new_key, ""), "(failed)"); /* its key may have been published meanwhile */
        expect_minted(store, ann(&old_key, ""), "ann");
    }
}

static void keys_of_before_go_on(void **state)
{
    struct test_store store;

    (void)state;
    fake_issuer_set(issuer, FAKE_ANSWERS, 200, old_set);
    store = open_within(HASTY, "");
    wait_for_keys(&store);
    expect_keys_of_before(&store, true);
    token_store_close(&store);
    fake_issuer_set(issuer, FAKE_ANSWERS, 200, old_set);
    store = open_url("keep_for = '1h'\n");
    expect_minted(&store, ann(&old_key, ""), "ann");
    expect_keys_of_before(&store, false);
    pass_ms(3600 * 1000);
    expect_minted(&store, ann(&old_key, ""), "(failed)");
    fake_issuer_set(issuer, FAKE_ANSWERS, 200, old_set);
    pass_ms(JWT_KEYS_PAUSE_MS);
    expect_minted(&store, ann(&old_key, ""), "ann");
    expect_minted(&store, ann(&new_key, ""), "unknown_key");
    token_store_close(&store);
}

static void a_redirect_is_not_followed(void **state)
{
    struct test_store store;

    (void)state;
    fake_issuer_set(issuer, FAKE_ANSWERS, 302, "");
    store = open_url("");
    expect_minted(&store, ann(&old_key, ""), "(failed)");
    assert_true(fake_issuer_was_told(issuer, "GET /keys "));
    assert_false(fake_issuer_was_told(issuer, "elsewhere"));
    token_store_close(&store);
}

static void an_issuer_that_is_not_there(void **state)
{
    struct test_store store = token_store_open(&store_jwt, BASE "jwks_url = 'http://127.0.0.1:1/keys'\n");

    (void)state;
    expect_minted(&store, ann(&old_key, ""), "(failed)");
    token_store_close(&store);
}

/* Strangers with keys that do not exist, while the issuer hangs: so many wait, no more, and who has a known key does
 * not notice. */
static void those_who_wait_are_few(void **state)
{
    enum { STRANGERS = 3 * JWT_KEYS_WAITS_MOST };
    char *strange = ann(&new_key, "");
    struct test_ask tests[STRANGERS];
    struct test_store store;
    size_t waiting = 0;

    (void)state;
    fake_issuer_set(issuer, FAKE_ANSWERS, 200, old_set);
    store = open_within(HASTY, "");
    wait_for_keys(&store);
    fake_issuer_set(issuer, FAKE_HANGS, 0, NULL);
    pass_ms(JWT_KEYS_PAUSE_MS);
    for (size_t i = 0; i < STRANGERS; i++)
        token_begin(&store, &tests[i], strange);
    for (size_t i = 0; i < STRANGERS; i++)
        waiting += !tests[i].calls;
    assert_int_equal(waiting, JWT_KEYS_WAITS_MOST);
    expect_minted(&store, ann(&old_key, ""), "ann");
    for (size_t i = 0; i < STRANGERS; i++) {
        ask_wait(&store, &tests[i]);
        assert_int_equal(tests[i].outcome, STORE_FAILED);
    }
    free(strange);
    token_store_close(&store);
}

static void an_ask_that_is_cancelled_leaves(void **state)
{
    char *token = ann(&old_key, "");
    struct test_ask gone, stays;
    struct test_store store;

    (void)state;
    fake_issuer_set(issuer, FAKE_HANGS, 0, NULL);
    store = open_within(HASTY, "");
    token_begin(&store, &gone, token);
    token_begin(&store, &stays, token);
    store.driver->cancel(store.store, &gone.ask);
    ask_wait(&store, &stays);
    assert_int_equal(gone.calls, 0);
    assert_int_equal(stays.outcome, STORE_FAILED);
    pass_ms(JWT_KEYS_PAUSE_MS);
    token_begin(&store, &gone, token);
    store.driver->cancel(store.store, &gone.ask);
    free(token);
    token_store_close(&store); /* with a request out */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_token_names_its_user),
        cmocka_unit_test(every_refusal_has_its_reason),
        cmocka_unit_test(what_is_not_for_this_store_is_passed_on),
        cmocka_unit_test(algorithms_can_be_narrowed),
        cmocka_unit_test(expiry_may_be_waived_by_name),
        cmocka_unit_test(other_kinds_of_tokens_are_refused),
        cmocka_unit_test(types_can_be_chosen),
        cmocka_unit_test(a_token_that_is_bound_to_a_key_is_refused),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(a_changed_file_is_noticed_by_an_unknown_key),
        cmocka_unit_test(a_broken_file_keeps_the_keys_of_before),
        cmocka_unit_test(keys_are_fetched_once_for_all),
        cmocka_unit_test(a_new_key_is_fetched_when_it_is_first_seen),
        cmocka_unit_test(a_new_key_without_a_name_is_found_too),
        cmocka_unit_test(keys_are_refreshed_in_time),
        cmocka_unit_test(without_keys_there_is_no_verdict),
        cmocka_unit_test(keys_of_before_go_on),
        cmocka_unit_test(a_redirect_is_not_followed),
        cmocka_unit_test(an_issuer_that_is_not_there),
        cmocka_unit_test(those_who_wait_are_few),
        cmocka_unit_test(an_ask_that_is_cancelled_leaves),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
