/* SPDX-License-Identifier: Apache-2.0
 *
 * The PAM driver with the modules that come with PAM: pam_exec and a script that knows one password, pam_debug for
 * each verdict there is, and a script that does not return until the test lets it.
 */
#include "ask_store.h"

#include <fcntl.h>
#include <sched.h>

/* Threads of this process, the test's own among them. */
static int count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    int count = 0;

    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2; /* "." and ".." */
}

static void write_service(const char *name, const char *lines) { write_file(name, lines); }

static void write_script(const char *name, const char *text)
{
    write_file(name, text);
    assert_int_equal(chmod(in_dir(name), 0700), 0);
}

static struct test_store open_service(const char *service, const char *more)
{
    char toml[1200];

    snprintf(toml, sizeof toml, "service = '%s'\nconfdir = '%s'\n%s", service, test_dir, more);
    return test_store_open(&store_pam, toml);
}

/* auth lines for a script that says yes or no, as an operator would write them. */
static void write_exec_service(const char *service, const char *script)
{
    char lines[1200];

    snprintf(lines, sizeof lines,
             "auth [success=done default=ignore] pam_exec.so quiet expose_authtok %s\n"
             "auth requisite pam_deny.so\naccount required pam_permit.so\n",
             in_dir(script));
    write_service(service, lines);
}

static void a_password_is_judged(void **state)
{
    struct test_store store;
    struct test_ask ask;

    (void)state;
    write_script("judge", "#!/bin/sh\npassword=$(tr -d '\\000')\n"
                          "[ \"$PAM_USER\" = 'ann '\"'\"';x' ] && [ \"$PAM_RHOST\" = 192.0.2.7 ] &&\n"
                          "[ \"$password\" = 'o p$e\"n' ]\n");
    write_exec_service("judged", "judge");
    store = open_service("judged", "");
    ask = ask_store(&store, "ann ';x", "o p$e\"n");
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_string_equal(json_string_value(json_object_get(ask.fields, "name")), "ann ';x");
    ask_forget(&ask);
    assert_int_equal(ask_outcome(&store, "ann ';x", "wrong"), STORE_REFUSED);
    assert_int_equal(ask_outcome(&store, "ann ';x", ""), STORE_REFUSED);
    assert_int_equal(ask_outcome(&store, "bob", "o p$e\"n"), STORE_REFUSED);
    test_store_close(&store);
}

static void a_password_with_a_nul_is_refused(void **state)
{
    struct test_store store;
    struct test_ask ask = {.ask = {.user = "ann", .password = SPAN_LIT("open\0x"), .on_done = on_store_done}};

    (void)state;
    write_service("permit", "auth required pam_permit.so\naccount required pam_permit.so\n");
    store = open_service("permit", "");
    store.driver->ask(store.store, &ask.ask);
    assert_int_equal(ask.calls, 1);
    assert_int_equal(ask.outcome, STORE_REFUSED);
    assert_int_equal(ask_outcome(&store, "ann", "open"), STORE_FOUND);
    test_store_close(&store);
}

static void verdicts_of_modules(void **state)
{
    static const struct {
        const char *auth, *account;
        enum store_outcome outcome;
    } cases[] = {
        {"success", "success", STORE_FOUND},
        {"user_unknown", "success", STORE_NOT_FOUND},
        {"success", "user_unknown", STORE_NOT_FOUND},
        {"auth_err", "success", STORE_REFUSED},
        {"maxtries", "success", STORE_REFUSED},
        {"perm_denied", "success", STORE_REFUSED},
        {"success", "acct_expired", STORE_REFUSED},
        {"success", "new_authtok_reqd", STORE_REFUSED},
        {"success", "perm_denied", STORE_REFUSED},
        {"authinfo_unavail", "success", STORE_FAILED},
        {"cred_insufficient", "success", STORE_FAILED},
        {"service_err", "success", STORE_FAILED},
        {"system_err", "success", STORE_FAILED},
        {"success", "service_err", STORE_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_store store;
        char lines[256];

        snprintf(lines, sizeof lines, "auth required pam_debug.so auth=%s\naccount required pam_debug.so acct=%s\n",
                 cases[i].auth, cases[i].account);
        write_service("verdict", lines);
        store = open_service("verdict", "");
        if (ask_outcome(&store, "ann", "hush") != cases[i].outcome)
            fail_msg("auth=%s acct=%s", cases[i].auth, cases[i].account);
        test_store_close(&store);
    }
}

static void what_is_not_there_fails(void **state)
{
    struct test_store store = open_service("absent", "");
    struct test_ask ask = ask_store(&store, "ann", "hush");

    (void)state;
    assert_int_equal(ask.outcome, STORE_FAILED);
    assert_non_null(strstr(ask.error.sentence, "absent"));
    assert_null(strstr(ask.error.sentence, "hush"));
    test_store_close(&store);
    write_service("module", "auth required pam_of_nobody.so\naccount required pam_permit.so\n");
    store = open_service("module", "");
    assert_int_equal(ask_outcome(&store, "ann", "hush"), STORE_FAILED);
    test_store_close(&store);
}

static void settings_are_checked(void **state)
{
    struct error error;

    (void)state;
    assert_null(try_open(&store_pam, "service = '../passwd'", &error));
    assert_non_null(strstr(error.sentence, "auth.toml:1: service"));
    assert_null(try_open(&store_pam, "threads = 0", &error));
    assert_non_null(strstr(error.sentence, "threads"));
}

/* ---- a module that hangs ---- */

/* The script tells that it runs by opening `begun` for writing, then waits until somebody writes to `gate`. */
static void write_hanging_service(void)
{
    char script[2048], gate[512], begun[512];

    snprintf(gate, sizeof gate, "%s", in_dir("gate"));
    snprintf(begun, sizeof begun, "%s", in_dir("begun"));
    unlink(gate);
    unlink(begun);
    assert_int_equal(mkfifo(gate, 0600), 0);
    assert_int_equal(mkfifo(begun, 0600), 0);
    snprintf(script, sizeof script, "#!/bin/sh\n[ \"$PAM_USER\" = slow ] || exit 0\necho >%s\nread line <%s\nexit 0\n",
             begun, gate);
    write_script("hang", script);
    write_exec_service("hanging", "hang");
}

static void wait_until_begun(void)
{
    char c;
    int fd = open(in_dir("begun"), O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, &c, 1), 1);
    close(fd);
}

static void open_gate(void)
{
    int fd = open(in_dir("gate"), O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "\n", 1), 1);
    close(fd);
}

static void a_module_that_hangs_keeps_one_thread(void **state)
{
    struct test_store store;
    struct test_ask slow;

    (void)state;
    write_hanging_service();
    store = open_service("hanging", "threads = 2\nqueue_limit = 1");
    ask_begin(&store, &slow, "slow", "x");
    wait_until_begun();
    assert_int_equal(ask_outcome(&store, "quick", "x"), STORE_FOUND); /* nobody else notices */
    store.driver->cancel(store.store, &slow.ask);
    assert_int_equal(ask_outcome(&store, "quick", "x"), STORE_FOUND);
    open_gate();
    assert_int_equal(ask_outcome(&store, "quick", "x"), STORE_FOUND);
    assert_false(slow.calls);
    test_store_close(&store);
}

static void when_all_threads_hang_the_queue_is_short(void **state)
{
    struct test_store store;
    struct test_ask slow, waiting, refused;

    (void)state;
    write_hanging_service();
    store = open_service("hanging", "threads = 1\nqueue_limit = 1");
    ask_begin(&store, &slow, "slow", "x");
    wait_until_begun();
    ask_begin(&store, &waiting, "quick", "x");
    ask_begin(&store, &refused, "quick", "x");
    assert_false(waiting.calls);
    assert_int_equal(refused.calls, 1);
    assert_int_equal(refused.error.kind, ERROR_AGAIN);
    store.driver->cancel(store.store, &waiting.ask); /* frees its place at once */
    ask_begin(&store, &waiting, "quick", "x");
    assert_false(waiting.calls);
    open_gate();
    ask_wait(&store, &waiting);
    assert_int_equal(waiting.outcome, STORE_FOUND);
    assert_int_equal(slow.outcome, STORE_FOUND);
    ask_forget(&waiting);
    ask_forget(&slow);
    test_store_close(&store);
}

/* The shutdown waits for no module: the thread drops what it comes back with. */
static void a_store_is_closed_while_a_module_hangs(void **state)
{
    struct test_store store;
    struct test_ask slow;
    /* not as many as at the start: a sanitizer has one of its own by now */
    int threads_before = count_threads();

    (void)state;
    write_hanging_service();
    store = open_service("hanging", "");
    ask_begin(&store, &slow, "slow", "x");
    wait_until_begun();
    store.driver->cancel(store.store, &slow.ask);
    test_store_close(&store);
    open_gate();
    while (count_threads() > threads_before)
        sched_yield();
    assert_false(slow.calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_is_judged),
        cmocka_unit_test(a_password_with_a_nul_is_refused),
        cmocka_unit_test(verdicts_of_modules),
        cmocka_unit_test(what_is_not_there_fails),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(a_module_that_hangs_keeps_one_thread),
        cmocka_unit_test(when_all_threads_hang_the_queue_is_short),
        cmocka_unit_test(a_store_is_closed_while_a_module_hangs),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
