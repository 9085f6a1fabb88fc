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

static void what_is_no_auth_info_is_refused_with_its_fault(void **state)
{
#define ONE "\"identities\": [{\"identity\": \"a\", \"context\": \"SmtpAuthPlainAuthorization\"}]"
    static const struct {
        const char *text;
        const char *fault;
    } cases[] = {
        {"{}", "needs a list of identities"},
        {"{\"identities\": {}}", "needs a list of identities"},
        {"{" ONE ", \"groups\": 5}", "groups of an AuthInfo is not a list"},
        {"{" ONE ", \"tenant\": \"\"}", "tenant of an AuthInfo is not a name"},
        {"{" ONE ", \"tenant\": 5}", "tenant of an AuthInfo is not a name"},
        {"{" ONE ", \"limits\": 5}", "limits of an AuthInfo is not a table"},
    };
    struct auth_info *info = parse("{" ONE "}", NULL), *more;
    struct error error;
    json_t *many = json_array(), *value;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(parse(cases[i].text, &error));
        assert_non_null(strstr(error.sentence, cases[i].fault));
    }
    for (int i = 0; i <= AUTH_GROUPS_MAX; i++)
        json_array_append_new(many, json_string("g"));
    value = json_pack("{so}", "groups", many);
    assert_null(auth_info_with(info, value, &error));
    assert_non_null(strstr(error.sentence, "groups at most"));
    json_decref(value);
    value = json_pack("{s{si}}", "groups", "x", 1);
    assert_null(auth_info_with(info, value, &error));
    assert_non_null(strstr(error.sentence, "groups of an AuthInfo is not a list"));
    json_decref(value);
    value = json_pack("{ss}", "password", "x");
    assert_null(auth_info_with(info, value, &error));
    assert_non_null(strstr(error.sentence, "'password' is not a member"));
    json_decref(value);
    assert_null(auth_info_with(info, json_null(), &error));
    value = json_pack("{s[s]}", "groups", "g");
    more = auth_info_with(info, value, &error);
    assert_non_null(more);
    json_decref(value);
    auth_info_unref(&more);
    auth_info_unref(&info);
#undef ONE
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
        cmocka_unit_test(what_is_no_auth_info_is_refused_with_its_fault),
        cmocka_unit_test(json_goes_round),
        cmocka_unit_test(nonsense_is_refused_and_named),
        cmocka_unit_test(nobody_acts_as_another_without_a_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
