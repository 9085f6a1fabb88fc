/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP client against a server that answers well and badly, and what Vault's answers
 * mean. Everything that can go wrong must end, in time, as an error that names the server
 * and no secret.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/clock.h"
#include "http/http.h"
#include "http/vault.h"

#include "../../support/fake_vault.h"

static struct fake_vault vault;

struct answer {
    int calls;
    int status; /* 0: it failed */
    struct error error;
    char body[2048];
};

static void on_done(void *ctx, const struct http_response *response, const struct error *error)
{
    struct answer *answer = ctx;

    answer->calls++;
    assert_true(!response != !error);
    if (error) {
        answer->error = *error;
        return;
    }
    answer->status = response->status;
    snprintf(answer->body, sizeof answer->body, "%.*s", SPAN_ARG(buf_span(&response->body)));
}

static struct http_request request_for(char *url, size_t size, const char *name)
{
    snprintf(url, size, "%s/v1/secret/data/%s", vault.address, name);
    return (struct http_request){
        .url = url, .headers = {{"X-Vault-Token", FAKE_VAULT_TOKEN}}, .header_count = 1, .total_limit_ms = 60000};
}

static struct answer ask_within(struct loop *loop, struct http_client *client, const char *name, uint64_t limit_ms)
{
    char url[256];
    struct http_request request = request_for(url, sizeof url, name);
    struct answer answer = {0};
    struct error error;

    request.total_limit_ms = limit_ms;
    assert_non_null(http_start(client, &request, on_done, &answer, &error));
    assert_int_equal(answer.calls, 0);
    while (!answer.calls)
        loop_turn(loop, true);
    assert_int_equal(answer.calls, 1);
    if (!answer.status) {
        assert_non_null(strstr(answer.error.sentence, vault.address));
        assert_null(strstr(answer.error.sentence, name));
        assert_int_equal(answer.error.kind, ERROR_TEMP);
    }
    assert_null(strstr(answer.error.sentence, FAKE_VAULT_TOKEN));
    return answer;
}

static struct answer ask(struct loop *loop, struct http_client *client, const char *name)
{
    return ask_within(loop, client, name, 60000);
}

static void test_kept_alive(void **state)
{
    struct loop *loop = loop_new("test", NULL);
    struct http_client *client = http_client_new(loop, NULL);
    int before = atomic_load(&vault.connections);

    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(loop, client, "scott").status, 200);
    assert_int_equal(atomic_load(&vault.connections) - before, 1);
    http_client_free(client);
    loop_free(loop);
}

static void test_bad_servers(void **state)
{
    static const char *const names[] = {"hang", "slow", "truncated", "cut", "headers", "flood"};
    struct loop *loop = loop_new("test", NULL);
    struct http_client *client = http_client_new(loop, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(ask_within(loop, client, names[i], 400).status, 0);
        /* and the client is none the worse for it */
        assert_int_equal(ask(loop, client, "scott").status, 200);
    }
    http_client_free(client);
    loop_free(loop);
}

static void test_redirect_is_not_followed(void **state)
{
    struct loop *loop = loop_new("test", NULL);
    struct http_client *client = http_client_new(loop, NULL);
    int before = atomic_load(&vault.requests);

    (void)state;
    assert_int_equal(ask(loop, client, "redirect").status, 307);
    assert_int_equal(atomic_load(&vault.requests) - before, 1);
    http_client_free(client);
    loop_free(loop);
}

static void test_refused(void **state)
{
    struct http_request request = {.url = "http://127.0.0.1:1/v1/secret/data/scott"};
    struct loop *loop = loop_new("test", NULL);
    struct http_client *client = http_client_new(loop, NULL);
    struct answer answer = {0};

    (void)state;
    assert_non_null(http_start(client, &request, on_done, &answer, NULL));
    while (!answer.calls)
        loop_turn(loop, true);
    assert_int_equal(answer.status, 0);
    assert_non_null(strstr(answer.error.sentence, "http://127.0.0.1:1 failed"));
    http_client_free(client);
    loop_free(loop);
}

/* Many at once, some hanging: nobody waits for another, and dropping them all is clean. */
static void test_many_and_cancel(void **state)
{
    struct loop *loop = loop_new("test", NULL);
    struct http_client *client = http_client_new(loop, NULL);
    struct http_transfer *hanging[20];
    struct answer answers[20] = {0};
    char url[256];
    struct http_request request = request_for(url, sizeof url, "hang");

    (void)state;
    for (int i = 0; i < 20; i++)
        hanging[i] = http_start(client, &request, on_done, &answers[i], NULL);
    assert_int_equal(ask(loop, client, "scott").status, 200);
    for (int i = 0; i < 10; i++)
        http_cancel(hanging[i]);
    assert_int_equal(ask(loop, client, "scott").status, 200);
    http_client_free(client);
    for (int i = 0; i < 20; i++)
        assert_int_equal(answers[i].calls, 0);
    loop_free(loop);
}

static void test_limit_of_transfers(void **state)
{
    struct http_request request = {.url = "http://127.0.0.1:1/"};
    struct loop *loop = loop_new("test", NULL);
    struct http_client *client = http_client_new(loop, NULL);
    struct answer answer = {0};
    struct error error = {0};

    (void)state;
    for (int i = 0; i < HTTP_TRANSFERS_LIMIT; i++)
        assert_non_null(http_start(client, &request, on_done, &answer, &error));
    assert_null(http_start(client, &request, on_done, &answer, &error));
    assert_int_equal(error.kind, ERROR_AGAIN);
    http_client_free(client);
    loop_free(loop);
}

static void test_refused_requests(void **state)
{
    struct http_request bad[] = {
        {.url = "file:///etc/passwd"},
        {.url = "http://user:pass@127.0.0.1/"},
        {.url = "http://127.0.0.1/a b"},
        {.url = "http://127.0.0.1/\r\nX: y"},
        {.url = "ftp://127.0.0.1/"},
        {.url = "http://127.0.0.1/", .headers = {{"X-Vault-Token", "a\r\nX: y"}}, .header_count = 1},
        {.url = "http://127.0.0.1/", .headers = {{"A:\n", "a"}}, .header_count = 1},
    };
    struct loop *loop = loop_new("test", NULL);
    struct http_client *client = http_client_new(loop, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error error = {0};

        assert_null(http_start(client, &bad[i], on_done, NULL, &error));
        assert_int_equal(error.kind, ERROR_PERM);
        assert_null(strstr(error.sentence, "pass@"));
    }
    http_client_free(client);
    loop_free(loop);
}

static void test_blocking(void **state)
{
    char url[256];
    struct http_request request = request_for(url, sizeof url, "scott");
    struct answer answer = {0};

    (void)state;
    http_run(&request, on_done, &answer);
    assert_int_equal(answer.status, 200);
    request = request_for(url, sizeof url, "hang");
    request.total_limit_ms = 400;
    answer = (struct answer){0};
    http_run(&request, on_done, &answer);
    assert_int_equal(answer.status, 0);
    assert_int_equal(answer.calls, 1);
}

/* ---- Vault ---- */

static struct vault_source source_of(const char *mount, const char *path, const char *key)
{
    return (struct vault_source){.address = vault.address,
                                 .token = FAKE_VAULT_TOKEN,
                                 .mount = span_of(mount),
                                 .path = span_of(path),
                                 .key = span_of(key)};
}

static void expect_url(const char *mount, const char *path, enum vault_outcome expected, const char *tail)
{
    struct vault_source source = source_of(mount, path, "key");
    struct error error = {0};
    struct buf url;

    buf_init(&url, 4096);
    assert_int_equal(vault_url(&source, &url, &error), expected);
    if (tail)
        assert_string_equal(buf_cstr(&url) + strlen(vault.address), tail);
    else
        assert_true(error.sentence[0]);
    buf_done(&url);
}

static void test_vault_urls(void **state)
{
    (void)state;
    expect_url("secret", "smtp-auth/scott", VAULT_FOUND, "/v1/secret/data/smtp-auth/scott");
    expect_url("a/b", "c", VAULT_FOUND, "/v1/a/b/data/c");
    expect_url("secret", "u/a b?c#d%2e%2e&", VAULT_FOUND, "/v1/secret/data/u/a%20b%3Fc%23d%252e%252e%26");
    expect_url("secret", "u/\xc3\xa9@x", VAULT_FOUND, "/v1/secret/data/u/%C3%A9%40x");
    expect_url("secret", "u/../admin", VAULT_NOT_FOUND, NULL);
    expect_url("secret", "u/.", VAULT_NOT_FOUND, NULL);
    expect_url("secret", "u/", VAULT_NOT_FOUND, NULL);
    expect_url("secret", "u//x", VAULT_NOT_FOUND, NULL);
    expect_url("secret", "", VAULT_NOT_FOUND, NULL);
    expect_url("secret", "u/a\nb", VAULT_NOT_FOUND, NULL);
    expect_url("secret", "u/\x7f", VAULT_NOT_FOUND, NULL);
    expect_url("..", "u", VAULT_FAILED, NULL);
    expect_url("", "u", VAULT_FAILED, NULL);
}

struct vault_answer {
    struct vault_source source;
    enum vault_outcome outcome;
    struct buf secret;
    struct error error;
};

static void on_vault(void *ctx, const struct http_response *response, const struct error *error)
{
    struct vault_answer *answer = ctx;

    assert_null(error);
    answer->outcome = vault_read(&answer->source, response, &answer->secret, &answer->error);
}

static void expect_vault(const char *mount, const char *path, const char *key, enum vault_outcome outcome,
                         const char *expected)
{
    struct vault_answer answer = {.source = source_of(mount, path, key), .outcome = -1};
    struct http_request request;
    struct buf url;

    buf_init(&url, 4096);
    buf_init(&answer.secret, 4096);
    assert_int_equal(vault_url(&answer.source, &url, &answer.error), VAULT_FOUND);
    vault_request(&answer.source, buf_cstr(&url), &request);
    request.connect_limit_ms = request.total_limit_ms = 60000; /* a slow machine is no failure of the server's */
    http_run(&request, on_vault, &answer);
    if (answer.outcome != outcome)
        fail_msg("%s: %d, %s", path, (int)answer.outcome, answer.error.sentence);
    if (outcome == VAULT_FOUND)
        assert_string_equal(buf_cstr(&answer.secret), expected);
    else
        assert_non_null(strstr(answer.error.sentence, expected));
    assert_null(strstr(answer.error.sentence, FAKE_VAULT_TOKEN));
    buf_done(&url);
    buf_done(&answer.secret);
}

static void test_vault_answers(void **state)
{
    (void)state;
    expect_vault("secret", "smtp-auth/scott", "key", VAULT_FOUND, "tiger");
    expect_vault("secret", "smtp-auth/scott", "password", VAULT_FOUND, "other");
    expect_vault("secret", "smtp-auth/scott", "absent", VAULT_NOT_FOUND, "no field");
    expect_vault("secret", "smtp-auth/scott", "number", VAULT_FAILED, "not text");
    expect_vault("secret", "smtp-auth/nobody", "key", VAULT_NOT_FOUND, "no secret");
    expect_vault("secret", "deleted", "key", VAULT_NOT_FOUND, "no secret");
    expect_vault("nomount", "x", "key", VAULT_FAILED, "mount");
    expect_vault("secret", "notvault", "key", VAULT_FAILED, "not JSON");
    expect_vault("secret", "garbage", "key", VAULT_FAILED, "not JSON");
    expect_vault("secret", "version1", "key", VAULT_FAILED, "version 2");
    expect_vault("secret", "denied", "key", VAULT_FAILED, "403");
    expect_vault("secret", "sealed", "key", VAULT_FAILED, "unseal");
    expect_vault("secret", "busy", "key", VAULT_FAILED, "429");
    expect_vault("secret", "broken", "key", VAULT_FAILED, "5xx");
    expect_vault("secret", "redirect", "key", VAULT_FAILED, "redirect");
}

static int start_vault(void **state)
{
    (void)state;
    fake_vault_start(&vault);
    return 0;
}

static int stop_vault(void **state)
{
    (void)state;
    fake_vault_stop(&vault);
    return 0;
}

/* The two that count come first: a server that is slow may count a request after its client has left it. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_alive),       cmocka_unit_test(test_redirect_is_not_followed),
        cmocka_unit_test(test_bad_servers),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_many_and_cancel),  cmocka_unit_test(test_limit_of_transfers),
        cmocka_unit_test(test_refused_requests), cmocka_unit_test(test_blocking),
        cmocka_unit_test(test_vault_urls),       cmocka_unit_test(test_vault_answers),
    };

    return cmocka_run_group_tests(tests, start_vault, stop_vault);
}
