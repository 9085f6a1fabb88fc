/* SPDX-License-Identifier: Apache-2.0
 *
 * Records: what each field may be, strictly and from stores that know only text; that a fault names its field and
 * shows no value; tables of users in a file, and how a file becomes a set of stores.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "credential/credential_private.h"
#include "credential/used.h"
#include "credential/used_file.h"

static struct credential *read_record(const char *text, bool is_lenient, struct error *error)
{
    json_t *fields = json_loads(text, JSON_ALLOW_NUL, NULL);
    struct credential *credential;

    assert_non_null(fields);
    credential = credential_from_json("bob", fields, is_lenient, error);
    json_decref(fields);
    return credential;
}

static struct credential *good(const char *text, bool is_lenient)
{
    struct error error = {0};
    struct credential *credential = read_record(text, is_lenient, &error);

    if (!credential)
        fail_msg("%s: %s", text, error.sentence);
    return credential;
}

static void test_whole_record(void **state)
{
    struct credential *bob =
        good("{\"name\": \"Bob\", \"password\": [\"{PLAIN}a\", \"b\"], \"disabled\": true,"
             "\"secrets\": [{\"label\": \"app\", \"password\": \"p\", \"scopes\": [\"relay\", \"admin\"],"
             "\"not_before\": 1700000000, \"not_after\": \"2030-01-01T00:00:00Z\","
             "\"networks\": \"10.0.0.0/8\"}],"
             "\"groups\": [\"a, b\", \"c\"], \"tenant\": \"t\", \"senders\": \"*@example.org\","
             "\"may_act_as\": [], \"networks\": [\"::1\"], \"limits\": {\"messages\": \"5/s\"}}",
             false);

    (void)state;
    assert_string_equal(bob->name, "Bob");
    assert_true(bob->disabled);
    assert_int_equal(bob->secret_count, 3);
    assert_string_equal(bob->secrets[0].label, "");
    assert_string_equal(bob->secrets[1].stored, "b");
    assert_int_equal(bob->secrets[1].scopes, CREDENTIAL_RELAY | CREDENTIAL_INJECT | CREDENTIAL_ADMIN);
    assert_string_equal(bob->secrets[2].label, "app");
    assert_int_equal(bob->secrets[2].scopes, CREDENTIAL_RELAY | CREDENTIAL_ADMIN);
    assert_int_equal(bob->secrets[2].not_before_ms, 1700000000000);
    assert_int_equal(bob->secrets[2].not_after_ms, 1893456000000);
    assert_int_equal(bob->secrets[2].networks.count, 1);
    assert_int_equal(bob->groups.count, 2);
    assert_string_equal(bob->groups.texts[0], "a, b");
    assert_string_equal(bob->tenants.texts[0], "t");
    assert_string_equal(bob->senders.texts[0], "*@example.org");
    assert_int_equal(bob->may_act_as.count, 0);
    assert_non_null(json_object_get(bob->limits, "messages"));
    credential_unref(&bob);
}

static void test_text_only_record(void **state)
{
    struct credential *bob =
        good("{\"id\": 7, \"password\": \"$argon2id$v=19$m=65536,t=3,p=1$c$d\", \"disabled\": \"f\","
             "\"secrets\": \"[{\\\"label\\\": \\\"x\\\", \\\"password\\\": \\\"y\\\"}]\","
             "\"groups\": \" a , b,, c\", \"tenants\": \"\", \"networks\": \"10.0.0.0/8, ::1\","
             "\"not_after\": \"1700000000\", \"not_before\": null, \"limits\": \"{}\"}",
             true);

    (void)state;
    assert_string_equal(bob->name, "bob");
    assert_false(bob->disabled);
    assert_int_equal(bob->secret_count, 2);
    assert_string_equal(bob->secrets[0].stored, "$argon2id$v=19$m=65536,t=3,p=1$c$d");
    assert_int_equal(bob->groups.count, 3);
    assert_string_equal(bob->groups.texts[1], "b");
    assert_int_equal(bob->tenants.count, 0);
    assert_int_equal(bob->networks.count, 2);
    assert_int_equal(bob->not_after_ms, 1700000000000);
    credential_unref(&bob);
}

/* What is wrong, whom the sentence names, and whether it is wrong of a row of text as well. */
static const struct {
    const char *record;
    const char *named;
    bool is_right_as_text;
} faults[] = {
    {"[]", "the record", false},
    {"{\"name\": \"\"}", "name:", true},
    {"{\"name\": \"HIDDEN\\n\"}", "name:", false},
    {"{\"name\": 5}", "name:", false},
    {"{\"password\": \"\"}", "password:", true},
    {"{\"password\": 5}", "password:", false},
    {"{\"password\": \"HIDDEN\\u0000x\"}", "password:", false},
    {"{\"password\": {\"a\": 1}}", "password:", false},
    {"{\"password\": \"$2b$HIDDEN\"}", "password:", true},
    {"{\"password\": \"{HIDDEN}x\"}", "password:", true},
    {"{\"disabled\": \"HIDDEN\"}", "disabled:", false},
    {"{\"disabled\": \"yes\"}", "disabled:", true},
    {"{\"disabled\": 1}", "disabled:", true},
    {"{\"disbaled\": true}", "disbaled:", true},
    {"{\"secrets\": {}}", "secrets:", false},
    {"{\"secrets\": \"HIDDEN\"}", "secrets:", false},
    {"{\"secrets\": [5]}", "secrets[0].label:", false},
    {"{\"secrets\": [{\"password\": \"HIDDEN\"}]}", "secrets[0].label:", false},
    {"{\"secrets\": [{\"label\": \"a\"}]}", "secrets[0].password:", false},
    {"{\"secrets\": [{\"label\": \"a\", \"password\": \"x\"}, {\"label\": \"a\", \"password\": \"HIDDEN\"}]}",
     "secrets[1].label:", false},
    {"{\"secrets\": [{\"label\": \"a\", \"password\": \"x\", \"scopes\": [\"HIDDEN\"]}]}", "secrets[0].scopes:", false},
    {"{\"secrets\": [{\"label\": \"a\", \"password\": \"x\", \"scopes\": []}]}", "secrets[0].scopes:", false},
    {"{\"secrets\": [{\"label\": \"a\", \"password\": \"x\", \"scope\": \"relay\"}]}", "secrets[0].scope:", true},
    {"{\"secrets\": [{\"label\": \"a\", \"password\": \"x\", \"not_after\": \"HIDDEN\"}]}",
     "secrets[0].not_after:", false},
    {"{\"not_before\": \"2030-01-01\"}", "not_before:", false},
    {"{\"not_before\": \"1700000000\"}", "not_before:", true},
    {"{\"not_after\": -1}", "not_after:", false},
    {"{\"not_after\": true}", "not_after:", false},
    {"{\"not_after\": 1e30}", "not_after:", false},
    {"{\"networks\": []}", "networks:", false},
    {"{\"networks\": \"\"}", "networks:", true}, /* a column without a value */
    {"{\"networks\": \",\"}", "networks:", false},
    {"{\"networks\": \" , \"}", "networks:", false},
    {"{\"secrets\": [{\"label\": \"a\", \"password\": \"x\", \"networks\": \",\"}]}", "secrets[0].networks:", false},
    {"{\"networks\": [\"10.0.0.1\", \"HIDDEN\"]}", "networks:", false},
    {"{\"groups\": 5}", "groups:", false},
    {"{\"groups\": [5]}", "groups:", false},
    {"{\"groups\": [\"a\\r\\nb\"]}", "groups:", false},
    {"{\"tenant\": \"a\", \"tenants\": [\"b\"]}", "tenant:", false},
    {"{\"limits\": \"HIDDEN\"}", "limits:", false},
    {"{\"limits\": []}", "limits:", false},
};

static void test_faults_name_the_field_and_no_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct error error = {0};
        struct credential *credential = read_record(faults[i].record, false, &error);

        if (credential || strncmp(error.sentence, faults[i].named, strlen(faults[i].named)) != 0 ||
            strstr(error.sentence, "HIDDEN"))
            fail_msg("%s: %s", faults[i].record, error.sentence);
        assert_int_equal(error.kind, ERROR_PERM);
        credential = read_record(faults[i].record, true, &error);
        if (!credential == faults[i].is_right_as_text)
            fail_msg("as text: %s: %s", faults[i].record, error.sentence);
        credential_unref(&credential);
    }
}

static void test_lists_have_ceilings(void **state)
{
    json_t *fields = json_object();
    json_t *list = json_array();
    struct error error = {0};

    (void)state;
    for (int i = 0; i < CREDENTIAL_SECRETS_MOST; i++)
        json_array_append_new(list, json_string("x"));
    json_object_set(fields, "password", list);
    struct credential *bob = credential_from_json("bob", fields, false, &error);
    assert_non_null(bob);
    credential_unref(&bob);
    json_array_append_new(list, json_string("x"));
    assert_null(credential_from_json("bob", fields, false, &error));
    assert_non_null(strstr(error.sentence, "password"));
    json_object_clear(fields);
    for (int i = 0; i < CREDENTIAL_LIST_MOST; i++)
        json_array_append_new(list, json_string("x"));
    json_object_set_new(fields, "groups", list);
    assert_null(credential_from_json("bob", fields, false, &error));
    assert_non_null(strstr(error.sentence, "groups"));
    json_decref(fields);
}

static void test_networks(void **state)
{
    struct credential *bob = good("{\"networks\": [\"10.0.0.0/8\", \"2001:db8::/32\"]}", false);
    struct credential_networks none = {0};
    struct ip inside, outside;

    (void)state;
    assert_int_equal(ip_parse(SPAN_LIT("10.1.2.3"), &inside), 0);
    assert_int_equal(ip_parse(SPAN_LIT("2001:db9::1"), &outside), 0);
    assert_true(credential_networks_allow(&bob->networks, &inside));
    assert_false(credential_networks_allow(&bob->networks, &outside));
    assert_true(credential_networks_allow(&none, &outside));
    credential_unref(&bob);
}

/* ---- files ---- */

static struct stores *open_text(const char *text, struct error *error)
{
    struct settings *root = settings_parse_toml(text, "auth.toml", error);
    struct stores *stores;

    assert_non_null(root);
    stores = stores_open(root, NULL, error);
    settings_free(root);
    return stores;
}

static void remember(void *ctx, const struct lookup_result *result)
{
    struct lookup_result *copy = ctx;

    *copy = *result;
    credential_ref(copy->credential);
}

static struct lookup_result ask(struct stores *stores, const char *user)
{
    struct lookup_result result = {0};

    assert_null(lookup_user(stores, NULL, user, SPAN_LIT(""), NULL, LOOKUP_CACHED, remember, &result));
    return result;
}

static void test_table(void **state)
{
    struct error error = {0};
    struct stores *stores = open_text("[user.bob]\npassword = 'x'\ndisabled = true\n[user.'Ann']\npassword = 'y'\n"
                                      "[[user.Ann.secrets]]\nlabel = 'l'\npassword = 'z'\n",
                                      &error);
    struct lookup_result result;

    (void)state;
    if (!stores)
        fail_msg("%s", error.sentence);
    assert_true(stores_have(stores, STORE_RECORDS));
    assert_false(stores_have(stores, STORE_TOKENS));
    result = ask(stores, "bob");
    assert_int_equal(result.outcome, STORE_FOUND);
    assert_true(result.credential->disabled);
    assert_string_equal(result.store, "user");
    assert_false(result.is_cached);
    credential_unref(&result.credential);
    result = ask(stores, "Ann");
    assert_int_equal(result.credential->secret_count, 2);
    credential_unref(&result.credential);
    assert_int_equal(ask(stores, "ann").outcome, STORE_NOT_FOUND);
    assert_int_equal(ask(stores, "").outcome, STORE_NOT_FOUND);
    assert_int_equal(ask(stores, "bob\n").outcome, STORE_NOT_FOUND);
    assert_string_equal(ask(stores, "nobody").store, "");
    stores_unref(&stores);
}

static void test_lower_case(void **state)
{
    struct error error = {0};
    struct stores *stores =
        open_text("[store.local]\ndriver = 'table'\nlower_case = true\n[user.bob]\npassword = 'x'\n", &error);
    struct lookup_result result;

    (void)state;
    if (!stores)
        fail_msg("%s", error.sentence);
    result = ask(stores, "BoB");
    assert_int_equal(result.outcome, STORE_FOUND);
    assert_string_equal(result.credential->name, "bob");
    assert_string_equal(result.store, "local");
    credential_unref(&result.credential);
    stores_unref(&stores);
}

static const struct {
    const char *text;
    const char *sentence; /* a part of it; NULL: it is right */
} files[] = {
    {"", NULL},
    {"stores = ['user']\n[user.a]\n", NULL},
    {"stores = ['t', 'user']\n[store.t]\ndriver = 'table'\n[user.a]\n", NULL},
    {"stores = ['t']\n[store.t]\ndriver = 'table'\ntimeout = '2s'\nwaiting_limit = 5\nconcurrency = 3\n[cache]\n"
     "positive_ttl = '1m'\nnegative_ttl = 0\nstale_for = '1h'\ncapacity = 1000\nrecheck = '5s'\n",
     NULL},
    {"stores = ['a']\n", "auth.toml:1: stores: 'a' is no store"},
    {"stores = ['user']\n", "auth.toml:1: stores: 'user' is no store"},
    {"stores = ['user', 'user']\n[user.a]\n", "'user' is named twice"},
    {"stores = []\n[user.a]\n", "nobody reads it"},
    {"[store.t]\ntimeout = '2s'\n", "store.t"},
    {"[store.t]\ndriver = 'tabel'\n", "auth.toml:2: store.t.driver"},
    {"[store.t]\ndriver = 'table'\ntimeuot = '2s'\n", "auth.toml:3: store.t.timeuot"},
    {"[store.t]\ndriver = 'table'\ntimeout = '2 days'\n", "auth.toml:3: store.t.timeout"},
    {"stores = []\n[store.t]\ndriver = 'table'\ntimeuot = '2s'\n", "auth.toml:4: store.t.timeuot"},
    {"[cache]\ncapcity = 5\n", "auth.toml:2: cache.capcity"},
    {"[cache]\ncapacity = 0\n", "auth.toml:2: cache.capacity"},
    {"[user.a]\npassword = 'x'\n[user.b]\npasswrd = 'HIDDEN'\n", "auth.toml:4: user.b.passwrd: is not a field we know"},
    {"[user.'']\n", "is no name for a user"},
};

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct error error = {0};
        struct stores *stores = open_text(files[i].text, &error);

        if (!stores != !!files[i].sentence || (files[i].sentence && !strstr(error.sentence, files[i].sentence)) ||
            strstr(error.sentence, "HIDDEN"))
            fail_msg("%s: %s", files[i].text, error.sentence);
        stores_unref(&stores);
    }
}

/* ---- what goes on from one set to the next ---- */

static char folder[] = "/tmp/test-credential-XXXXXX";

static void write_in_folder(const char *name, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static struct stores *open_after(struct stores *former, const char *text, struct error *error)
{
    struct settings *root;
    struct stores *stores;
    char path[128];

    write_in_folder("auth.toml", text);
    snprintf(path, sizeof path, "%s/auth.toml", folder);
    root = settings_load((const char *const[]){path}, 1, error);
    assert_non_null(root);
    stores = stores_open(root, former, error);
    assert_true(!stores || !settings_end(root, error)); /* nothing of a store that goes on is left unread */
    settings_free(root);
    return stores;
}

static struct slot *slot_named(const struct stores *stores, const char *name)
{
    for (size_t i = 0; i < stores->slot_count; i++)
        if (strcmp(stores->slots[i]->setup.name, name) == 0)
            return stores->slots[i];
    return NULL;
}

#define WEB "[store.web]\ndriver = 'http-record'\nurl = 'https://a.example/{user}'\nbearer_file = 'bearer'\n"
#define VAULT "[store.vault]\ndriver = 'vault'\naddress = 'https://v.example'\ntoken_file = 'token'\n"
#define ANN "[user.ann]\npassword = 'p'\n"

static const struct {
    const char *text;
    bool has_web, has_vault; /* those of before */
} edits[] = {
    {WEB VAULT ANN, true, true},
    {WEB VAULT "[user.ann]\npassword = 'another'\n[user.bob]\npassword = 'p'\n", true, true},
    {"# others first\n" ANN "\n\n" VAULT "\n" WEB, true, true},
    {"stores = ['vault', 'web', 'user']\n" WEB VAULT ANN, true, true},
    {"[store.web]\nbearer_file = 'bearer'\nurl = 'https://a.example/{user}'\n\ndriver = 'http-record'\n" VAULT ANN,
     true, true},
    {WEB VAULT ANN "[cache]\nstale_for = '4h'\n", true, true},
    {WEB VAULT "[store.more]\ndriver = 'http'\nurl = 'https://a.example'\n" ANN, true, true},
    {WEB "timeout = '2s'\n" VAULT ANN, false, true},
    {WEB "[store.web.headers]\nA = 'b'\n" VAULT ANN, false, true},
    {WEB VAULT "field = 'pw'\n" ANN, true, false},
    {"stores = ['vault', 'user']\n" WEB VAULT ANN, false, true},
    {VAULT, false, true},
};

static void test_an_edit_leaves_other_stores_alone(void **state)
{
    struct error error = {0};
    struct stores *former;

    (void)state;
    write_in_folder("bearer", "one");
    write_in_folder("token", "one");
    former = open_after(NULL, WEB VAULT ANN, &error);
    if (!former)
        fail_msg("%s", error.sentence);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        struct stores *stores = open_after(former, edits[i].text, &error);

        if (!stores)
            fail_msg("%s: %s", edits[i].text, error.sentence);
        if ((slot_named(stores, "web") == slot_named(former, "web")) != edits[i].has_web ||
            (slot_named(stores, "vault") == slot_named(former, "vault")) != edits[i].has_vault ||
            slot_named(stores, "user") == slot_named(former, "user"))
            fail_msg("%s", edits[i].text);
        assert_ptr_equal(stores->cache, former->cache);
        stores_unref(&stores);
    }
    stores_unref(&former);
}

/* The same words, and a table of users in it: they may be other users. */
static void test_a_table_is_read_anew(void **state)
{
    static const char *const texts[] = {"[store.local]\ndriver = 'table'\n[user.bob]\npassword = 'old'\n",
                                        "[store.local]\ndriver = 'table'\n[user.bob]\npassword = 'new'\n"};
    struct error error = {0};
    struct stores *former = open_after(NULL, texts[0], &error), *stores = open_after(former, texts[1], &error);
    struct lookup_result result = ask(stores, "bob");

    (void)state;
    assert_string_equal(result.credential->secrets[0].stored, "new");
    credential_unref(&result.credential);
    stores_unref(&former);
    stores_unref(&stores);
}

static void test_a_named_file_is_part_of_a_store(void **state)
{
    struct error error = {0};
    struct stores *first, *second, *third;

    (void)state;
    write_in_folder("ca.pem", "one");
    first = open_after(NULL, WEB "ca_file = 'ca.pem'\n" VAULT, &error);
    write_in_folder("token", "rewritten"); /* by an agent; these two the store looks at when it needs them */
    write_in_folder("ca.pem", "another");
    second = open_after(first, WEB "ca_file = 'ca.pem'\n" VAULT, &error);
    assert_ptr_equal(slot_named(second, "web"), slot_named(first, "web"));
    assert_ptr_equal(slot_named(second, "vault"), slot_named(first, "vault"));
    write_in_folder("bearer", "another");
    third = open_after(second, WEB "ca_file = 'ca.pem'\n" VAULT, &error);
    assert_ptr_not_equal(slot_named(third, "web"), slot_named(second, "web"));
    assert_ptr_equal(slot_named(third, "vault"), slot_named(second, "vault"));
    stores_unref(&first);
    stores_unref(&second);
    stores_unref(&third);
}

/* A path is taken from the folder of the file in which it stands. */
static void test_a_table_in_another_folder_is_another_store(void **state)
{
    static const char text[] = "[store.judge]\ndriver = 'http'\nurl = 'https://a.example'\n";
    struct settings *roots[2];
    struct stores *stores[2];
    struct error error = {0};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        roots[i] = settings_parse_toml(text, i ? "b/auth.toml" : "a/auth.toml", &error);
        stores[i] = stores_open(roots[i], i ? stores[0] : NULL, &error);
        assert_non_null(stores[i]);
    }
    assert_ptr_not_equal(stores[1]->slots[0], stores[0]->slots[0]);
    for (size_t i = 0; i < 2; i++) {
        stores_unref(&stores[i]);
        settings_free(roots[i]);
    }
}

static void test_a_mistake_takes_nothing_away(void **state)
{
    struct error error = {0};
    struct stores *former = open_after(NULL, WEB VAULT, &error), *stores;

    (void)state;
    assert_null(open_after(former, WEB VAULT "[store.bad]\ndriver = 'http'\n", &error));
    assert_null(open_after(former, VAULT WEB "tiemout = '2s'\n", &error));
    stores = open_after(former, WEB VAULT ANN, &error);
    assert_ptr_equal(slot_named(stores, "web"), slot_named(former, "web"));
    stores_unref(&former);
    stores_unref(&stores);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"auth.toml", "bearer", "ca.pem", "token"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];

        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static void test_drivers_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; store_driver_at(i); i++)
        assert_ptr_equal(store_driver_find(store_driver_at(i)->name), store_driver_at(i));
    assert_null(store_driver_find("table "));
}

/* ---- last used ---- */

static void test_last_used(void **state)
{
    (void)state;
    assert_int_equal(credential_last_used("bob", ""), 0);
    credential_note_used("bob", "app");
    assert_true(credential_last_used("bob", "app") > 0);
    assert_int_equal(credential_last_used("boba", "pp"), 0);
    assert_int_equal(credential_last_used("bob", ""), 0);
    for (int i = 0; i < CREDENTIAL_USED_MOST; i++) {
        char user[16];

        snprintf(user, sizeof user, "u%d", i);
        credential_note_used(user, "");
    }
    assert_int_equal(credential_last_used("bob", "app"), 0);
    assert_true(credential_last_used("u0", "") > 0);
    credential_forget_used();
    assert_int_equal(credential_last_used("u0", ""), 0);
}

static void test_last_used_in_a_file(void **state)
{
    char path[] = "/tmp/gatepost-used-XXXXXX";
    int fd = mkstemp(path);
    struct error error;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(used_file_load("/nonexistent/used", &error), 0);
    credential_note_used("bob", "app");
    assert_int_equal(used_file_save(&error), 0); /* there is none */
    used_file_use(path);
    credential_note_used("Bob O'Neil", "");
    assert_int_equal(used_file_save(&error), 0);
    credential_forget_used();
    assert_int_equal(used_file_load(path, &error), 0);
    assert_true(credential_last_used("bob", "app") > 0);
    assert_true(credential_last_used("Bob O'Neil", "") > 0);
    assert_int_equal(credential_last_used("bob", ""), 0);
    credential_forget_used();

    assert_int_equal(pwrite(fd, "x", 1, 0), 1); /* of the former file, which is none any more */
    assert_int_equal(credential_used_read(SPAN_LIT("5000000000000\tbob\tapp\n5\tbob\tapp\n7\tu\t\n")), 0);
    assert_true(credential_last_used("bob", "app") == 5000000000000);
    assert_true(credential_last_used("u", "") == 7);
    assert_int_equal(credential_used_read(SPAN_LIT("7\tu\n")), -1);
    assert_int_equal(credential_used_read(SPAN_LIT("seven\tu\t\n")), -1);
    assert_int_equal(credential_used_read(SPAN_LIT("7\t\t\n")), -1);
    assert_int_equal(credential_used_read(SPAN_LIT("7\tu\ta\tb\n")), -1);
    assert_int_equal(used_file_load("/etc/passwd", &error), -1);
    assert_non_null(strstr(error.sentence, "/etc/passwd"));
    used_file_use("/nonexistent/used");
    credential_note_used("bob", "app");
    assert_int_equal(used_file_save(&error), -1);
    assert_int_equal(used_file_load(path, &error), 0);
    used_file_use(NULL);
    credential_forget_used();
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_record),
        cmocka_unit_test(test_text_only_record),
        cmocka_unit_test(test_faults_name_the_field_and_no_value),
        cmocka_unit_test(test_lists_have_ceilings),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_lower_case),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_an_edit_leaves_other_stores_alone),
        cmocka_unit_test(test_a_table_is_read_anew),
        cmocka_unit_test(test_a_named_file_is_part_of_a_store),
        cmocka_unit_test(test_a_table_in_another_folder_is_another_store),
        cmocka_unit_test(test_a_mistake_takes_nothing_away),
        cmocka_unit_test(test_drivers_by_name),
        cmocka_unit_test(test_last_used),
        cmocka_unit_test(test_last_used_in_a_file),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
