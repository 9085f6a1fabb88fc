/* SPDX-License-Identifier: Apache-2.0
 *
 * OAUTHBEARER, XOAUTH2 and EXTERNAL: whom the client would like to be, and whose the token or the certificate is.
 */
#include "sasl_client.h"

struct token_case {
    const char *mechanism;
    struct span message;
    const char *token; /* NULL: malformed */
    const char *authzid;
};

#define OAUTH "OAUTHBEARER"
#define XOAUTH "XOAUTH2"

static const struct token_case token_cases[] = {
    {OAUTH,
     SPAN_LIT("n,a=user@example.com,\1host=mx\1port=587\1auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1"),
     "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "user@example.com"},
    {OAUTH, SPAN_LIT("n,,\1auth=bearer  a.b-c_d~e+f/g\1\1"), "a.b-c_d~e+f/g", NULL},
    {OAUTH, SPAN_LIT("y,,\1auth=Bearer x\1\1"), "x", NULL},
    {OAUTH, SPAN_LIT("n,a==2C=3D,\1auth=Bearer x\1\1"), "x", ",="},
    {OAUTH, SPAN_LIT("p=tls-exporter,,\1auth=Bearer x\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,auth=Bearer x\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1auth=Bearer x\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1auth=Bearer x\1\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1auth=Bearer x\1\1more"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1auth=Bearer x\1auth=Bearer y\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1auth=Basic x\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1k3y=x\1auth=Bearer x\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1=x\1auth=Bearer x\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1auth=Bearer\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1auth=Bearer \1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1auth=Bearer ==\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1auth=Bearer a b\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1auth=Bearer a\0b\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1auth=Bearer a=b\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1=x\1auth=Bearer a\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1host\1auth=Bearer a\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,a=\xff,\1auth=Bearer a\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("\1auth=Bearer a\1\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("n,,\1"), NULL, NULL},
    {OAUTH, SPAN_LIT("\1"), NULL, NULL},
    {OAUTH, SPAN_LIT(""), NULL, NULL},
    {XOAUTH, SPAN_LIT("user=someuser@example.com\1auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\1\1"),
     "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg", "someuser@example.com"},
    {XOAUTH, SPAN_LIT("auth=Bearer x\1user=a\1\1"), "x", "a"},
    {XOAUTH, SPAN_LIT("auth=Bearer x\1\1"), NULL, NULL},
    {XOAUTH, SPAN_LIT("user=\1auth=Bearer x\1\1"), NULL, NULL},
    {XOAUTH, SPAN_LIT("user=a\1auth=Bearer x\1"), NULL, NULL},
    {XOAUTH, SPAN_LIT("user=a\1\1"), NULL, NULL},
    {XOAUTH, SPAN_LIT("user=a\nb\1auth=Bearer x\1\1"), NULL, NULL},
    {XOAUTH, SPAN_LIT("user=a\1user=b\1auth=Bearer x\1\1"), NULL, NULL},
    {XOAUTH, SPAN_LIT(""), NULL, NULL},
};

static void token_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof token_cases / sizeof token_cases[0]; i++) {
        const struct token_case *row = &token_cases[i];
        struct auth_exchange *exchange = begin(row->mechanism, NULL);
        enum auth_step step = first(exchange, row->message);
        const struct auth_question *question = auth_exchange_question(exchange);

        if (step != (row->token ? AUTH_STEP_ASK : AUTH_STEP_FAIL))
            fail_msg("case %zu", i);
        if (row->token) {
            assert_int_equal(question->kind, AUTH_ASK_TOKEN);
            assert_string_equal(question->token, row->token);
            assert_null(question->authcid);
            if (row->authzid)
                assert_string_equal(question->authzid, row->authzid);
            else
                assert_null(question->authzid);
        } else {
            assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_MALFORMED);
        }
        auth_exchange_free(exchange);
    }
}

#define GOOD SPAN_LIT("n,a=bob,\1auth=Bearer x\1\1")

static void the_answer_says_whose_token_it_is(void **state)
{
    struct auth_exchange *exchange = begin(OAUTH, NULL);

    (void)state;
    assert_int_equal(first(exchange, GOOD), AUTH_STEP_ASK);
    assert_int_equal(grant(exchange, "alice"), AUTH_STEP_DONE);
    assert_string_equal(auth_exchange_question(exchange)->authcid, "alice");
    assert_string_equal(auth_exchange_question(exchange)->authzid, "bob");
    assert_null(auth_exchange_question(exchange)->token);
    auth_exchange_free(exchange);
    exchange = begin(OAUTH, NULL);
    assert_int_equal(first(exchange, SPAN_LIT("n,,\1auth=Bearer x\1\1")), AUTH_STEP_ASK);
    assert_int_equal(grant(exchange, "alice"), AUTH_STEP_DONE);
    assert_string_equal(auth_exchange_question(exchange)->authzid, "alice");
    auth_exchange_free(exchange);
}

static void a_refused_token_is_told_in_two_steps(void **state)
{
    static const struct span last_words[] = {SPAN_LIT("AQ=="), SPAN_LIT(""), SPAN_LIT("*"), SPAN_LIT("!"),
                                             SPAN_LIT("bixhPWJvYiwB")};

    (void)state;
    for (size_t i = 0; i < sizeof last_words / sizeof last_words[0]; i++) {
        struct auth_exchange *exchange = begin(OAUTH, NULL);

        assert_int_equal(first(exchange, GOOD), AUTH_STEP_ASK);
        assert_false(auth_exchange_is_refused(exchange));
        assert_int_equal(refuse(exchange, AUTH_REASON_BAD_TOKEN), AUTH_STEP_CHALLENGE);
        assert_true(auth_exchange_is_refused(exchange));
        expect_challenge(exchange, "{\"status\":\"invalid_token\"}");
        assert_int_equal(auth_exchange_line(exchange, last_words[i]), AUTH_STEP_FAIL);
        assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_BAD_TOKEN);
        auth_exchange_free(exchange);
    }
}

static void every_refusal_looks_the_same(void **state)
{
    static const enum auth_reason reasons[] = {AUTH_REASON_BAD_TOKEN, AUTH_REASON_NO_USER, AUTH_REASON_NO_HANDLER,
                                               AUTH_REASON_AUTHZID_REFUSED};

    (void)state;
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        struct auth_exchange *exchange = begin(XOAUTH, NULL);

        assert_int_equal(first(exchange, SPAN_LIT("user=a\1auth=Bearer x\1\1")), AUTH_STEP_ASK);
        assert_int_equal(refuse(exchange, reasons[i]), AUTH_STEP_CHALLENGE);
        expect_challenge(exchange, "{\"status\":\"401\",\"schemes\":\"bearer\"}");
        auth_exchange_free(exchange);
    }
}

static void a_client_may_ask_what_we_would_take(void **state)
{
    static const struct span questions[] = {SPAN_LIT("n,,\1auth=\1\1"), SPAN_LIT("n,,\1host=x\1\1"),
                                            SPAN_LIT("n,,\1\1")};

    (void)state;
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        struct auth_exchange *exchange = begin(OAUTH, NULL);

        assert_int_equal(first(exchange, questions[i]), AUTH_STEP_CHALLENGE);
        assert_true(auth_exchange_is_refused(exchange));
        assert_int_equal(next(exchange, SPAN_LIT("\1")), AUTH_STEP_FAIL);
        assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_BAD_TOKEN);
        auth_exchange_free(exchange);
    }
}

/* ---- EXTERNAL ---- */

static void a_certificate_speaks_for_its_owner(void **state)
{
    static const struct auth_certificate certificate = {.subject = "CN=device-7"};
    static const struct auth_channel with = {.certificate = &certificate};
    static const struct {
        struct span message;
        bool is_sound;
        const char *authzid;
    } cases[] = {
        {SPAN_LIT(""), true, NULL},      {SPAN_LIT("bob"), true, "bob"},  {SPAN_LIT("b\0b"), false, NULL},
        {SPAN_LIT("b\nb"), false, NULL}, {SPAN_LIT("\xff"), false, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int is_late = 0; is_late < 2; is_late++) {
            struct auth_exchange *exchange = begin("EXTERNAL", &with);
            const struct auth_question *question = auth_exchange_question(exchange);
            enum auth_step step;

            if (is_late)
                assert_int_equal(auth_exchange_start(exchange, NULL), AUTH_STEP_CHALLENGE);
            step = is_late ? next(exchange, cases[i].message) : first(exchange, cases[i].message);
            assert_int_equal(step, cases[i].is_sound ? AUTH_STEP_ASK : AUTH_STEP_FAIL);
            if (cases[i].is_sound) {
                assert_string_equal(question->certificate->subject, "CN=device-7");
                assert_int_equal(grant(exchange, "device-7"), AUTH_STEP_DONE);
                assert_string_equal(question->authcid, "device-7");
                assert_string_equal(question->authzid, cases[i].authzid ? cases[i].authzid : "device-7");
            }
            auth_exchange_free(exchange);
        }
}

static void without_a_certificate_there_is_nobody(void **state)
{
    struct auth_exchange *exchange = begin("EXTERNAL", NULL);

    (void)state;
    assert_int_equal(first(exchange, SPAN_LIT("bob")), AUTH_STEP_FAIL);
    auth_exchange_free(exchange);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_messages),
        cmocka_unit_test(the_answer_says_whose_token_it_is),
        cmocka_unit_test(a_refused_token_is_told_in_two_steps),
        cmocka_unit_test(every_refusal_looks_the_same),
        cmocka_unit_test(a_client_may_ask_what_we_would_take),
        cmocka_unit_test(a_certificate_speaks_for_its_owner),
        cmocka_unit_test(without_a_certificate_there_is_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
