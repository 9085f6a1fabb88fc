/* SPDX-License-Identifier: Apache-2.0
 *
 * SASL exchanges as tables: what the client sends in clear (encoded here), what comes of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "auth/exchange.h"
#include "base/base64.h"
#include "base/buf.h"

static struct auth_exchange *begin(const char *mechanism)
{
    const struct auth_mechanism *found = auth_mechanism_find(span_of(mechanism));

    assert_non_null(found);
    return auth_exchange_new(found, NULL);
}

static enum auth_step feed(struct auth_exchange *exchange, struct span octets, bool initial)
{
    struct buf text;
    struct span line;
    enum auth_step step;

    buf_init(&text, 65536);
    assert_int_equal(base64_encode(octets, &text), 0);
    line = buf_span(&text);
    step = initial ? auth_exchange_start(exchange, &line) : auth_exchange_line(exchange, line);
    buf_done(&text);
    return step;
}

static enum auth_step grant(struct auth_exchange *exchange)
{
    return auth_exchange_answer(exchange, &(struct auth_answer){.granted = true});
}

static enum auth_step refuse(struct auth_exchange *exchange, enum auth_reason reason)
{
    return auth_exchange_answer(exchange, &(struct auth_answer){.reason = reason});
}

struct plain_case {
    struct span message;
    const char *authzid; /* NULL: malformed */
    const char *authcid;
    const char *password;
};

static const struct plain_case plain_cases[] = {
    {SPAN_LIT("\0alice\0secret"), "alice", "alice", "secret"},
    {SPAN_LIT("bob\0alice\0secret"), "bob", "alice", "secret"},
    {SPAN_LIT("\0a\0\xc3\xa4"), "a", "a", "\xc3\xa4"},
    {SPAN_LIT("\0a\0 "), "a", "a", " "},
    {SPAN_LIT(""), NULL, NULL, NULL},
    {SPAN_LIT("alice"), NULL, NULL, NULL},
    {SPAN_LIT("\0alice"), NULL, NULL, NULL},
    {SPAN_LIT("\0alice\0secret\0more"), NULL, NULL, NULL},
    {SPAN_LIT("\0alice\0secret\0"), NULL, NULL, NULL},
    {SPAN_LIT("\0\0secret"), NULL, NULL, NULL},
    {SPAN_LIT("\0alice\0"), "alice", "alice", ""}, /* for the handler to refuse */
    {SPAN_LIT("\0al\xffice\0secret"), NULL, NULL, NULL},
    {SPAN_LIT("\0alice\0\xff"), NULL, NULL, NULL},
    {SPAN_LIT("\xc0\x80\0alice\0x"), NULL, NULL, NULL},
    {SPAN_LIT("\0al\r\nice\0secret"), NULL, NULL, NULL},
};

static void plain_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof plain_cases / sizeof plain_cases[0]; i++)
        for (int initial = 0; initial < 2; initial++) {
            const struct plain_case *row = &plain_cases[i];
            struct auth_exchange *exchange = begin("plain");
            enum auth_step step;

            if (!initial) {
                assert_int_equal(auth_exchange_start(exchange, NULL), AUTH_STEP_CHALLENGE);
                assert_string_equal(auth_exchange_challenge(exchange), "");
            }
            step = feed(exchange, row->message, initial);
            if (!row->authzid) {
                assert_int_equal(step, AUTH_STEP_FAIL);
                assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_MALFORMED);
            } else {
                assert_int_equal(step, AUTH_STEP_ASK);
                assert_string_equal(auth_exchange_question(exchange)->authzid, row->authzid);
                assert_string_equal(auth_exchange_question(exchange)->authcid, row->authcid);
                assert_string_equal(auth_exchange_question(exchange)->password, row->password);
                assert_int_equal(grant(exchange), AUTH_STEP_DONE);
                assert_null(auth_exchange_question(exchange)->password);
            }
            auth_exchange_free(exchange);
        }
}

static void a_refusal_keeps_its_reason(void **state)
{
    struct auth_exchange *exchange = begin("PLAIN");

    (void)state;
    assert_int_equal(feed(exchange, SPAN_LIT("\0a\0b"), true), AUTH_STEP_ASK);
    assert_int_equal(refuse(exchange, AUTH_REASON_NO_HANDLER), AUTH_STEP_FAIL);
    assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_NO_HANDLER);
    auth_exchange_free(exchange);
}

static void an_asterisk_cancels(void **state)
{
    struct auth_exchange *exchange = begin("LOGIN");

    (void)state;
    assert_int_equal(auth_exchange_start(exchange, NULL), AUTH_STEP_CHALLENGE);
    assert_int_equal(auth_exchange_line(exchange, SPAN_LIT("*")), AUTH_STEP_FAIL);
    assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_CANCELLED);
    auth_exchange_free(exchange);
}

static void what_is_not_base64_is_malformed(void **state)
{
    static const char *const lines[] = {"!", "YQ", "YQ==YQ==", "YQ= =", " YQ==", "YR==", "=", "Y"};

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct auth_exchange *exchange = begin("PLAIN");

        assert_int_equal(auth_exchange_start(exchange, NULL), AUTH_STEP_CHALLENGE);
        assert_int_equal(auth_exchange_line(exchange, span_of(lines[i])), AUTH_STEP_FAIL);
        assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_MALFORMED);
        auth_exchange_free(exchange);
    }
}

static void an_equals_sign_is_an_empty_initial_response(void **state)
{
    struct auth_exchange *exchange = begin("PLAIN");
    struct span empty = SPAN_LIT("=");

    (void)state;
    assert_int_equal(auth_exchange_start(exchange, &empty), AUTH_STEP_FAIL); /* no PLAIN message is empty */
    assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_MALFORMED);
    auth_exchange_free(exchange);
}

static void a_line_over_the_limit_is_refused(void **state)
{
    struct auth_exchange *exchange = begin("PLAIN");
    char *line = malloc(AUTH_LINE_LIMIT + 4);

    (void)state;
    memset(line, 'A', AUTH_LINE_LIMIT + 4);
    assert_int_equal(auth_exchange_start(exchange, NULL), AUTH_STEP_CHALLENGE);
    assert_int_equal(auth_exchange_line(exchange, span_make(line, AUTH_LINE_LIMIT + 4)), AUTH_STEP_FAIL);
    assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_TOO_LONG);
    auth_exchange_free(exchange);
    free(line);
}

static void login_asks_twice(void **state)
{
    (void)state;
    for (int initial = 0; initial < 2; initial++) {
        struct auth_exchange *exchange = begin("LoGiN");

        if (!initial) {
            assert_int_equal(auth_exchange_start(exchange, NULL), AUTH_STEP_CHALLENGE);
            assert_string_equal(auth_exchange_challenge(exchange), "VXNlcm5hbWU6");
        }
        assert_int_equal(feed(exchange, SPAN_LIT("alice"), initial), AUTH_STEP_CHALLENGE);
        assert_string_equal(auth_exchange_challenge(exchange), "UGFzc3dvcmQ6");
        assert_int_equal(feed(exchange, SPAN_LIT("secret"), false), AUTH_STEP_ASK);
        assert_string_equal(auth_exchange_question(exchange)->authzid, "alice");
        assert_string_equal(auth_exchange_question(exchange)->authcid, "alice");
        assert_string_equal(auth_exchange_question(exchange)->password, "secret");
        auth_exchange_free(exchange);
    }
}

static void login_takes_no_broken_answers(void **state)
{
    static const struct span users[] = {SPAN_LIT(""), SPAN_LIT("a\0b"), SPAN_LIT("\xff")};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (int second = 0; second < 2; second++) {
            struct auth_exchange *exchange = begin("LOGIN");

            assert_int_equal(auth_exchange_start(exchange, NULL), AUTH_STEP_CHALLENGE);
            if (second)
                assert_int_equal(feed(exchange, SPAN_LIT("alice"), false), AUTH_STEP_CHALLENGE);
            if (second && i == 0) { /* an empty password is for the handler to refuse */
                assert_int_equal(feed(exchange, users[i], false), AUTH_STEP_ASK);
            } else {
                assert_int_equal(feed(exchange, users[i], false), AUTH_STEP_FAIL);
                assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_MALFORMED);
            }
            auth_exchange_free(exchange);
        }
}

static void names_are_found_in_any_case(void **state)
{
    (void)state;
    assert_non_null(auth_mechanism_find(SPAN_LIT("PlAiN")));
    assert_null(auth_mechanism_find(SPAN_LIT("PLAINX")));
    assert_null(auth_mechanism_find(SPAN_LIT("")));
    assert_string_equal(auth_mechanism_name(auth_mechanism_find(SPAN_LIT("plain"))), "PLAIN");
    assert_true(auth_mechanism_needs_tls(auth_mechanism_find(SPAN_LIT("plain"))));
    for (size_t i = 0; auth_mechanism_at(i); i++)
        assert_ptr_equal(auth_mechanism_find(span_of(auth_mechanism_name(auth_mechanism_at(i)))), auth_mechanism_at(i));
    assert_null(auth_mechanism_at(99));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_messages),
        cmocka_unit_test(a_refusal_keeps_its_reason),
        cmocka_unit_test(an_asterisk_cancels),
        cmocka_unit_test(what_is_not_base64_is_malformed),
        cmocka_unit_test(an_equals_sign_is_an_empty_initial_response),
        cmocka_unit_test(a_line_over_the_limit_is_refused),
        cmocka_unit_test(login_asks_twice),
        cmocka_unit_test(login_takes_no_broken_answers),
        cmocka_unit_test(names_are_found_in_any_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
