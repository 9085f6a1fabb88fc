/* SPDX-License-Identifier: Apache-2.0
 *
 * The passwd-file driver: lines of htpasswd and of Dovecot, files that cannot be meant, and files that change under
 * the running store. Time stands still unless a test moves it.
 */
#include "ask_store.h"

#include <fcntl.h>
#include <time.h>

#include "credential/passwd_file.h"

static uint64_t now_us = 1;
static bool is_long_ago; /* as far as the clock can tell, all files were changed long ago */

static uint64_t mono_us(void) { return now_us; }

static int64_t wall_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return ((int64_t)now.tv_sec + (is_long_ago ? 3600 : 0)) * 1000000;
}

static int set_up(void **state)
{
    static const struct clock_source source = {.mono_us = mono_us, .wall_us = wall_us};

    clock_inject(&source);
    return make_dir(state);
}

static struct test_store open_file(const char *name)
{
    char toml[600];

    snprintf(toml, sizeof toml, "path = '%s'", in_dir(name));
    return test_store_open(&store_passwd_file, toml);
}

/* Beyond the time in which the store does not look again. */
static void pass_a_second(void) { now_us += 1000000; }

static void lines_of_htpasswd(void **state)
{
    struct test_store store;

    (void)state;
    write_file("ht", "# made by htpasswd\n\nann:$2y$05$abc\r\nbob@x.org:{SHA}b\n  \nlast:x");
    store = open_file("ht");
    assert_stored(&store, "ann", "$2y$05$abc");
    assert_stored(&store, "bob@x.org", "{SHA}b");
    assert_stored(&store, "last", "x");
    assert_int_equal(ask_outcome(&store, "Ann", NULL), STORE_NOT_FOUND);
    assert_int_equal(ask_outcome(&store, "# made by htpasswd", NULL), STORE_NOT_FOUND);
    assert_int_equal(ask_outcome(&store, "ann:$2y$05$abc", NULL), STORE_NOT_FOUND);
    test_store_close(&store);
}

static void lines_of_dovecot(void **state)
{
    struct test_store store;
    struct test_ask ask;

    (void)state;
    write_file("dovecot", "ann:{PLAIN}x:1000:1000:Ann A, 1=2:/home/ann:/bin/sh:tenant=lions groups=a,b senders=@x.org "
                          "userdb_quota_rule=*:storage=1G allow_nets=192.0.2.0/24,2001:db8::/32\n"
                          "off:{PLAIN}x::::::nologin\noff2:{PLAIN}x::::::disabled=y\non:{PLAIN}x::::::disabled=n\n"
                          "none:::::::groups=a\nshort:{PLAIN}x:1000:1000\n");
    store = open_file("dovecot");
    ask = ask_store(&store, "ann", NULL);
    assert_string_equal(ask.credential->secrets[0].stored, "{PLAIN}x");
    assert_string_equal(ask.credential->tenants.texts[0], "lions");
    assert_int_equal(ask.credential->groups.count, 2);
    assert_string_equal(ask.credential->senders.texts[0], "@x.org");
    assert_int_equal(ask.credential->networks.count, 2);
    assert_int_equal(ask.credential->networks.blocks[1].prefix_bits, 32);
    assert_false(ask.credential->disabled);
    ask_forget(&ask);
    ask = ask_store(&store, "off", NULL);
    assert_true(ask.credential->disabled);
    ask_forget(&ask);
    ask = ask_store(&store, "off2", NULL);
    assert_true(ask.credential->disabled);
    ask_forget(&ask);
    ask = ask_store(&store, "on", NULL);
    assert_false(ask.credential->disabled);
    ask_forget(&ask);
    ask = ask_store(&store, "none", NULL); /* an empty password is no password, not the empty one */
    assert_int_equal(ask.credential->secret_count, 0);
    ask_forget(&ask);
    assert_stored(&store, "short", "{PLAIN}x");
    test_store_close(&store);
}

static void lines_with_labels_are_secrets(void **state)
{
    struct test_store store;
    struct test_ask ask;

    (void)state;
    write_file("labels", "ann:x::::::label=old not_after=1795381662 groups=a\nbob:z\n"
                         "ann:y::::::label=new scopes=relay groups=a\n");
    store = open_file("labels");
    ask = ask_store(&store, "ann", NULL);
    assert_int_equal(ask.credential->secret_count, 2);
    assert_string_equal(ask.credential->secrets[0].label, "old");
    assert_int_equal(ask.credential->secrets[0].not_after_ms, INT64_C(1795381662000));
    assert_string_equal(ask.credential->secrets[1].stored, "y");
    assert_int_equal(ask.credential->secrets[1].scopes, CREDENTIAL_RELAY);
    ask_forget(&ask);
    test_store_close(&store);
}

static void files_that_cannot_be_meant_are_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"ann:x\nhush\n", ":2: "},
        {":hush\n", ":1: "},
        {"a\tb:hush\n", ":1: "},
        {"ann:hush\nbob:x\nann:hush2\n", "`label`"},
        {"ann:hush::::::nopassword\n", "nopassword"},
        {"ann:hush:tenant=lions\n", "seventh colon"},
        {"# c\nann:hush::::::disabled=hush\n", ":2: "},
        {"ann:hush::::::allow_nets=hush\n", ":1: "},
        {"ann:hush::::::not_after=hush\n", ":1: "},
        {"ann:hush\xff\n", ":1: "},
        {"ann:SCRAM-SHA-256$4096:hush$hush:hush\n", "SCRAM"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char toml[600];
        struct error error = {0};

        write_file("bad", cases[i].text);
        snprintf(toml, sizeof toml, "path = '%s'", in_dir("bad"));
        assert_null(try_open(&store_passwd_file, toml, &error));
        if (!strstr(error.sentence, cases[i].says))
            fail_msg("case %zu says: %s", i, error.sentence);
        assert_non_null(strstr(error.sentence, in_dir("bad")));
        assert_null(strstr(error.sentence, "hush"));
    }
}

static void a_missing_file_and_a_long_line_are_refused(void **state)
{
    char *line = mem_zalloc(PASSWD_LINE_LIMIT + 8);
    char toml[600];
    struct error error;

    (void)state;
    snprintf(toml, sizeof toml, "path = '%s'", in_dir("absent"));
    assert_null(try_open(&store_passwd_file, toml, &error));
    assert_non_null(strstr(error.sentence, "absent"));
    memset(line, 'a', PASSWD_LINE_LIMIT + 1);
    line[3] = ':';
    write_file("absent", line);
    assert_null(try_open(&store_passwd_file, toml, &error));
    assert_non_null(strstr(error.sentence, "absent:1: the line is longer"));
    free(line);
    assert_null(try_open(&store_passwd_file, "path = '/dev/zero'", &error));
    assert_non_null(strstr(error.sentence, "regular"));
}

static void a_changed_file_is_seen(void **state)
{
    struct test_store store;
    char path[512];

    (void)state;
    is_long_ago = true;
    write_file("changed", "ann:x\n");
    store = open_file("changed");
    assert_stored(&store, "ann", "x");
    write_file("changed", "ann:yy\nbob:z\n");
    assert_stored(&store, "ann", "x"); /* at most one look in a second */
    pass_a_second();
    assert_stored(&store, "ann", "yy");
    assert_stored(&store, "bob", "z");
    write_file("new", "ann:ww\nbob:z\n"); /* the same size, renamed into place */
    snprintf(path, sizeof path, "%s", in_dir("changed"));
    assert_int_equal(rename(in_dir("new"), path), 0);
    pass_a_second();
    assert_stored(&store, "ann", "ww");
    test_store_close(&store);
}

/* Two changes within one tick of the file system's clock, of the same size: only reading again can tell. */
static void a_file_changed_just_now_is_read_again(void **state)
{
    struct test_store store;
    struct timespec times[2];
    struct stat status;

    (void)state;
    is_long_ago = false;
    write_file("tick", "ann:x\n");
    store = open_file("tick");
    assert_int_equal(stat(in_dir("tick"), &status), 0);
    write_file("tick", "ann:y\n");
    times[0] = times[1] = status.st_mtim;
    assert_int_equal(utimensat(AT_FDCWD, in_dir("tick"), times, 0), 0);
    pass_a_second();
    assert_stored(&store, "ann", "y");
    test_store_close(&store);
}

static void a_broken_or_missing_new_file_leaves_the_old(void **state)
{
    struct test_store store;

    (void)state;
    is_long_ago = true;
    write_file("broken", "ann:x\n");
    store = open_file("broken");
    write_file("broken", "ann:y\nbob\n");
    pass_a_second();
    assert_stored(&store, "ann", "x");
    assert_int_equal(unlink(in_dir("broken")), 0);
    pass_a_second();
    assert_stored(&store, "ann", "x");
    write_file("broken", "ann:y\nbob:z\n");
    pass_a_second();
    assert_stored(&store, "bob", "z");
    test_store_close(&store);
}

static void many_ask_while_one_looks(void **state)
{
    struct test_store store;
    struct test_ask asks[4];

    (void)state;
    is_long_ago = true;
    write_file("many", "ann:x\n");
    store = open_file("many");
    write_file("many", "ann:yy\n");
    pass_a_second();
    for (int i = 0; i < 4; i++)
        ask_begin(&store, &asks[i], "ann", NULL);
    assert_false(asks[0].calls || asks[1].calls || asks[2].calls || asks[3].calls);
    store.driver->cancel(store.store, &asks[1].ask);
    for (int i = 0; i < 4; i++) {
        if (i == 1)
            continue;
        ask_wait(&store, &asks[i]);
        assert_string_equal(json_string_value(json_object_get(asks[i].fields, "password")), "yy");
        ask_forget(&asks[i]);
    }
    assert_false(asks[1].calls);
    pass_a_second();
    ask_begin(&store, &asks[0], "ann", NULL);
    store.driver->cancel(store.store, &asks[0].ask);
    test_store_close(&store); /* with a look under way */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_htpasswd),
        cmocka_unit_test(lines_of_dovecot),
        cmocka_unit_test(lines_with_labels_are_secrets),
        cmocka_unit_test(files_that_cannot_be_meant_are_refused),
        cmocka_unit_test(a_missing_file_and_a_long_line_are_refused),
        cmocka_unit_test(a_changed_file_is_seen),
        cmocka_unit_test(a_file_changed_just_now_is_read_again),
        cmocka_unit_test(a_broken_or_missing_new_file_leaves_the_old),
        cmocka_unit_test(many_ask_while_one_looks),
    };

    return cmocka_run_group_tests(tests, set_up, remove_dir);
}
