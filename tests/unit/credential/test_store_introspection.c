/* SPDX-License-Identifier: Apache-2.0
 *
 * The introspection store: what is sent, what each answer comes to, and what is kept of it. No status and no page in
 * between may become a verdict.
 */
#include "ask_token.h"

#include "credential/token_cache.h"

static struct fake_issuer *server;

static int set_up(void **state)
{
    clock_inject(&later_clock);
    server = fake_issuer_start();
    return make_dir(state);
}

static int tear_down(void **state)
{
    fake_issuer_stop(server);
    return remove_dir(state);
}

#define ACCOUNT "client_id = 'relay'\nclient_secret = 'pass:w\xc3\xb6rd'\n"

/* A busy machine may make the server slow, which is no failure of its. */
#define PATIENT "timeout = '60s'\n"
#define HASTY "timeout = '500ms'\n" /* for a server that never answers */

static struct test_store open_within(const char *timeout, const char *more)
{
    char toml[2048];

    snprintf(toml, sizeof toml, ACCOUNT "endpoint = '%s/introspect'\n%s%s", server->address, timeout, more);
    return token_store_open(&store_introspection, toml);
}

static struct test_store open_store(const char *more) { return open_within(PATIENT, more); }

static void answer(const char *body) { fake_issuer_set(server, FAKE_ANSWERS, 200, body); }

static void answer_with_expiry(const char *format, long long seconds)
{
    char body[256];

    snprintf(body, sizeof body, format, seconds);
    answer(body);
}

/* ---- what is sent ---- */

static void the_token_is_posted_as_a_form(void **state)
{
    struct test_store store = open_store("");

    (void)state;
    answer("{\"active\":true,\"username\":\"ann\"}");
    expect_token(&store, "abc+/=&x=%1 \"~", "ann");
    assert_true(fake_issuer_was_told(server, "POST /introspect HTTP/1.1\r\n"));
    assert_true(fake_issuer_was_told(server, "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
    /* "relay:pass%3Aw%C3%B6rd" */
    assert_true(fake_issuer_was_told(server, "\r\nAuthorization: Basic cmVsYXk6cGFzcyUzQXclQzMlQjZyZA==\r\n"));
    assert_true(
        fake_issuer_was_told(server, "\r\n\r\ntoken=abc%2B%2F%3D%26x%3D%251%20%22~&token_type_hint=access_token"));
    token_store_close(&store);
}

static void a_long_token_is_sent_and_a_longer_one_is_not(void **state)
{
    static char token[16386];
    struct test_store store = open_store("");
    int before = atomic_load(&server->requests);

    (void)state;
    answer("{\"active\":true,\"username\":\"ann\"}");
    memset(token, '+', sizeof token - 1); /* three octets each */
    expect_token(&store, token, "(not found)");
    expect_token(&store, "", "(not found)");
    assert_int_equal(atomic_load(&server->requests), before);
    token[16384] = '\0';
    expect_token(&store, token, "ann");
    token_store_close(&store);
}

/* ---- what it comes to ---- */

static void answers_are_judged(void **state)
{
    static const struct {
        const char *body, *expected;
    } table[] = {
        {"{\"active\":true,\"username\":\"ann\",\"sub\":\"u1\",\"scope\":\"mail.send\"}", "ann"},
        {"{\"active\":true,\"sub\":\"u1\",\"scope\":\"mail.send x\"}", "u1"},
        {"{\"active\":true,\"username\":null,\"sub\":\"u1\",\"scope\":\"mail.send x\"}", "u1"},
        {"{\"active\":false}", "(not found)"},
        {"{\"active\":false,\"username\":\"ann\",\"scope\":\"mail.send\"}", "(not found)"},
        {"{\"active\":true,\"username\":\"ann\"}", "missing_scope"},
        {"{\"active\":true,\"username\":\"ann\",\"scope\":\"mail.sender\"}", "missing_scope"},
        {"{\"active\":true,\"scope\":\"mail.send\"}", "no_user"},
        {"{\"active\":true,\"scope\":\"mail.send\",\"username\":\"a\\nb\"}", "no_user"},
        {"{\"active\":true,\"scope\":\"mail.send\",\"username\":\"ann\",\"exp\":1}", "expired"},
        {"{\"active\":true,\"scope\":\"mail.send\",\"username\":\"ann\",\"nbf\":99999999999}", "not_yet_valid"},
        {"{\"active\":true,\"scope\":\"mail.send\",\"username\":\"ann\",\"exp\":\"x\"}", "bad_claim"},
        {"{}", "(failed)"},
        {"{\"active\":\"true\",\"username\":\"ann\",\"scope\":\"mail.send\"}", "(failed)"},
        {"{\"active\":1,\"username\":\"ann\",\"scope\":\"mail.send\"}", "(failed)"},
        {"{\"active\":false,\"active\":true,\"username\":\"ann\",\"scope\":\"mail.send\"}", "(failed)"},
        {"{\"active\":true,\"username\":\"ann\",\"scope\":\"mail.send\"} x", "(failed)"},
        {"[]", "(failed)"},
        {"true", "(failed)"},
        {"", "(failed)"},
        {"<html>Log in</html>", "(failed)"},
    };
    struct test_store store = open_store("scopes = 'mail.send'\n");

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        answer(table[i].body);
        expect_token(&store, "the-token-itself", table[i].expected);
    }
    token_store_close(&store);
}

static void audience_and_issuer_are_checked_when_asked_for(void **state)
{
    struct test_store store = open_store("audience = ['smtp']\nissuer = 'https://id.example'\nuser_claim = 'email'\n");

    (void)state;
    answer("{\"active\":true,\"email\":\"a@b.example\",\"aud\":\"smtp\",\"iss\":\"https://id.example\"}");
    expect_token(&store, "the-token-itself", "a@b.example");
    answer("{\"active\":true,\"email\":\"a@b.example\",\"aud\":\"web\",\"iss\":\"https://id.example\"}");
    expect_token(&store, "the-token-itself", "wrong_audience");
    answer("{\"active\":true,\"email\":\"a@b.example\",\"aud\":\"smtp\"}");
    expect_token(&store, "the-token-itself", "(not found)");
    answer("{\"active\":true,\"username\":\"a\",\"aud\":\"smtp\",\"iss\":\"https://id.example\"}");
    expect_token(&store, "the-token-itself", "no_user");
    token_store_close(&store);
}

/* The server says "not active" of what was never its own, too: the next store may know it. */
static void what_is_not_the_servers_own_is_passed_on(void **state)
{
    struct test_store store = open_store("issuer = 'https://id.example'\naudience = 'smtp'\n");

    (void)state;
    answer("{\"active\":false}");
    expect_passed_on(&store, "the-token-itself", "the token is not active");
    answer("{\"active\":true,\"username\":\"ann\",\"iss\":\"https://other.example\",\"aud\":\"x\",\"exp\":1}");
    expect_passed_on(&store, "the-token-itself", "the token comes from another issuer");
    token_store_close(&store);
}

static void no_other_status_is_a_verdict(void **state)
{
    static const int statuses[] = {201, 204, 301, 302, 307, 400, 401, 403, 404, 405, 429, 500, 502, 503, 504};
    struct test_store store = open_store("");

    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        fake_issuer_set(server, FAKE_ANSWERS, statuses[i],
                        statuses[i] == 204 ? "" : "{\"active\":true,\"username\":\"ann\"}");
        expect_token(&store, "the-token-itself", "(failed)");
        assert_false(fake_issuer_was_told(server, "elsewhere"));
    }
    token_store_close(&store);
}

static void a_server_that_misbehaves_gives_no_verdict(void **state)
{
    static const enum fake_issuer_way ways[] = {FAKE_CUTS, FAKE_TRUNCATES, FAKE_FLOODS};
    struct test_store store = open_store("");

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        fake_issuer_set(server, ways[i], 200, "{\"active\":true,\"username\":\"ann\"}");
        expect_token(&store, "the-token-itself", "(failed)");
        answer("{\"active\":true,\"username\":\"ann\"}");
        expect_token(&store, "the-token-itself", "ann"); /* and recovers by itself */
    }
    token_store_close(&store);
    store = token_store_open(&store_introspection, ACCOUNT "endpoint = 'http://127.0.0.1:1/'\n");
    expect_token(&store, "the-token-itself", "(failed)");
    token_store_close(&store);
}

static enum store_outcome outcome_of(struct test_store *store, const char *token)
{
    struct test_ask test;

    token_begin(store, &test, token);
    ask_wait(store, &test);
    ask_forget(&test);
    return test.outcome;
}

static void a_server_that_is_silent_gives_no_verdict(void **state)
{
    static const enum fake_issuer_way ways[] = {FAKE_HANGS, FAKE_DRIPS};
    struct test_store store = open_within(HASTY, "");
    enum store_outcome outcome;

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        fake_issuer_set(server, ways[i], 200, "{\"active\":true,\"username\":\"ann\"}");
        expect_token(&store, "the-token-itself", "(failed)");
        answer("{\"active\":true,\"username\":\"ann\"}");
        while ((outcome = outcome_of(&store, "the-token-itself")) == STORE_FAILED)
            ; /* on a busy machine it may be late once more */
        assert_int_equal(outcome, STORE_FOUND);
    }
    token_store_close(&store);
}

/* One that hangs for one token holds up no other. */
static void asks_do_not_wait_for_each_other(void **state)
{
    struct test_store store = open_store("");
    struct test_ask hanging[20];
    int before = atomic_load(&server->requests);

    (void)state;
    fake_issuer_set(server, FAKE_HANGS, 0, NULL);
    for (size_t i = 0; i < 20; i++)
        token_begin(&store, &hanging[i], "the-token-itself");
    while (atomic_load(&server->requests) < before + 20)
        loop_turn(store.loop, false);
    answer("{\"active\":true,\"username\":\"ann\"}");
    expect_token(&store, "another-token", "ann");
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(hanging[i].calls, 0);
        store.driver->cancel(store.store, &hanging[i].ask);
    }
    expect_token(&store, "another-token", "ann");
    token_store_close(&store);
}

static void on_other_done(void *ctx, const struct http_response *response, const struct error *error)
{
    (void)ctx;
    (void)response;
    (void)error;
    fail();
}

/* The kernel takes connections for a server that says nothing. */
static int listen_silently(char *url, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    snprintf(url, size, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    return fd;
}

/* Keys are fetched with the house's client: as many as it may have out, and none is answered. */
static void requests_of_others_take_no_place(void **state)
{
    struct test_store store = open_store("");
    char url[64];
    int silent = listen_silently(url, sizeof url);
    struct http_request request = {.url = url, .connect_limit_ms = 600000, .total_limit_ms = 600000};
    struct error error = {0};

    (void)state;
    for (size_t i = 0; i < HTTP_TRANSFERS_LIMIT; i++)
        assert_non_null(http_start(store.house.http, &request, on_other_done, NULL, &error));
    assert_null(http_start(store.house.http, &request, on_other_done, NULL, &error));
    answer("{\"active\":true,\"username\":\"ann\"}");
    expect_token(&store, "the-token-itself", "ann");
    token_store_close(&store);
    close(silent);
}

/* ---- what is kept ---- */

static void nothing_is_kept_unless_asked_for(void **state)
{
    struct test_store store = open_store("");
    int before = atomic_load(&server->requests);

    (void)state;
    answer("{\"active\":true,\"username\":\"ann\"}");
    expect_token(&store, "the-token-itself", "ann");
    answer("{\"active\":false}"); /* withdrawn: at once */
    expect_token(&store, "the-token-itself", "(not found)");
    assert_int_equal(atomic_load(&server->requests) - before, 2);
    token_store_close(&store);
}

static void a_good_answer_is_kept_for_its_time(void **state)
{
    struct test_store store = open_store("cache_ttl = 60\n");
    int before = atomic_load(&server->requests);

    (void)state;
    answer("{\"active\":true,\"username\":\"ann\"}");
    expect_token(&store, "the-token-itself", "ann");
    answer("{\"active\":false}");
    expect_token(&store, "the-token-itself", "ann");
    expect_token(&store, "the-token-itsel", "(not found)"); /* another token */
    expect_token(&store, "the-token-itsel", "(not found)"); /* a refusal is not kept */
    assert_int_equal(atomic_load(&server->requests) - before, 3);
    pass_ms(60000);
    expect_token(&store, "the-token-itself", "(not found)");
    token_store_close(&store);
}

static void nothing_is_kept_beyond_the_tokens_own_end(void **state)
{
    struct test_store store = open_store("cache_ttl = 600\n");

    (void)state;
    answer_with_expiry("{\"active\":true,\"username\":\"ann\",\"exp\":%lld}", now_s() + 30);
    expect_token(&store, "the-token-itself", "ann");
    answer("{\"active\":false}");
    expect_token(&store, "the-token-itself", "ann");
    pass_ms(30000);
    expect_token(&store, "the-token-itself", "(not found)");
    /* within the leeway, but over */
    answer_with_expiry("{\"active\":true,\"username\":\"ann\",\"exp\":%lld}", now_s() - 5);
    expect_token(&store, "the-token-itself", "ann");
    answer("{\"active\":false}");
    expect_token(&store, "the-token-itself", "(not found)");
    token_store_close(&store);
}

static void a_purge_forgets_at_once(void **state)
{
    struct test_store store = open_store("cache_ttl = 600\n");
    int before = atomic_load(&server->requests);
    struct test_ask test;

    (void)state;
    answer("{\"active\":true,\"username\":\"ann\"}");
    expect_token(&store, "the-token-itself", "ann");
    store.driver->purge(store.store);
    answer("{\"active\":false}");
    expect_token(&store, "the-token-itself", "(not found)");
    /* an answer that was on its way is believed once and not kept */
    answer("{\"active\":true,\"username\":\"ann\"}");
    token_begin(&store, &test, "another-token");
    store.driver->purge(store.store);
    ask_wait(&store, &test);
    assert_string_equal(word_of(&test), "ann");
    ask_forget(&test);
    answer("{\"active\":false}");
    expect_token(&store, "another-token", "(not found)");
    assert_int_equal(atomic_load(&server->requests) - before, 4);
    token_store_close(&store);
}

static void failures_are_not_kept(void **state)
{
    struct test_store store = open_store("cache_ttl = 600\n");

    (void)state;
    fake_issuer_set(server, FAKE_ANSWERS, 500, "{\"active\":true,\"username\":\"ann\"}");
    expect_token(&store, "the-token-itself", "(failed)");
    answer("{\"active\":true,\"username\":\"ann\"}");
    expect_token(&store, "the-token-itself", "ann");
    fake_issuer_set(server, FAKE_ANSWERS, 500, "");
    expect_token(&store, "the-token-itself", "ann");
    token_store_close(&store);
}

static void the_cache_has_a_ceiling(void **state)
{
    struct token_cache *cache = token_cache_new(3);
    static const char *const tokens[] = {"a", "b", "c", "a", "d"};
    json_t *fields = json_object(), *kept;

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        token_cache_put(cache, span_of(tokens[i]), fields, 1000);
        assert_true(token_cache_count(cache) <= 3);
    }
    assert_null(token_cache_get(cache, SPAN_LIT("b"))); /* the oldest */
    for (size_t i = 2; i < 5; i++) {
        kept = token_cache_get(cache, span_of(tokens[i]));
        assert_ptr_equal(kept, fields);
        json_decref(kept);
    }
    pass_ms(1000);
    assert_null(token_cache_get(cache, SPAN_LIT("a")));
    assert_int_equal(token_cache_count(cache), 2);
    token_cache_free(cache);
    json_decref(fields);
}

/* ---- settings ---- */

static void settings_are_checked(void **state)
{
    static const struct {
        const char *toml, *key;
    } table[] = {
        {"client_id = 'a'\nclient_secret = 'b'", "endpoint"},
        {"endpoint = 'https://id.example/i'\nclient_secret = 'b'", "client_id"},
        {"endpoint = 'https://id.example/i'\nclient_id = 'a'", "client_secret"},
        {ACCOUNT "endpoint = 'http://id.example/i'", "endpoint"}, /* tokens in clear */
        {ACCOUNT "endpoint = 'https://user:secret@id.example/i'", "endpoint"},
        {ACCOUNT "endpoint = 'id.example'", "endpoint"},
        {ACCOUNT "endpoint = 'https://id.example/i'\ncache_ttl = '2h'", "cache_ttl"},
        {ACCOUNT "endpoint = 'https://id.example/i'\nclient_secret_env = 'X'", "client_secret_env"},
        {ACCOUNT "endpoint = 'https://id.example/i'\nrequire_expiry = true", "require_expiry"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct error error = {0};

        assert_null(try_open(&store_introspection, table[i].toml, &error));
        if (!strstr(error.sentence, table[i].key))
            fail_msg("%s: %s", table[i].toml, error.sentence);
        assert_null(strstr(error.sentence, "w\xc3\xb6rd"));
    }
}

static void a_secret_may_stand_in_a_file(void **state)
{
    struct test_store store;
    char toml[1024];

    (void)state;
    write_file("secret", "b\n");
    snprintf(toml, sizeof toml, PATIENT "endpoint = '%s/i'\nclient_id = 'a'\nclient_secret_file = '%s'\n",
             server->address, in_dir("secret"));
    store = token_store_open(&store_introspection, toml);
    answer("{\"active\":true,\"username\":\"ann\"}");
    expect_token(&store, "the-token-itself", "ann");
    assert_true(fake_issuer_was_told(server, "\r\nAuthorization: Basic YTpi\r\n"));
    token_store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_token_is_posted_as_a_form),
        cmocka_unit_test(a_long_token_is_sent_and_a_longer_one_is_not),
        cmocka_unit_test(answers_are_judged),
        cmocka_unit_test(audience_and_issuer_are_checked_when_asked_for),
        cmocka_unit_test(what_is_not_the_servers_own_is_passed_on),
        cmocka_unit_test(no_other_status_is_a_verdict),
        cmocka_unit_test(a_server_that_misbehaves_gives_no_verdict),
        cmocka_unit_test(a_server_that_is_silent_gives_no_verdict),
        cmocka_unit_test(asks_do_not_wait_for_each_other),
        cmocka_unit_test(requests_of_others_take_no_place),
        cmocka_unit_test(nothing_is_kept_unless_asked_for),
        cmocka_unit_test(a_good_answer_is_kept_for_its_time),
        cmocka_unit_test(nothing_is_kept_beyond_the_tokens_own_end),
        cmocka_unit_test(a_purge_forgets_at_once),
        cmocka_unit_test(failures_are_not_kept),
        cmocka_unit_test(the_cache_has_a_ceiling),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(a_secret_may_stand_in_a_file),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
