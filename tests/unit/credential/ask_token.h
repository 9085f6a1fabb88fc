/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests of stores that judge tokens: a store with an HTTP client on the test's own loop, and a clock that the
 * test moves on.
 */
#ifndef GATEPOST_TESTS_CREDENTIAL_ASK_TOKEN_H
#define GATEPOST_TESTS_CREDENTIAL_ASK_TOKEN_H

#include "ask_store.h"

#include <time.h>

#include "http/http.h"

#include "../../support/fake_issuer.h"
#include "../../support/mint.h"

/* ---- the clock: the real one, so much later ---- */

static atomic_int_fast64_t later_ms;

static inline uint64_t later_mono_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 + (uint64_t)atomic_load(&later_ms) * 1000;
}

static inline int64_t later_wall_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + (int64_t)now.tv_nsec / 1000 + atomic_load(&later_ms) * 1000;
}

static const struct clock_source later_clock = {later_mono_us, later_wall_us};

static inline void pass_ms(int64_t ms) { atomic_fetch_add(&later_ms, ms); }
static inline long long now_s(void) { return clock_wall_ms() / 1000; }

/* ---- the store ---- */

static inline struct test_store token_store_open(const struct store_driver *driver, const char *toml)
{
    struct test_store opened = {.driver = driver, .loop = loop_new("test", NULL)};
    struct error error = {0};

    opened.store = try_open(driver, toml, &error);
    if (!opened.store)
        fail_msg("%s", error.sentence);
    loop_adopt(opened.loop);
    opened.house = (struct store_house){.loop = opened.loop, .http = http_client_new(opened.loop, &error)};
    assert_non_null(opened.house.http);
    if (driver->start)
        driver->start(opened.store, &opened.house);
    return opened;
}

static inline void token_store_close(struct test_store *opened)
{
    opened->driver->close(opened->store);
    http_client_free(opened->house.http);
    loop_turn(opened->loop, false);
    loop_free(opened->loop);
}

/* ---- asking ---- */

static inline void on_token_done(struct store_ask *ask, enum store_outcome outcome, const json_t *fields,
                                 const struct error *error)
{
    struct test_ask *test = CONTAINER_OF(ask, struct test_ask, ask);

    assert_int_equal(test->calls++, 0);
    assert_true(outcome != STORE_FAILED || (error && error->sentence[0] && error->kind != ERROR_NONE));
    assert_true((outcome == STORE_FOUND || outcome == STORE_REFUSED) == (fields != NULL));
    test->outcome = outcome;
    if (error) {
        test->error = *error;
        /* no part of a token, however long */
        assert_true(ask->token.len < 8 ||
                    !memmem(error->sentence, strlen(error->sentence), ask->token.data + ask->token.len - 8, 8));
    }
    test->fields = json_deep_copy(fields);
}

static inline void token_begin(struct test_store *store, struct test_ask *test, const char *token)
{
    *test = (struct test_ask){.ask = {.token = span_of(token), .service = "smtp", .on_done = on_token_done}};
    assert_int_equal(ip_parse(SPAN_LIT("192.0.2.7"), &test->ask.peer), 0);
    store->driver->ask(store->store, &test->ask);
}

static inline const char *word_of(const struct test_ask *test)
{
    switch (test->outcome) {
    case STORE_FOUND:
        return json_string_value(json_object_get(test->fields, "name"));
    case STORE_REFUSED:
        return json_string_value(json_object_get(test->fields, "reason"));
    case STORE_NOT_FOUND:
        return "(not found)";
    case STORE_FAILED:
        break;
    }
    return "(failed)";
}

/* The user, the reason of a refusal, "(not found)" or "(failed)". */
static inline void expect_token(struct test_store *store, const char *token, const char *expected)
{
    struct test_ask test;

    token_begin(store, &test, token);
    ask_wait(store, &test);
    if (strcmp(word_of(&test), expected) != 0)
        fail_msg("%s (%s), not %s", word_of(&test), test.error.sentence, expected);
    ask_forget(&test);
}

/* It is not this store's to judge, and why goes to the log. */
static inline void expect_passed_on(struct test_store *store, const char *token, const char *why)
{
    struct test_ask test;

    token_begin(store, &test, token);
    ask_wait(store, &test);
    assert_string_equal(word_of(&test), "(not found)");
    assert_string_equal(test.error.sentence, why);
    ask_forget(&test);
}

/* Frees the token. */
static inline void expect_minted(struct test_store *store, char *token, const char *expected)
{
    expect_token(store, token, expected);
    free(token);
}

#endif
