/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose certificates are believed: with a `ca_file` its authorities and nobody else, not even those that the system
 * has in its directory. No test may put an authority there; so the directory is another one here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/x509_vfy.h>
#include <unistd.h>

#include "http/http.h"

#include "../../support/helper.h"

static struct helper server;
static int directories; /* that the library has looked into */

/* Found before OpenSSL's own, whichever directory libcurl was built with. */
int X509_STORE_load_path(X509_STORE *store, const char *path)
{
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir());

    (void)path;
    directories++;
    return lookup && X509_LOOKUP_add_dir(lookup, helper_place(&server, "system"), X509_FILETYPE_PEM);
}

static void on_done(void *ctx, const struct http_response *response, const struct error *error)
{
    bool *is_trusted = ctx;

    *is_trusted = response && response->status == 200;
    if (error && !strstr(error->sentence, "certificate"))
        fail_msg("%s", error->sentence);
}

/* A busy machine may make the server slow, which has nothing to do with its certificate. */
static struct http_request request_with(const char *ca_file)
{
    return (struct http_request){.url = helper_place(&server, "address"),
                                 .ca_file = ca_file,
                                 .connect_limit_ms = 60000,
                                 .total_limit_ms = 60000};
}

static bool trusts(const char *ca_file)
{
    struct http_request request = request_with(ca_file);
    bool is_trusted = false;

    http_run(&request, on_done, &is_trusted);
    return is_trusted;
}

static void test_the_file_and_nobody_else(void **state)
{
    (void)state;
    assert_true(trusts(helper_place(&server, "ca")));
    assert_false(trusts(helper_place(&server, "other")));
}

static void test_without_a_file_the_system(void **state)
{
    bool is_trusted = trusts(NULL);

    (void)state;
    if (!directories) /* a libcurl that looks into none, or asks another library than OpenSSL */
        skip();
    assert_true(is_trusted);
}

static void on_answer(void *ctx, const struct http_response *response, const struct error *error)
{
    (void)error;
    *(int *)ctx = response ? response->status : -1;
}

static int ask(struct loop *loop, struct http_client *client, const char *ca_file)
{
    struct http_request request = request_with(ca_file);
    int status = 0;

    assert_non_null(http_start(client, &request, on_answer, &status, NULL));
    while (!status)
        loop_turn(loop, true);
    return status;
}

static void test_a_file_that_is_replaced_counts_at_once(void **state)
{
    struct loop *loop = loop_new("test", NULL);
    struct http_client *client = http_client_new(loop, NULL);
    char path[512];

    (void)state;
    snprintf(path, sizeof path, "%s/link.pem", helper_place(&server, "system"));
    assert_int_equal(symlink(helper_place(&server, "other"), path), 0);
    assert_int_equal(ask(loop, client, path), -1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(helper_place(&server, "ca"), path), 0);
    assert_int_equal(ask(loop, client, path), 200);
    http_client_free(client);
    loop_free(loop);
}

static int start_server(void **state)
{
    (void)state;
    helper_start(&server, "trusted.py");
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    helper_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_file_and_nobody_else),
        cmocka_unit_test(test_without_a_file_the_system),
        cmocka_unit_test(test_a_file_that_is_replaced_counts_at_once),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
