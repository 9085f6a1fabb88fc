/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules: what is refused, with file, line and key; one object for one content; what is offered.
 */
#include "harness.h"

#include <semaphore.h>

#include "tally/tally.h"

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
    assert_null(gate_rules_load((const char *const[]){"/nonexistent/auth.toml"}, 1, NULL, NULL, &error));
    assert_non_null(strstr(error.sentence, "/nonexistent/auth.toml"));
    assert_null(gate_rules_load(NULL, 0, NULL, NULL, &error));
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

/* ---- the files that they name ---- */

static struct buf told; /* the last parts of their paths */

static void on_file(void *ctx, const char *path)
{
    assert_ptr_equal(ctx, &told);
    assert_int_equal(buf_appendf(&told, "%s ", strrchr(path, '/') + 1), 0);
}

static void write_beside(const char *name, const char *text)
{
    char *path = mem_printf("%s.%s", test_path, name);
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(path);
}

static void remove_beside(const char *name)
{
    char *path = mem_printf("%s.%s", test_path, name);

    unlink(path);
    free(path);
}

static struct gate_rules *load_telling(struct error *error)
{
    buf_clear(&told);
    return gate_rules_load((const char *const[]){test_path}, 1, on_file, &told, error);
}

/* Lets go of `first`. */
static void expect_other_rules(struct gate_rules *first, const char *changed)
{
    struct error error = {0};
    struct gate_rules *again;

    write_beside(changed, "another");
    again = load_telling(&error);
    assert_non_null(again);
    assert_ptr_not_equal(again, first);
    gate_rules_unref(&first);
    gate_rules_unref(&again);
}

static void test_named_files_are_told_and_count(void **state)
{
    const char *name = strrchr(test_path, '/') + 1;
    char *toml = mem_printf("stores = []\n[store.web]\ndriver = 'http'\nurl = 'https://a.example/'\n"
                            "bearer_file = '%s.bearer'\nca_file = '/dev/null'\n"
                            "[store.vault]\ndriver = 'vault'\naddress = 'https://v.example'\ntoken_file = '%s.token'\n"
                            "[store.pods]\ndriver = 'vault'\naddress = 'https://v.example'\nauth = 'jwt'\nrole = 'r'\n"
                            "jwt_file = '%s.jwt'\n",
                            name, name, name);
    char *expected = mem_printf("%s.bearer null ", name);
    struct gate_rules *first, *again;
    struct error error = {0};

    (void)state;
    buf_init(&told, 1024);
    assert_null(try_rules(toml, &error));
    assert_null(load_telling(&error)); /* there is no such file: it may come */
    assert_string_equal(buf_cstr(&told), expected);
    write_beside("bearer", "one");
    write_beside("token", "one");
    first = load_telling(&error);
    assert_non_null(first);
    assert_string_equal(buf_cstr(&told), expected);
    write_beside("token", "another"); /* its store looks at it by itself */
    write_beside("jwt", "another");
    again = load_telling(&error);
    assert_ptr_equal(again, first);
    gate_rules_unref(&again);
    expect_other_rules(first, "bearer");
    remove_beside("bearer");
    remove_beside("token");
    remove_beside("jwt");
    buf_done(&told);
    free(toml);
    free(expected);
}

static void test_credentials_are_such_files_too(void **state)
{
    const char *slash = strrchr(test_path, '/');
    char *folder = mem_printf("%.*s", (int)(slash - test_path), test_path);
    char *toml = mem_printf("stores = []\n[store.web]\ndriver = 'http'\nurl = 'https://a.example/'\n"
                            "bearer_credential = '%s.bearer'\n",
                            slash + 1);
    char *expected = mem_printf("%s.bearer ", slash + 1);
    struct gate_rules *first, *again;
    struct error error = {0};

    (void)state;
    buf_init(&told, 1024);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    write_beside("bearer", "one");
    first = try_rules(toml, &error);
    assert_non_null(first);
    again = load_telling(&error);
    assert_ptr_equal(again, first);
    assert_string_equal(buf_cstr(&told), expected);
    gate_rules_unref(&again);
    expect_other_rules(first, "bearer");
    remove_beside("bearer");
    unsetenv("CREDENTIALS_DIRECTORY");
    buf_done(&told);
    free(expected);
    free(toml);
    free(folder);
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

/* ---- what there is one of goes by the rules that were loaded last ---- */

#define WAITING_MOST 16

static sem_t has_begun, may_end;
static size_t ended;

static void hold(struct job *job)
{
    (void)job;
    sem_post(&has_begun);
    while (sem_wait(&may_end))
        ;
}

static void count_end(struct job *job)
{
    (void)job;
    ended++;
}

/* How many verifications may wait while the one thread is busy. */
static size_t pool_room(void)
{
    struct job jobs[WAITING_MOST + 1] = {{.owner = 0}};
    size_t waiting = 0, count;

    assert_int_equal(sem_init(&has_begun, 0, 0) || sem_init(&may_end, 0, 0), 0);
    ended = 0;
    for (size_t i = 0; i <= WAITING_MOST; i++)
        jobs[i] = (struct job){.run = hold, .done = count_end};
    assert_int_equal(jobs_submit(password_pool(), &jobs[0], NULL), 0);
    while (sem_wait(&has_begun))
        ;
    while (waiting < WAITING_MOST && !jobs_submit(password_pool(), &jobs[waiting + 1], NULL))
        waiting++;
    for (count = 0; count <= waiting; count++)
        sem_post(&may_end);
    while (ended < count)
        loop_turn(test_loop, true);
    return waiting;
}

#define ONE_WAITS "[user.ann]\npassword = 'p'\n[password]\nthreads = 1\nqueue_limit = 1\n"
#define TWO_WAIT "[user.ann]\npassword = 'p'\n[password]\nthreads = 1\nqueue_limit = 2\n"

/* A session that holds the former rules is all it takes for them to be found again. */
static void test_a_revert_gives_the_pool_its_former_limits(void **state)
{
    struct gate_rules *former = rules_of(ONE_WAITS), *current, *again;

    (void)state;
    assert_int_equal(pool_room(), 1);
    current = rules_of(TWO_WAIT);
    assert_int_equal(pool_room(), 2);
    again = rules_of(ONE_WAITS);
    assert_ptr_equal(again, former);
    assert_int_equal(pool_room(), 1);
    gate_rules_unref(&former);
    gate_rules_unref(&current);
    gate_rules_unref(&again);
}

static void test_rules_that_fail_leave_all_as_it_was(void **state)
{
    char toml[1024];
    struct gate_rules *rules = rules_of(TWO_WAIT), *current;
    struct error error = {0};

    (void)state;
    assert_int_equal(tally_start(&error), 0);
    snprintf(toml, sizeof toml, "%s[shared]\nredis = '127.0.0.1:1'\nsecret = '0123456789abcdef'\nprefix = '%0500d'\n",
             ONE_WAITS, 0);
    assert_null(try_rules(toml, &error));
    assert_non_null(strstr(error.sentence, "the prefix of keys"));
    assert_int_equal(pool_room(), 2);
    current = gate_rules_current();
    assert_ptr_equal(current, rules);
    tally_stop();
    gate_rules_unref(&current);
    gate_rules_unref(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_same_content_same_rules),
        cmocka_unit_test(test_named_files_are_told_and_count),
        cmocka_unit_test(test_credentials_are_such_files_too),
        cmocka_unit_test(test_offers),
        cmocka_unit_test(test_a_revert_gives_the_pool_its_former_limits),
        cmocka_unit_test(test_rules_that_fail_leave_all_as_it_was),
    };

    return cmocka_run_group_tests(tests, start_all, stop_all);
}
