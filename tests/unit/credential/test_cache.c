/* SPDX-License-Identifier: Apache-2.0
 *
 * The cache of records by itself, with a clock of the test's: how long it believes, what it serves while a store fails,
 * who has to go when it is full, what a purge takes, and that keys are told apart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "credential/credential_private.h"

static _Atomic uint64_t now_ms = 1000000;
static uint64_t test_mono_us(void) { return now_ms * 1000; }
static int64_t test_wall_us(void) { return 0; }
static const struct clock_source test_clock = {.mono_us = test_mono_us, .wall_us = test_wall_us};

static const struct cache_limits limits = {
    .positive_ttl_ms = 1000, .negative_ttl_ms = 100, .stale_for_ms = 5000, .recheck_ms = 50, .capacity = 80};

static void put_named(struct cache *cache, uint32_t store, const char *user, const char *name)
{
    struct credential *credential = name ? credential_new(name) : NULL;

    cache_put(cache, store, user, cache_stamp(cache, user), credential);
    credential_unref(&credential);
}

static void put(struct cache *cache, uint32_t store, const char *user) { put_named(cache, store, user, user); }

/* user0, user1, ... */
static void put_users(struct cache *cache, int count)
{
    char user[16];

    for (int i = 0; i < count; i++) {
        snprintf(user, sizeof user, "user%d", i);
        put(cache, 0, user);
    }
}

static enum cache_answer get(struct cache *cache, uint32_t store, const char *user)
{
    struct credential *credential = NULL;
    enum cache_answer answer = cache_get(cache, store, user, LOOKUP_CACHED, &credential);

    credential_unref(&credential);
    return answer;
}

static enum cache_answer get_afresh(struct cache *cache, const char *user)
{
    struct credential *credential = NULL;
    enum cache_answer answer = cache_get(cache, 0, user, LOOKUP_AFRESH, &credential);

    credential_unref(&credential);
    return answer;
}

static bool has_stale(struct cache *cache, const char *user)
{
    struct credential *credential = cache_get_stale(cache, 0, user);
    bool has = credential != NULL;

    credential_unref(&credential);
    return has;
}

static void test_expiry(void **state)
{
    struct cache *cache = cache_new(&limits);

    (void)state;
    assert_int_equal(get(cache, 0, "bob"), CACHE_MISS);
    put(cache, 0, "bob");
    put_named(cache, 0, "nobody", NULL);
    assert_int_equal(get(cache, 0, "bob"), CACHE_FOUND);
    assert_int_equal(get(cache, 0, "nobody"), CACHE_NOT_FOUND);
    now_ms += 100;
    assert_int_equal(get(cache, 0, "nobody"), CACHE_MISS);
    now_ms += 899;
    assert_int_equal(get(cache, 0, "bob"), CACHE_FOUND);
    now_ms += 1;
    assert_int_equal(get(cache, 0, "bob"), CACHE_MISS);
    put_named(cache, 0, "bob", NULL); /* he was taken away */
    assert_int_equal(get(cache, 0, "bob"), CACHE_NOT_FOUND);
    put(cache, 0, "bob");
    assert_int_equal(get(cache, 0, "bob"), CACHE_FOUND);
    cache_unref(&cache);
}

static void test_keys_are_told_apart(void **state)
{
    struct cache *cache = cache_new(&limits);
    char longest[CREDENTIAL_TEXT_LIMIT + 2];

    (void)state;
    put(cache, 0, "bob");
    assert_int_equal(get(cache, 1, "bob"), CACHE_MISS);
    assert_int_equal(get(cache, 0, "Bob"), CACHE_MISS);
    assert_int_equal(get(cache, 0, "bob "), CACHE_MISS);
    assert_int_equal(get(cache, 0, "bo"), CACHE_MISS);
    put(cache, 0x41414141, "bob");
    assert_int_equal(get(cache, 0, "AAAAbob"), CACHE_MISS);
    memset(longest, 'x', sizeof longest);
    longest[CREDENTIAL_TEXT_LIMIT + 1] = '\0';
    put(cache, 0, longest);
    assert_int_equal(get(cache, 0, longest), CACHE_MISS);
    cache_unref(&cache);
}

static void test_stale_while_the_store_fails(void **state)
{
    struct cache *cache = cache_new(&limits);

    (void)state;
    assert_false(has_stale(cache, "bob"));
    put(cache, 0, "bob");
    put_named(cache, 0, "nobody", NULL);
    now_ms += 1500;
    assert_int_equal(get(cache, 0, "bob"), CACHE_MISS);
    assert_false(has_stale(cache, "nobody"));
    assert_true(has_stale(cache, "bob")); /* the store failed just now */
    assert_int_equal(get(cache, 0, "bob"), CACHE_STALE);
    now_ms += 50; /* it is tried again */
    assert_int_equal(get(cache, 0, "bob"), CACHE_MISS);
    assert_true(has_stale(cache, "bob"));
    now_ms += 4450; /* stale_for has passed */
    assert_int_equal(get(cache, 0, "bob"), CACHE_MISS);
    assert_false(has_stale(cache, "bob"));
    put(cache, 0, "bob"); /* the store is back */
    assert_int_equal(get(cache, 0, "bob"), CACHE_FOUND);
    cache_unref(&cache);
}

static void test_afresh_is_for_one_in_a_while(void **state)
{
    struct cache *cache = cache_new(&limits);

    (void)state;
    put(cache, 0, "bob");
    assert_int_equal(get_afresh(cache, "bob"), CACHE_MISS);
    assert_int_equal(get_afresh(cache, "bob"), CACHE_MISS); /* waits for the same look */
    assert_int_equal(get(cache, 0, "bob"), CACHE_FOUND);
    put(cache, 0, "bob"); /* the fresh record does not open the way for the next */
    assert_int_equal(get_afresh(cache, "bob"), CACHE_FOUND);
    now_ms += 49;
    assert_int_equal(get_afresh(cache, "bob"), CACHE_FOUND);
    now_ms += 1;
    assert_int_equal(get(cache, 0, "bob"), CACHE_FOUND);
    assert_int_equal(get_afresh(cache, "bob"), CACHE_MISS);
    assert_true(has_stale(cache, "bob")); /* that look failed: the others are told so */
    assert_int_equal(get_afresh(cache, "bob"), CACHE_STALE);
    assert_int_equal(get(cache, 0, "bob"), CACHE_FOUND);
    now_ms += 50;
    assert_int_equal(get_afresh(cache, "bob"), CACHE_MISS);
    cache_not_asked(cache, 0, "bob"); /* who looked has gone: that was the one look */
    assert_int_equal(get_afresh(cache, "bob"), CACHE_FOUND);
    cache_not_asked(cache, 0, "nobody");
    cache_unref(&cache);
}

static void test_flood_of_unknown_names(void **state)
{
    struct cache *cache = cache_new(&limits);
    struct cache_counts counts;
    char user[16];

    (void)state;
    put_users(cache, 60);
    for (int i = 0; i < 1000000; i++) {
        snprintf(user, sizeof user, "x%d", i);
        put_named(cache, 0, user, NULL);
    }
    for (int i = 0; i < 60; i++) {
        snprintf(user, sizeof user, "user%d", i);
        assert_int_equal(get(cache, 0, user), CACHE_FOUND);
    }
    cache_count(cache, &counts);
    assert_int_equal(counts.entries, 70);
    assert_int_equal(counts.evicted, 999990);
    cache_unref(&cache);
}

static void test_second_chance(void **state)
{
    struct cache *cache = cache_new(&limits);
    struct cache_counts counts;
    char user[16];

    (void)state;
    put(cache, 0, "regular");
    for (int i = 0; i < 1000; i++) {
        snprintf(user, sizeof user, "once%d", i);
        put(cache, 0, user);
        assert_int_equal(get(cache, 0, "regular"), CACHE_FOUND);
    }
    assert_int_equal(get(cache, 0, "once0"), CACHE_MISS);
    cache_count(cache, &counts);
    assert_int_equal(counts.entries, 70);
    cache_unref(&cache);
}

static void test_purge(void **state)
{
    struct cache *cache = cache_new(&limits);

    (void)state;
    put(cache, 0, "bob");
    put_named(cache, 1, "BOB", NULL);
    put_named(cache, 0, "robert", "bob"); /* his record says that he is bob */
    put(cache, 0, "ann");
    assert_int_equal(cache_purge(cache, "bob"), 3);
    assert_int_equal(get(cache, 0, "bob"), CACHE_MISS);
    assert_int_equal(get(cache, 1, "BOB"), CACHE_MISS);
    assert_int_equal(get(cache, 0, "robert"), CACHE_MISS);
    assert_int_equal(get(cache, 0, "ann"), CACHE_FOUND);
    assert_int_equal(cache_purge(cache, "bob"), 0);
    assert_int_equal(cache_purge(cache, NULL), 1);
    assert_int_equal(get(cache, 0, "ann"), CACHE_MISS);
    cache_unref(&cache);
}

static void test_answers_from_before_a_purge(void **state)
{
    struct cache *cache = cache_new(&limits);
    struct credential *bob = credential_new("bob");
    struct cache_stamp of_bob = cache_stamp(cache, "bob");
    struct cache_stamp of_ann = cache_stamp(cache, "ann");
    struct cache_stamp of_alias = cache_stamp(cache, "robert");

    (void)state;
    cache_purge(cache, "bob");
    cache_put(cache, 0, "bob", of_bob, bob);
    assert_int_equal(get(cache, 0, "bob"), CACHE_MISS);
    cache_put(cache, 0, "robert", of_alias, bob);
    assert_int_equal(get(cache, 0, "robert"), CACHE_MISS);
    assert_true(cache_is_current(cache, of_ann, "ann", NULL));
    cache_purge(cache, NULL);
    assert_false(cache_is_current(cache, of_ann, "ann", NULL));
    cache_put(cache, 0, "bob", cache_stamp(cache, "bob"), bob);
    assert_int_equal(get(cache, 0, "bob"), CACHE_FOUND);
    credential_unref(&bob);
    cache_unref(&cache);
}

/* ---- sets of stores that follow one another ---- */

static void test_other_limits_count_at_once(void **state)
{
    struct cache_limits other = limits;
    struct cache *cache = cache_new(&limits);
    struct cache_counts counts;

    (void)state;
    put_users(cache, 60);
    now_ms += 1500;
    assert_true(has_stale(cache, "user59"));
    other.stale_for_ms = 400;
    cache_limit(cache, &other);
    assert_false(has_stale(cache, "user59"));
    other.stale_for_ms = 600;
    other.positive_ttl_ms = 2000;
    other.capacity = 16;
    cache_limit(cache, &other);
    assert_true(has_stale(cache, "user59"));
    cache_count(cache, &counts);
    assert_int_equal(counts.entries, 14);
    put(cache, 0, "user59");
    now_ms += 1999;
    assert_int_equal(get(cache, 0, "user59"), CACHE_FOUND);
    cache_unref(&cache);
}

static void test_a_store_that_goes_takes_its_entries_and_no_others(void **state)
{
    struct cache *cache = cache_new(&limits), *again = cache_ref(cache);
    struct cache_counts counts;

    (void)state;
    put(cache, 1, "bob");
    put_named(cache, 1, "nobody", NULL);
    put(cache, 2, "bob");
    put_named(cache, 2, "nobody", NULL);
    cache_forget_store(cache, 1);
    assert_int_equal(get(cache, 1, "bob"), CACHE_MISS);
    assert_int_equal(get(cache, 1, "nobody"), CACHE_MISS);
    assert_int_equal(get(cache, 2, "bob"), CACHE_FOUND);
    assert_int_equal(get(cache, 2, "nobody"), CACHE_NOT_FOUND);
    cache_unref(&cache);
    cache_count(again, &counts);
    assert_int_equal(counts.entries, 2);
    cache_unref(&again);
}

/* ---- many threads ---- */

static const struct cache_limits big = {
    .positive_ttl_ms = 1000, .negative_ttl_ms = 100, .stale_for_ms = 5000, .recheck_ms = 50, .capacity = 2048};

static void *hammer(void *arg)
{
    struct cache *cache = arg;
    char user[16];

    for (int i = 0; i < 20000; i++) {
        snprintf(user, sizeof user, "u%d", i % 700);
        switch (i % 7) {
        case 0:
            put(cache, 0, user);
            break;
        case 1:
            put_named(cache, 0, user, NULL);
            break;
        case 2:
            has_stale(cache, user);
            break;
        case 3:
            get_afresh(cache, user);
            break;
        default:
            get(cache, 0, user);
        }
        if (i % 1000 == 999)
            cache_purge(cache, user);
        if (i % 5000 == 4999)
            cache_forget_store(cache, 1);
        if (i % 500 == 499)
            cache_limit(cache, i % 1000 == 999 ? &big : &limits);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    struct cache *cache = cache_new(&big);
    struct cache_counts counts;
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, hammer, cache);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cache_count(cache, &counts);
    assert_true(counts.entries <= 2048);
    cache_purge(cache, NULL);
    cache_count(cache, &counts);
    assert_int_equal(counts.entries, 0);
    cache_unref(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_keys_are_told_apart),
        cmocka_unit_test(test_stale_while_the_store_fails),
        cmocka_unit_test(test_afresh_is_for_one_in_a_while),
        cmocka_unit_test(test_flood_of_unknown_names),
        cmocka_unit_test(test_second_chance),
        cmocka_unit_test(test_purge),
        cmocka_unit_test(test_answers_from_before_a_purge),
        cmocka_unit_test(test_other_limits_count_at_once),
        cmocka_unit_test(test_a_store_that_goes_takes_its_entries_and_no_others),
        cmocka_unit_test(test_many_threads),
    };

    clock_inject(&test_clock);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
