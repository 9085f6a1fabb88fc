/* SPDX-License-Identifier: Apache-2.0
 *
 * The SQLite driver on real files: what columns mean, names that look like SQL, and files that are missing, locked,
 * broken or replaced. None of it may be taken for "no such user".
 */
#include "ask_store.h"

#include <pthread.h>
#include <sqlite3.h>

static void fill(const char *name, const char *sql)
{
    sqlite3 *db;
    char *message = NULL;

    assert_int_equal(sqlite3_open(in_dir(name), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s", message);
    sqlite3_close(db);
}

static struct test_store open_db(const char *name, const char *more)
{
    char toml[2048];

    snprintf(toml, sizeof toml, "path = '%s'\n%s", in_dir(name), more);
    return test_store_open(&store_sqlite, toml);
}

static void a_user_is_a_row(void **state)
{
    struct test_store store;
    struct test_ask ask;

    (void)state;
    fill("row", "CREATE TABLE users (name TEXT PRIMARY KEY COLLATE NOCASE, Password, disabled, groups, tenant, senders,"
                " not_after, networks, limits, shoe_size);"
                "INSERT INTO users VALUES ('Ann', '{PLAIN}x', 0, 'a, b', 'lions', '[\"@x.org\",\"y@z.org\"]',"
                " '2026-11-22 21:07:42', '192.0.2.0/24', '{\"messages\":\"5/h\"}', 44)");
    store = open_db("row", "");
    ask = ask_store(&store, "ann", NULL);
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_string_equal(ask.credential->name, "Ann");
    assert_false(ask.credential->disabled);
    assert_int_equal(ask.credential->groups.count, 2);
    assert_string_equal(ask.credential->groups.texts[1], "b");
    assert_string_equal(ask.credential->tenants.texts[0], "lions");
    assert_string_equal(ask.credential->senders.texts[1], "y@z.org");
    assert_int_equal(ask.credential->not_after_ms, INT64_C(1795381662000));
    assert_int_equal(ask.credential->networks.count, 1);
    assert_non_null(json_object_get(ask.credential->limits, "messages"));
    assert_null(json_object_get(ask.fields, "shoe_size"));
    ask_forget(&ask);
    assert_int_equal(ask_outcome(&store, "bob", NULL), STORE_NOT_FOUND);
    test_store_close(&store);
}

static void a_name_is_bound_and_never_sql(void **state)
{
    static const char *const names[] = {
        "' OR '1'='1", "ann'--", "'; DROP TABLE users; --", "\"ann\"", "ann' UNION SELECT 'x", "%", ":user", "\\"};
    struct test_store store;

    (void)state;
    fill("bound", "CREATE TABLE users (name, password); INSERT INTO users VALUES ('ann', 'x');"
                  "INSERT INTO users VALUES ('o''neil', 'y')");
    store = open_db("bound", "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(ask_outcome(&store, names[i], NULL), STORE_NOT_FOUND);
    assert_stored(&store, "ann", "x");
    assert_stored(&store, "o'neil", "y");
    test_store_close(&store);
}

static void rows_with_labels_are_secrets(void **state)
{
    struct test_store store;
    struct test_ask ask;

    (void)state;
    fill("labels", "CREATE TABLE users (name, groups); CREATE TABLE keys (name, label, password, not_after, scopes);"
                   "INSERT INTO users VALUES ('ann', 'a'); INSERT INTO users VALUES ('bob', NULL);"
                   "INSERT INTO keys VALUES ('ann', 'old', 'x', 1795381662, NULL);"
                   "INSERT INTO keys VALUES ('ann', 'new', 'y', NULL, 'relay,inject')");
    store = open_db("labels",
                    "query = 'SELECT * FROM users LEFT JOIN keys USING (name) WHERE name = :user ORDER BY label DESC'");
    ask = ask_store(&store, "ann", NULL);
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_int_equal(ask.credential->secret_count, 2);
    assert_string_equal(ask.credential->secrets[0].label, "old");
    assert_int_equal(ask.credential->secrets[0].not_after_ms, INT64_C(1795381662000));
    assert_string_equal(ask.credential->secrets[1].stored, "y");
    assert_int_equal(ask.credential->secrets[1].scopes, CREDENTIAL_RELAY | CREDENTIAL_INJECT);
    assert_int_equal(ask.credential->not_after_ms, 0);
    assert_int_equal(ask.credential->groups.count, 1);
    ask_forget(&ask);
    ask = ask_store(&store, "bob", NULL); /* an account without any key */
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_int_equal(ask.credential->secret_count, 0);
    ask_forget(&ask);
    test_store_close(&store);
}

/* A statement without a sound WHERE gives rows of several users: all their passwords would have been ann's. */
static void rows_of_several_users_fail(void **state)
{
    static const struct {
        const char *query, *says;
    } cases[] = {
        {"SELECT name, label, password FROM users WHERE :user = :user", "`name`"},
        {"SELECT password FROM users WHERE name <> :user", "`label`"},
        {"SELECT label, grp AS groups, password FROM users WHERE name <> :user", "`groups`"},
    };

    (void)state;
    fill("several", "CREATE TABLE users (name, label, grp, password); INSERT INTO users VALUES ('ann','1','g','hush1');"
                    "INSERT INTO users VALUES ('bob','2','h','hush2')");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char more[256];
        struct test_store store;
        struct test_ask ask;

        snprintf(more, sizeof more, "query = '%s'", cases[i].query);
        store = open_db("several", more);
        ask = ask_store(&store, "carl", NULL);
        assert_int_equal(ask.outcome, STORE_FAILED);
        assert_non_null(strstr(ask.error.sentence, cases[i].says));
        assert_null(strstr(ask.error.sentence, "hush"));
        test_store_close(&store);
    }
}

static void an_empty_password_is_none(void **state)
{
    struct test_store store;
    struct test_ask ask;

    (void)state;
    fill("empty", "CREATE TABLE users (name, password); INSERT INTO users VALUES ('ann', ''), ('bob', NULL)");
    store = open_db("empty", "");
    ask = ask_store(&store, "ann", NULL);
    assert_int_equal(ask.credential->secret_count, 0);
    ask_forget(&ask);
    ask = ask_store(&store, "bob", NULL);
    assert_int_equal(ask.credential->secret_count, 0);
    ask_forget(&ask);
    test_store_close(&store);
}

static void values_that_are_no_text_fail(void **state)
{
    struct test_store store;

    (void)state;
    fill("nul", "CREATE TABLE users (name, password, groups); INSERT INTO users VALUES ('nul', CAST(x'780079' AS TEXT),"
                " NULL), ('latin', CAST(x'ff' AS TEXT), NULL), ('list', 'x', '[1'), ('long', 'x', 'a' ||"
                " printf('%.70000c', 'b'))");
    store = open_db("nul", "");
    assert_int_equal(ask_outcome(&store, "nul", NULL), STORE_FAILED);
    assert_int_equal(ask_outcome(&store, "latin", NULL), STORE_FAILED);
    assert_int_equal(ask_outcome(&store, "list", NULL), STORE_FAILED);
    assert_int_equal(ask_outcome(&store, "long", NULL), STORE_FAILED);
    test_store_close(&store);
}

static void queries_that_cannot_be_meant_are_refused(void **state)
{
    static const char *const queries[] = {
        "DELETE FROM users WHERE name = :user RETURNING *",
        "SELECT * FROM users WHERE name = :user; SELECT 1",
        "SELECT * FROM users WHERE name = :user AND x = ?",
        "SELECT * FROM nobody WHERE name = :user",
        "PRAGMA user_version /* :user */",
        "/* :user */",
    };
    struct error error;

    (void)state;
    fill("queries", "CREATE TABLE users (name, password); INSERT INTO users VALUES ('ann', 'x')");
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        char more[256];
        struct test_store store;

        snprintf(more, sizeof more, "query = '%s'", queries[i]);
        store = open_db("queries", more);
        assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED);
        test_store_close(&store);
    }
    assert_null(try_open(&store_sqlite, "path = '/x'\nquery = 'SELECT * FROM users'", &error));
    assert_non_null(strstr(error.sentence, "auth.toml:2: query"));
    assert_null(try_open(&store_sqlite, "query = ':user'", &error));
    assert_non_null(strstr(error.sentence, "path"));
    assert_null(try_open(&store_sqlite, "path = '/x'\npaht = '/y'", &error));
    assert_non_null(strstr(error.sentence, "paht"));
}

static void a_missing_file_fails_and_a_new_one_serves(void **state)
{
    struct test_store store = open_db("missing", "");
    struct test_ask ask = ask_store(&store, "ann", NULL);

    (void)state;
    assert_int_equal(ask.outcome, STORE_FAILED);
    assert_int_equal(access(in_dir("missing"), F_OK), -1); /* nobody made an empty one */
    write_file("missing", "");
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED); /* no such table */
    write_file("missing", "This is not a database; it is a text that is long enough to be looked at as one. "
                          "This is not a database; it is a text that is long enough to be looked at as one.");
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED);
    unlink(in_dir("missing"));
    fill("missing", "CREATE TABLE users (name, password); INSERT INTO users VALUES ('ann', 'x')");
    assert_stored(&store, "ann", "x");
    test_store_close(&store);
}

static void a_replaced_file_is_seen_at_once(void **state)
{
    struct test_store store;
    char old[512];

    (void)state;
    fill("replaced", "CREATE TABLE users (name, password); INSERT INTO users VALUES ('ann', 'x')");
    fill("newer", "CREATE TABLE users (name, password); INSERT INTO users VALUES ('ann', 'y')");
    store = open_db("replaced", "");
    assert_stored(&store, "ann", "x");
    snprintf(old, sizeof old, "%s", in_dir("replaced"));
    assert_int_equal(rename(in_dir("newer"), old), 0);
    assert_stored(&store, "ann", "y");
    fill("replaced", "UPDATE users SET password = 'z'; ALTER TABLE users ADD COLUMN groups");
    assert_stored(&store, "ann", "z");
    test_store_close(&store);
}

static void a_locked_file_fails_in_time_and_recovers(void **state)
{
    struct test_store store;
    sqlite3 *db;

    (void)state;
    fill("locked", "CREATE TABLE users (name, password); INSERT INTO users VALUES ('ann', 'x')");
    store = open_db("locked", "busy_timeout = 0.05");
    assert_int_equal(sqlite3_open(in_dir("locked"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_stored(&store, "ann", "x");
    test_store_close(&store);
}

#define ENDLESS                                                                                                        \
    "query = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n WHERE"                \
    " i <> :user'\nthreads = 1\n"

static void an_endless_query_is_stopped(void **state)
{
    struct test_store store;

    (void)state;
    fill("endless", "CREATE TABLE users (name, password)");
    store = open_db("endless", ENDLESS "timeout = 0.05");
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED);
    test_store_close(&store);
}

static void cancelled_questions_leave_the_thread(void **state)
{
    struct test_store store;
    struct test_ask asks[4];
    int refused = 0;

    (void)state;
    fill("cancel", "CREATE TABLE users (name, password)");
    store = open_db("cancel", ENDLESS "queue_limit = 2\ntimeout = 3600");
    for (int i = 0; i < 4; i++)
        ask_begin(&store, &asks[i], "ann", NULL);
    for (int i = 0; i < 4; i++) {
        refused += asks[i].calls;
        if (asks[i].calls)
            assert_int_equal(asks[i].error.kind, ERROR_AGAIN);
        else
            store.driver->cancel(store.store, &asks[i].ask);
    }
    assert_true(refused >= 1); /* one runs and two wait, or it has not begun yet */
    test_store_close(&store);  /* would never end if the query ran on */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_is_a_row),
        cmocka_unit_test(a_name_is_bound_and_never_sql),
        cmocka_unit_test(rows_with_labels_are_secrets),
        cmocka_unit_test(rows_of_several_users_fail),
        cmocka_unit_test(an_empty_password_is_none),
        cmocka_unit_test(values_that_are_no_text_fail),
        cmocka_unit_test(queries_that_cannot_be_meant_are_refused),
        cmocka_unit_test(a_missing_file_fails_and_a_new_one_serves),
        cmocka_unit_test(a_replaced_file_is_seen_at_once),
        cmocka_unit_test(a_locked_file_fails_in_time_and_recovers),
        cmocka_unit_test(an_endless_query_is_stopped),
        cmocka_unit_test(cancelled_questions_leave_the_thread),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
