/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests of drivers: a store opened from TOML, asked on the test's own loop, and a folder that goes away.
 */
#ifndef GATEPOST_TESTS_CREDENTIAL_ASK_STORE_H
#define GATEPOST_TESTS_CREDENTIAL_ASK_STORE_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "credential/credential.h"
#include "credential/credential_private.h"
#include "http/http.h"

static char test_dir[64];

static inline int make_dir(void **state)
{
    (void)state;
    snprintf(test_dir, sizeof test_dir, "/tmp/gatepost-store-XXXXXX");
    return mkdtemp(test_dir) ? 0 : -1;
}

static inline const char *in_dir(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", test_dir, name);
    return path;
}

static inline int remove_dir(void **state)
{
    DIR *dir = opendir(test_dir);
    struct dirent *entry;

    (void)state;
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            unlink(in_dir(entry->d_name));
    if (dir)
        closedir(dir);
    return rmdir(test_dir);
}

static inline void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_dir(name), "we");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

struct test_store {
    const struct store_driver *driver;
    struct loop *loop;
    struct store_house house;
    struct store *store;
};

static inline struct store *try_open(const struct store_driver *driver, const char *toml, struct error *error)
{
    struct settings *settings = settings_parse_toml(toml, "auth.toml", error);
    struct store *store;

    assert_non_null(settings);
    store = driver->open(settings, error);
    settings_free(settings);
    return store;
}

static inline struct test_store test_store_open(const struct store_driver *driver, const char *toml)
{
    struct test_store opened = {.driver = driver, .loop = loop_new("test", NULL)};
    struct error error = {0};

    opened.store = try_open(driver, toml, &error);
    if (!opened.store)
        fail_msg("%s", error.sentence);
    loop_adopt(opened.loop);
    opened.house = (struct store_house){.loop = opened.loop, .http = http_client_new(opened.loop, NULL)};
    if (driver->start)
        driver->start(opened.store, &opened.house);
    return opened;
}

static inline void test_store_close(struct test_store *opened)
{
    opened->driver->close(opened->store);
    http_client_free(opened->house.http);
    loop_turn(opened->loop, false);
    loop_free(opened->loop);
}

struct test_ask {
    struct store_ask ask;
    int calls;
    enum store_outcome outcome;
    struct credential *credential; /* FOUND, of a record */
    json_t *fields;                /* a copy */
    struct error error;
};

static inline void on_store_done(struct store_ask *ask, enum store_outcome outcome, const json_t *fields,
                                 const struct error *error)
{
    struct test_ask *test = CONTAINER_OF(ask, struct test_ask, ask);

    assert_int_equal(test->calls++, 0);
    test->outcome = outcome;
    assert_true((outcome == STORE_FAILED) == (error != NULL));
    if (error)
        test->error = *error;
    test->fields = fields ? json_deep_copy(fields) : NULL;
}

static inline void ask_begin(struct test_store *store, struct test_ask *test, const char *user, const char *password)
{
    *test = (struct test_ask){.ask = {.user = user,
                                      .password = password ? span_of(password) : span_make(NULL, 0),
                                      .service = "smtp",
                                      .on_done = on_store_done}};
    assert_int_equal(ip_parse(SPAN_LIT("192.0.2.7"), &test->ask.peer), 0);
    store->driver->ask(store->store, &test->ask);
}

static inline void ask_wait(struct test_store *store, struct test_ask *test)
{
    while (!test->calls)
        loop_turn(store->loop, true);
}

static inline void ask_forget(struct test_ask *test)
{
    credential_unref(&test->credential);
    json_decref(test->fields);
    test->fields = NULL;
}

static inline struct test_ask ask_store(struct test_store *store, const char *user, const char *password)
{
    struct test_ask test;

    ask_begin(store, &test, user, password);
    ask_wait(store, &test);
    if (test.outcome == STORE_FOUND && store->driver->kind == STORE_RECORDS) {
        test.credential = credential_from_json(user, test.fields, true, &test.error);
        if (!test.credential)
            fail_msg("%s", test.error.sentence);
    }
    return test;
}

/* The outcome alone. */
static inline enum store_outcome ask_outcome(struct test_store *store, const char *user, const char *password)
{
    struct test_ask test = ask_store(store, user, password);

    ask_forget(&test);
    return test.outcome;
}

/* The one stored password of the user. */
static inline void assert_stored(struct test_store *store, const char *user, const char *stored)
{
    struct test_ask test = ask_store(store, user, NULL);

    assert_int_equal(test.outcome, STORE_FOUND);
    assert_int_equal(test.credential->secret_count, 1);
    assert_string_equal(test.credential->secrets[0].stored, stored);
    ask_forget(&test);
}

#endif
