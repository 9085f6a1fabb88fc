/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules: what is refused, with file, line and key; one object for one content; what is offered.
 */
#include "harness.h"

static const struct {
    const char *toml;
    const char *complaint; /* behind the path of the file */
} faults[] = {
    {"x = 1\n[user.ann]\npassword = 'p'\n", ":1: x: there is no such setting"},
    {"[user.ann]\npassword = 'p'\n[password]\nscheme = 'rot13'\n", ":4: password.scheme: there is no scheme \"rot13\""},
    {"[user.ann]\npassword = 'p'\n[password]\nqueue = 1\n", ":4: password.queue: there is no such setting"},
    {"[user.ann]\npassword = 'p'\n[password]\nthreads = 0\n", ":4: password.threads: must be a whole number"},
    {"[user.ann]\npassword = 'p'\n[password]\nremember = 'soon'\n", ":4: password.remember: must be a duration"},
    {"[user.ann]\npassword = 'p'\n[password]\nscheme = 'bcrypt'\nrounds = 99\n", ":3: password: "},
    {"mechanisms = ['PLAIN', 'ROT13']\n[user.ann]\npassword = 'p'\n",
     ":1: mechanisms: there is no mechanism \"ROT13\""},
    {"mechanisms = 'OAUTHBEARER'\n[user.ann]\npassword = 'p'\n", ":1: mechanisms: OAUTHBEARER cannot be offered"},
    {"mechanisms = 'EXTERNAL'\n[user.ann]\npassword = 'p'\n", ":1: mechanisms: EXTERNAL cannot be offered"},
    {"[user.ann]\npassword = 'p'\n[external]\nsource = 'face'\n", ":4: external.source: must be one of"},
    {"[user.ann]\npassword = 'p'\n[external]\nsource = 'map'\n", ":3: external"},
    {"[user.ann]\npassword = 'p'\n[external]\nsource = 'map'\n[external.map]\n'CN=a' = 5\n", ":5: external.map: "},
    {"[user.ann]\npassword = 'p'\n[token]\nrecords = 'maybe'\n", ":4: token.records: must be one of"},
    {"[user.ann]\npassword = 'p'\ncolour = 'red'\n", ":3: user.ann.colour: is not a field we know"},
    {"[user.ann]\ndisabled = true\nnetworks = []\n", ":3: user.ann.networks: is an empty list"},
    {"[user.ann]\n[[user.ann.secrets]]\nlabel = 'a'\npassword = 'p'\n"
     "[[user.ann.secrets]]\nlabel = 'b'\npassword = 'q'\nscopes = 'smtp'\n",
     ":8: user.ann.secrets[1].scopes: has an element other"},
    {"[user.ann]\n[[user.ann.secrets]]\nlabel = 'l'\n", ":1: user.ann: secrets[0].password: is missing"},
    {"[user]\nann = 'p'\n", ":2: user.ann: "},
    {"[store.local]\n\ndriver = 'passwd-file'\npath = 'nowhere'\n", ":4: store.local.path: cannot look at"},
    {"[user.ann]\npassword = 'p'\n[audit]\nunknown_users = 'shout'\n", ":4: audit.unknown_users: must be one of"},
    {"[user.ann]\npassword = 'p'\n[audit]\nkey = 'short'\n", ":4: audit.key: a key has 16 bytes or more"},
    {"[user.ann]\npassword = 'p'\n[audit]\nusers = 1\n", ":4: audit.users: there is no such setting"},
    {"[user.ann]\npassword = 'p\n", ":2:"},
};

static void test_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct error error = {0};
        char *expected = mem_printf("%s%s", test_path, faults[i].complaint);

        assert_null(try_rules(faults[i].toml, &error));
        if (strncmp(error.sentence, expected, strlen(expected)))
            fail_msg("%zu: '%s' does not begin with '%s'", i, error.sentence, expected);
        free(expected);
    }
}

static void test_no_file(void **state)
{
    struct error error = {0};

    (void)state;
    assert_null(gate_rules_load((const char *const[]){"/nonexistent/auth.toml"}, 1, &error));
    assert_non_null(strstr(error.sentence, "/nonexistent/auth.toml"));
    assert_null(gate_rules_load(NULL, 0, &error));
}

static void test_same_content_same_rules(void **state)
{
    struct gate_rules *first = rules_of("[user.ann]\npassword = 'p'\n");
    struct gate_rules *again = rules_of("[user.ann]\npassword = 'p'\n");
    struct gate_rules *other = rules_of("[user.ann]\npassword = 'q'\n");

    (void)state;
    assert_ptr_equal(first, again);
    assert_ptr_not_equal(first, other);
    gate_rules_unref(&first);
    gate_rules_unref(&again);
    gate_rules_unref(&other);
    assert_null(first);
}

static bool offers(const struct gate_rules *rules, const char *name)
{
    const struct auth_mechanism *mechanism = auth_mechanism_find(span_of(name));

    assert_non_null(mechanism);
    return gate_rules_offer(rules, mechanism);
}

static void test_offers(void **state)
{
    struct gate_rules *rules = rules_of("[user.ann]\npassword = 'p'\n");

    (void)state;
    assert_true(offers(rules, "PLAIN"));
    assert_true(offers(rules, "LOGIN"));
    assert_false(offers(rules, "SCRAM-SHA-256"));
    assert_false(offers(rules, "OAUTHBEARER"));
    assert_false(offers(rules, "EXTERNAL"));
    gate_rules_unref(&rules);

    rules = rules_of("mechanisms = ['SCRAM-SHA-256']\n[user.ann]\npassword = 'p'\n");
    assert_false(offers(rules, "PLAIN"));
    assert_true(offers(rules, "SCRAM-SHA-256"));
    gate_rules_unref(&rules);

    rules = rules_of("[user.ann]\npassword = 'p'\n[external]\nsource = 'email'\n");
    assert_true(offers(rules, "EXTERNAL"));
    gate_rules_unref(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_same_content_same_rules),
        cmocka_unit_test(test_offers),
    };

    return cmocka_run_group_tests(tests, start_all, stop_all);
}
