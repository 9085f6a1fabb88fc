/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings: what each getter takes and refuses, and that a fault says file, line and key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/secret.h"
#include "data/settings.h"

static const char *const schemes[] = {"plain", "argon2id", NULL};

static struct settings *parse(const char *text)
{
    struct error error;
    struct settings *settings = settings_parse_toml(text, "auth.toml", &error);

    if (!settings)
        fail_msg("%s", error.sentence);
    return settings;
}

static void test_values(void **state)
{
    struct settings *root = parse("name = 'ann'\nflag = true\nn = 7\nt = '1h30m'\ns = 20\nscheme = 'argon2id'\n"
                                  "one = 'a'\nmany = ['a', 'b']\n[store.z]\nurl='u'\n[store.a]\nurl='v'\n"
                                  "[[list]]\nk = 1\n[[list]]\nk = 2\n");
    struct settings *stores;
    struct error error;

    (void)state;
    assert_string_equal(settings_text(root, "name", "x"), "ann");
    assert_string_equal(settings_text(root, "none", "x"), "x");
    assert_null(settings_text(root, "none", NULL));
    assert_true(settings_flag(root, "flag", false));
    assert_true(settings_flag(root, "none", true));
    assert_int_equal(settings_count(root, "n", 1, 1, 9), 7);
    assert_int_equal(settings_count(root, "none", 3, 1, 9), 3);
    assert_int_equal(settings_duration_ms(root, "t", 0, 0, UINT64_MAX), 5400000);
    assert_int_equal(settings_duration_ms(root, "s", 0, 0, UINT64_MAX), 20000);
    assert_int_equal(settings_choice(root, "scheme", schemes, 0), 1);
    assert_int_equal(json_array_size(settings_strings(root, "one")), 1);
    assert_int_equal(json_array_size(settings_strings(root, "many")), 2);
    assert_int_equal(json_array_size(settings_strings(root, "none")), 0);
    assert_false(settings_has(root, "none"));
    assert_true(settings_has(root, "store"));

    stores = settings_table(root, "store");
    assert_ptr_equal(settings_table(root, "store"), stores);
    assert_string_equal(settings_name_at(stores, 0), "z"); /* as written, not as sorted */
    assert_string_equal(settings_name_at(stores, 1), "a");
    assert_null(settings_name_at(stores, 2));
    assert_string_equal(settings_need_text(settings_table(stores, "z"), "url"), "u");
    assert_string_equal(settings_where(settings_table(stores, "a"), "url"), "auth.toml:12: store.a.url");
    assert_string_equal(settings_need_text(settings_table(stores, "a"), "url"), "v");
    assert_int_equal(settings_count(settings_table_at(root, "list", 0), "k", 0, 0, 9), 1);
    assert_int_equal(settings_count(settings_table_at(root, "list", 1), "k", 0, 0, 9), 2);
    assert_null(settings_table_at(root, "list", 2));
    assert_null(settings_table(root, "nowhere"));
    assert_int_equal(settings_count(settings_table(root, "nowhere"), "k", 4, 0, 9), 4);
    if (settings_end(root, &error))
        fail_msg("%s", error.sentence);
    settings_free(root);
}

/* ---- faults: each getter in turn, on the second line of table [a] ---- */

static void get_text(struct settings *a) { settings_text(a, "k", NULL); }
static void get_need(struct settings *a) { settings_need_text(a, "k"); }
static void get_flag(struct settings *a) { settings_flag(a, "k", false); }
static void get_count(struct settings *a) { settings_count(a, "k", 1, 1, 9); }
static void get_duration(struct settings *a) { settings_duration_ms(a, "k", 1000, 1000, 60000); }
static void get_choice(struct settings *a) { settings_choice(a, "k", schemes, 0); }
static void get_strings(struct settings *a) { settings_strings(a, "k"); }
static void get_table(struct settings *a) { settings_table(a, "k"); }
static void get_tables(struct settings *a) { settings_table_at(a, "k", 0); }
static void get_nothing(struct settings *a) { (void)a; }
static void get_secret(struct settings *a) { secret_free(settings_secret(a, "k")); }

static const struct {
    const char *line;
    void (*get)(struct settings *a);
    const char *complaint;
} faults[] = {
    {"k = 5", get_text, "auth.toml:3: a.k: must be a string"},
    {"k = 'a\\u0000b'", get_text, NULL}, /* a literal string: no escape in it */
    {"k = \"a\\u0000b\"", get_text, "auth.toml:3: a.k: must be a string"},
    {"k = ''", get_need, "auth.toml:3: a.k: must not be empty"},
    {"j = 1", get_need, "auth.toml:2: a.k: must be given"},
    {"k = 'true'", get_flag, "auth.toml:3: a.k: must be true or false"},
    {"k = 0", get_count, "auth.toml:3: a.k: must be a whole number from 1 to 9"},
    {"k = -1", get_count, "auth.toml:3: a.k: must be a whole number from 1 to 9"},
    {"k = 10", get_count, "auth.toml:3: a.k: must be a whole number from 1 to 9"},
    {"k = 1.5", get_count, "auth.toml:3: a.k: must be a whole number from 1 to 9"},
    {"k = '5'", get_count, "auth.toml:3: a.k: must be a whole number from 1 to 9"},
    {"k = 'soon'", get_duration, "auth.toml:3: a.k: must be a duration such as \"5 minutes\", or a number of seconds"},
    {"k = true", get_duration, "auth.toml:3: a.k: must be a duration such as \"5 minutes\", or a number of seconds"},
    {"k = -1", get_duration, "auth.toml:3: a.k: must be a duration such as \"5 minutes\", or a number of seconds"},
    {"k = '2m'", get_duration, "auth.toml:3: a.k: must be from 1 to 60 seconds"},
    {"k = 'md5'", get_choice, "auth.toml:3: a.k: must be one of \"plain\", \"argon2id\""},
    {"k = [1]", get_strings, "auth.toml:3: a.k: must be a string or an array of strings"},
    {"k = 1", get_strings, "auth.toml:3: a.k: must be a string or an array of strings"},
    {"k = 1", get_table, "auth.toml:3: a.k: must be a table"},
    {"k = 1", get_tables, "auth.toml:3: a.k: must be an array of tables"},
    {"k = [1]", get_tables, "auth.toml:3: a.k: must hold tables only"},
    {"k = 1", get_nothing, "auth.toml:3: a.k: there is no such setting"},
    {"\"k v\" = 1", get_nothing, "auth.toml:3: a.\"k v\": there is no such setting"},
    {"k.z.y = 1", get_nothing, "auth.toml:3: a.k: there is no such setting"},
    {"k = 'p'\nk_env = 'HOME'", get_secret, "auth.toml:4: a.k_env: says where k is a second time"},
    {"k_env = 'GATEPOST_SURELY_UNSET'", get_secret, "auth.toml:3: a.k_env: the environment has no such variable"},
    {"k_file = '/nonexistent'", get_secret,
     "auth.toml:3: a.k_file: cannot open /nonexistent: No such file or directory"},
    {"k_credential = '../x'", get_secret, "auth.toml:3: a.k_credential: must be the name of a credential"},
    {"k_credential = 'x'", get_secret,
     "auth.toml:3: a.k_credential: the service manager has handed over no credentials (CREDENTIALS_DIRECTORY)"},
};

static void test_faults(void **state)
{
    (void)state;
    unsetenv("CREDENTIALS_DIRECTORY");
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        char *text = mem_printf("\n[a]\n%s\n", faults[i].line);
        struct settings *root = parse(text);
        struct error error;

        faults[i].get(settings_table(root, "a"));
        if (!faults[i].complaint) {
            assert_int_equal(settings_end(root, &error), 0);
        } else {
            assert_int_equal(settings_end(root, &error), -1);
            assert_string_equal(error.sentence, faults[i].complaint);
        }
        settings_free(root);
        free(text);
    }
}

static void test_first_fault_wins(void **state)
{
    struct settings *root = parse("a = 1\nb = 2\n[t]\nc = 3\n");
    struct error error;

    (void)state;
    settings_text(settings_table(root, "t"), "c", NULL);
    settings_text(root, "b", NULL);
    assert_int_equal(settings_end(root, &error), -1);
    assert_string_equal(error.sentence, "auth.toml:4: t.c: must be a string");
    settings_fault(root, "a", "is late");
    assert_int_equal(settings_end(settings_table(root, "t"), &error), -1);
    settings_free(root);
}

static void test_leftover_in_order(void **state)
{
    struct settings *root = parse("z = 1\na = 2\n");
    struct error error;

    (void)state;
    assert_int_equal(settings_end(root, &error), -1);
    assert_string_equal(error.sentence, "auth.toml:1: z: there is no such setting");
    settings_free(root);
}

static void test_passed_tables_have_no_leftover(void **state)
{
    struct settings *root = parse("z = 1\n[t]\na = 2\n[t.u]\nb = 3\n");
    struct error error;

    (void)state;
    settings_count(root, "z", 0, 0, 9);
    settings_table(settings_table(root, "t"), "u");
    settings_pass(settings_table(root, "t"));
    assert_int_equal(settings_end(root, &error), 0);
    settings_fault(settings_table(root, "t"), "a", "is wrong even so");
    assert_int_equal(settings_end(root, &error), -1);
    settings_free(root);
}

/* ---- files ---- */

static char folder[] = "/tmp/test-settings-XXXXXX";

static char *write_file(const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", folder, name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static void test_files_are_merged(void **state)
{
    char *paths[3] = {write_file("a.toml", "[user.ann]\npassword = 'x'\n[password]\nscheme = 'plain'\n"),
                      write_file("b.toml", "\n[user.bob]\nkey_file = 'k'\n"),
                      write_file("c.json", "{\"user\": {\"eve\": {\"password\": 3}}}")};
    char *key = write_file("k", "hidden\r\n");
    struct error error;
    struct settings *root = settings_load((const char *const *)paths, 3, &error), *users;
    char *secret, *expected;

    (void)state;
    assert_non_null(root);
    users = settings_table(root, "user");
    assert_string_equal(settings_name_at(users, 0), "ann");
    assert_string_equal(settings_name_at(users, 1), "bob");
    assert_string_equal(settings_name_at(users, 2), "eve");
    assert_string_equal(settings_file(users, "ann"), paths[0]);
    assert_string_equal(settings_file(settings_table(users, "bob"), "key"), paths[1]);
    assert_string_equal(settings_file(settings_table(users, "eve"), NULL), paths[2]);
    settings_text(settings_table(users, "ann"), "password", NULL);
    settings_value(root, "password");
    secret = settings_secret(settings_table(users, "bob"), "key"); /* relative to the file that names it */
    assert_string_equal(secret, "hidden");
    secret_free(secret);
    settings_text(settings_table(users, "eve"), "password", NULL);
    assert_int_equal(settings_end(root, &error), -1);
    expected = mem_printf("%s: user.eve.password: must be a string", paths[2]);
    assert_string_equal(error.sentence, expected);
    free(expected);
    settings_free(root);
    for (size_t i = 0; i < 3; i++)
        free(paths[i]);
    free(key);
}

static void test_a_key_set_twice(void **state)
{
    char *paths[2] = {write_file("a.toml", "[password]\nscheme = 'plain'\n"),
                      write_file("b.toml", "\n\n[password]\nscheme = 'bcrypt'\n")};
    struct error error;
    char *expected = mem_printf("%s:4: scheme: is set in %s:2 already", paths[1], paths[0]);

    (void)state;
    assert_null(settings_load((const char *const *)paths, 2, &error));
    assert_string_equal(error.sentence, expected);
    free(expected);
    free(paths[0]);
    free(paths[1]);
}

static void test_what_cannot_be_read(void **state)
{
    char *paths[1] = {write_file("a.toml", "\nx = [1,\n")};
    struct error error;
    char *expected = mem_printf("%s:", paths[0]);

    (void)state;
    assert_null(settings_load((const char *const *)paths, 1, &error));
    assert_memory_equal(error.sentence, expected, strlen(expected));
    free(expected);
    assert_null(settings_load((const char *const[]){"/nonexistent/auth.toml"}, 1, &error));
    free(paths[0]);
    paths[0] = write_file("l.json", "[1]");
    assert_null(settings_load((const char *const *)paths, 1, &error));
    free(paths[0]);
}

static void test_json(void **state)
{
    json_t *table = json_pack("{s:{s:i}}", "a", "k", 1);
    struct settings *root = settings_of_json(table, "policy.lua");
    struct error error;

    (void)state;
    json_decref(table);
    settings_text(settings_table(root, "a"), "k", NULL);
    assert_int_equal(settings_end(root, &error), -1);
    assert_string_equal(error.sentence, "policy.lua: a.k: must be a string");
    settings_free(root);
}

static void test_credential_of_the_service_manager(void **state)
{
    struct settings *root = parse("k_credential = 'vault'\n");
    char *path = write_file("vault", "s3cret"), *secret;

    (void)state;
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    secret = settings_secret(root, "k");
    assert_string_equal(secret, "s3cret");
    unsetenv("CREDENTIALS_DIRECTORY");
    secret_free(secret);
    free(path);
    settings_free(root);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"a.toml", "b.toml", "c.json", "k", "l.json", "vault"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = mem_printf("%s/%s", folder, names[i]);

        unlink(path);
        free(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_first_fault_wins),
        cmocka_unit_test(test_leftover_in_order),
        cmocka_unit_test(test_passed_tables_have_no_leftover),
        cmocka_unit_test(test_files_are_merged),
        cmocka_unit_test(test_a_key_set_twice),
        cmocka_unit_test(test_what_cannot_be_read),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_credential_of_the_service_manager),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
