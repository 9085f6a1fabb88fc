/* SPDX-License-Identifier: Apache-2.0
 *
 * AuthInfo in and out of JSON, and the rule about acting as somebody else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "auth/identity.h"

static struct auth_info *parse(const char *text, struct error *error)
{
    json_t *value = json_loads(text, 0, NULL);
    struct auth_info *info;

    assert_non_null(value);
    info = auth_info_from_json(value, error);
    json_decref(value);
    return info;
}

static void json_goes_round(void **state)
{
    static const char text[] = "{\"identities\": [{\"identity\": \"a\", \"context\": \"SmtpAuthPlainAuthorization\"}, "
                               "{\"identity\": \"b\", \"context\": \"BearerToken\"}], \"groups\": [\"g\", \"h\"]}";
    struct auth_info *info = parse(text, NULL);
    json_t *again = auth_info_to_json(info);
    json_t *wanted = json_loads(text, 0, NULL);

    (void)state;
    assert_true(json_equal(again, wanted));
    json_decref(again);
    json_decref(wanted);
    auth_info_unref(&info);
    assert_null(info);
}

static void nonsense_is_refused_and_named(void **state)
{
    static const struct {
        const char *text;
        const char *named;
    } cases[] = {
        {"{}", "identities"},
        {"[]", "identities"},
        {"{\"identities\": []}", "identities"},
        {"{\"identities\": {}}", "identities"},
        {"{\"identities\": [{\"identity\": \"a\"}]}", "context"},
        {"{\"identities\": [{\"identity\": \"a\", \"context\": \"Whatever\"}]}", "context"},
        {"{\"identities\": [{\"identity\": \"\", \"context\": \"BearerToken\"}]}", "identities[1]"},
        {"{\"identities\": [{\"identity\": \"a\", \"context\": \"BearerToken\"}], \"groups\": [1]}", "groups[1]"},
        {"{\"identities\": [{\"identity\": \"a\", \"context\": \"BearerToken\"}], \"groups\": \"g\"}", "groups"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error = {0};

        assert_null(parse(cases[i].text, &error));
        assert_non_null(strstr(error.sentence, cases[i].named));
    }
}

static void nobody_acts_as_another_without_a_rule(void **state)
{
    struct auth_info *names_bob =
        parse("{\"identities\": [{\"identity\": \"bob\", \"context\": \"SmtpAuthPlainAuthorization\"}]}", NULL);
    struct auth_info *wrong_context =
        parse("{\"identities\": [{\"identity\": \"bob\", \"context\": \"SmtpAuthPlainAuthentication\"}]}", NULL);

    (void)state;
    assert_true(auth_may_act_as("alice", "alice", NULL));
    assert_true(auth_may_act_as("alice", "alice", names_bob));
    assert_false(auth_may_act_as("bob", "alice", NULL));
    assert_false(auth_may_act_as("Alice", "alice", NULL));
    assert_true(auth_may_act_as("bob", "alice", names_bob));
    assert_false(auth_may_act_as("carol", "alice", names_bob));
    assert_false(auth_may_act_as("bob", "alice", wrong_context));
    auth_info_unref(&names_bob);
    auth_info_unref(&wrong_context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_goes_round),
        cmocka_unit_test(nonsense_is_refused_and_named),
        cmocka_unit_test(nobody_acts_as_another_without_a_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
