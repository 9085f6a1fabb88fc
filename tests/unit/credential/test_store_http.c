/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP call-out: which answers are verdicts, what is asked, and what a user name may not do to an address.
 */
#include "ask_store.h"

#include "../../support/helper.h"
#include "credential/store_http.h"
#include "http/url.h"

static struct helper server;

/* A busy machine may make the server slow, which is no failure of its. */
#define PATIENT "timeout = '60s'\n"

static struct test_store open_http(const struct store_driver *driver, const char *path, const char *more)
{
    char toml[2048];

    snprintf(toml, sizeof toml, "url = '%s%s'\n%s", helper_place(&server, "address"), path, more);
    return test_store_open(driver, toml);
}

/* The last request the server has seen. */
static json_t *last(void) { return helper_tell(&server, "last"); }

static void expect_text(const json_t *seen, const char *key, const char *expected)
{
    assert_string_equal(json_string_value(json_object_get(seen, key)), expected);
}

static void answers(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum store_outcome judged, record;
    } cases[] = {
        {200, "{}", STORE_FOUND, STORE_FOUND},
        {200, "{\"groups\":[\"a\"]}", STORE_FOUND, STORE_FOUND},
        {200, "", STORE_FAILED, STORE_FAILED},
        {200, "true", STORE_FAILED, STORE_FAILED},
        {200, "[]", STORE_FAILED, STORE_FAILED},
        {200, "<html>Log in to the hotel</html>", STORE_FAILED, STORE_FAILED},
        {200, "{\"a\":", STORE_FAILED, STORE_FAILED},
        {200, "{\"a\":1,\"a\":2}", STORE_FAILED, STORE_FAILED},
        {204, "", STORE_FAILED, STORE_FAILED},
        {201, "{}", STORE_FAILED, STORE_FAILED},
        {301, "{}", STORE_FAILED, STORE_FAILED},
        {307, "", STORE_FAILED, STORE_FAILED},
        {400, "{}", STORE_FAILED, STORE_FAILED},
        {401, "{\"error\":\"wrong\"}", STORE_REFUSED, STORE_FAILED},
        {401, "", STORE_REFUSED, STORE_FAILED},
        {403, " \n", STORE_REFUSED, STORE_FAILED},
        {403, "<html>firewall</html>", STORE_FAILED, STORE_FAILED},
        {404, "{}", STORE_NOT_FOUND, STORE_NOT_FOUND},
        {404, "", STORE_NOT_FOUND, STORE_NOT_FOUND},
        {404, "<html>nginx</html>", STORE_FAILED, STORE_FAILED},
        {405, "", STORE_FAILED, STORE_FAILED},
        {407, "{}", STORE_FAILED, STORE_FAILED},
        {429, "{}", STORE_FAILED, STORE_FAILED},
        {500, "{}", STORE_FAILED, STORE_FAILED},
        {503, "", STORE_FAILED, STORE_FAILED},
        {0, "", STORE_FAILED, STORE_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int judges = 0; judges < 2; judges++) {
            struct http_response response = {.status = cases[i].status};
            enum store_outcome expected = judges ? cases[i].judged : cases[i].record, outcome;
            struct error error = {0};
            json_t *fields = NULL;

            buf_init(&response.body, 4096);
            assert_int_equal(buf_append(&response.body, cases[i].body, strlen(cases[i].body)), 0);
            outcome = store_http_read(judges, &response, &fields, &error);
            if (outcome != expected)
                fail_msg("%d %s: %d", cases[i].status, cases[i].body, (int)outcome);
            assert_true((outcome == STORE_FOUND) == (fields != NULL));
            assert_true((outcome == STORE_FAILED) == (error.sentence[0] != '\0'));
            json_decref(fields);
            buf_done(&response.body);
        }
}

static void a_password_is_judged(void **state)
{
    struct test_store store =
        open_http(&store_http, "/verify", PATIENT "bearer = 'b.e.arer'\nheaders = { X-Site = 'one' }");
    struct test_ask ask = ask_store(&store, "ann", "ti\"ger\xc3\xa9");
    json_t *seen;

    (void)state;
    assert_int_equal(ask.outcome, STORE_REFUSED);
    seen = last();
    expect_text(seen, "method", "POST");
    expect_text(seen, "path", "/verify");
    expect_text(seen, "authorization", "Bearer b.e.arer");
    expect_text(seen, "site", "one");
    expect_text(json_object_get(seen, "json"), "user", "ann");
    expect_text(json_object_get(seen, "json"), "password", "ti\"ger\xc3\xa9");
    expect_text(json_object_get(seen, "json"), "peer", "192.0.2.7");
    expect_text(json_object_get(seen, "json"), "service", "smtp");
    json_decref(seen);
    ask_forget(&ask);
    ask = ask_store(&store, "ann", "tiger");
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_non_null(json_object_get(ask.fields, "groups"));
    ask_forget(&ask);
    assert_int_equal(ask_outcome(&store, "bob", "tiger"), STORE_NOT_FOUND);
    assert_int_equal(ask_outcome(&store, "ann", ""), STORE_REFUSED);
    assert_int_equal(ask_outcome(&store, "ann", "\xff"), STORE_REFUSED);
    test_store_close(&store);
}

static void a_server_that_fails_is_no_verdict(void **state)
{
    static const char *const users[] = {"cut", "garbage", "truncated", "endless", "redirect", "broken"};
    struct test_store store = open_http(&store_http, "/verify", PATIENT);

    (void)state;
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        struct test_ask ask = ask_store(&store, users[i], "tiger");

        if (ask.outcome != STORE_FAILED)
            fail_msg("%s: %d", users[i], (int)ask.outcome);
        assert_null(strstr(ask.error.sentence, "tiger"));
        ask_forget(&ask);
        assert_int_equal(ask_outcome(&store, "ann", "tiger"), STORE_FOUND);
    }
    test_store_close(&store);
}

static void a_server_that_hangs_is_no_verdict(void **state)
{
    struct test_store store = open_http(&store_http, "/verify", "timeout = '500ms'");
    enum store_outcome outcome;

    (void)state;
    assert_int_equal(ask_outcome(&store, "hang", "tiger"), STORE_FAILED);
    while ((outcome = ask_outcome(&store, "ann", "tiger")) == STORE_FAILED)
        ;
    assert_int_equal(outcome, STORE_FOUND);
    test_store_close(&store);
}

static void a_record_is_fetched(void **state)
{
    struct test_store store =
        open_http(&store_http_record, "/users/{user}?of={user}", PATIENT "authorization = 'Basic xyz'");
    struct test_ask ask = ask_store(&store, "ann", NULL);
    static const char *const ways[] = {"..", "a/b", "", "a\nb"};
    json_t *seen;

    (void)state;
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_string_equal(ask.credential->secrets[0].stored, "{PLAIN}tiger");
    ask_forget(&ask);
    assert_int_equal(ask_outcome(&store, "a?b&c=#%2f", NULL), STORE_NOT_FOUND);
    seen = last();
    expect_text(seen, "method", "GET");
    expect_text(seen, "path", "/users/a%3Fb%26c%3D%23%252f?of=a%3Fb%26c%3D%23%252f");
    expect_text(seen, "authorization", "Basic xyz");
    json_decref(seen);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        assert_int_equal(ask_outcome(&store, ways[i], NULL), STORE_NOT_FOUND);
    test_store_close(&store);
    store = open_http(&store_http_record, "/record", PATIENT);
    ask = ask_store(&store, "ann", NULL);
    assert_int_equal(ask.outcome, STORE_FOUND);
    ask_forget(&ask);
    seen = last();
    expect_text(seen, "method", "POST");
    assert_null(json_object_get(json_object_get(seen, "json"), "password"));
    json_decref(seen);
    test_store_close(&store);
}

static void who_waits_can_go(void **state)
{
    struct test_store store = open_http(&store_http, "/verify", PATIENT);
    struct test_ask asks[5];

    (void)state;
    for (int i = 0; i < 5; i++)
        ask_begin(&store, &asks[i], "hang", "x");
    assert_int_equal(ask_outcome(&store, "ann", "tiger"), STORE_FOUND);
    for (int i = 0; i < 5; i++)
        store.driver->cancel(store.store, &asks[i].ask);
    test_store_close(&store);
    for (int i = 0; i < 5; i++)
        assert_int_equal(asks[i].calls, 0);
}

static void settings_that_cannot_be(void **state)
{
    static const struct {
        const struct store_driver *driver;
        const char *toml, *says;
    } cases[] = {
        {&store_http, "", "url: must be given"},
        {&store_http, "url = 'http://auth.example/'", "allow_plain"},
        {&store_http, "url = 'http://localhost.example/'", "allow_plain"},
        {&store_http, "url = 'http://localhost@auth.example/'", "user name"},
        {&store_http, "url = 'https://auth.example/{user}'", "{user}"},
        {&store_http, "url = 'https://a/'\nheaders = 'x'", "headers"},
        {&store_http, "url = 'https://a/'\nheaders = { 'a b' = 'x' }", "headers"},
        {&store_http, "url = 'https://a/'\nbearer = 'x'\nauthorization = 'y'", "bearer"},
        {&store_http, "url = 'https://a/'\nmethod = 'GET'", "method"},
        {&store_http_record, "url = 'https://{user}.example/'", "server"},
        {&store_http_record, "url = 'https://a/'\nmethod = 'GET'", "{user}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {0};

        assert_null(try_open(cases[i].driver, cases[i].toml, &error));
        if (!strstr(error.sentence, cases[i].says))
            fail_msg("%s: %s", cases[i].toml, error.sentence);
    }
}

static void plain_is_for_this_machine(void **state)
{
    static const struct {
        const char *url;
        bool is_loopback;
    } cases[] = {
        {"http://127.0.0.1/", true},
        {"http://127.9.9.9:80", true},
        {"http://[::1]:80/x", true},
        {"http://localhost:8200", true},
        {"http://LocalHost/", true},
        {"http://[::ffff:127.0.0.1]/", true},
        {"http://128.0.0.1/", false},
        {"http://localhost.evil/", false},
        {"http://evil/127.0.0.1", false},
        {"http://127.0.0.1@evil/", false},
        {"http://evil#@127.0.0.1", false},
        {"http://[::2]/", false},
        {"http://127.0.0.1.evil/", false},
        {"http://", false},
        {"127.0.0.1", false},
        {"ldap://127.0.0.1:389", true},
        {"http://0x7f.1/", false},
        {"http://[::1", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (url_is_loopback(cases[i].url) != cases[i].is_loopback)
            fail_msg("%s", cases[i].url);
}

static int begin(void **state)
{
    helper_start(&server, "callout.py");
    return make_dir(state);
}

static int end(void **state)
{
    helper_stop(&server);
    return remove_dir(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(a_password_is_judged),
        cmocka_unit_test(a_server_that_fails_is_no_verdict),
        cmocka_unit_test(a_server_that_hangs_is_no_verdict),
        cmocka_unit_test(a_record_is_fetched),
        cmocka_unit_test(who_waits_can_go),
        cmocka_unit_test(settings_that_cannot_be),
        cmocka_unit_test(plain_is_for_this_machine),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
