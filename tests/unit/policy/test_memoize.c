/* SPDX-License-Identifier: Apache-2.0
 *
 * The caches behind kumo.memoize, without Lua: expiry, admission, one population at a
 * time, and many threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "policy/memoize.h"

static _Atomic uint64_t now_us = 1000000000;
static uint64_t test_mono_us(void) { return now_us; }
static int64_t test_wall_us(void) { return 0; }
static const struct clock_source test_clock = {.mono_us = test_mono_us, .wall_us = test_wall_us};

static atomic_int values_alive;

struct number {
    struct memoize_value value;
    int number;
};

static void free_number(struct memoize_value *value)
{
    values_alive--;
    free(CONTAINER_OF(value, struct number, value));
}

static struct memoize_value *number_new(int number)
{
    struct number *made = mem_zalloc(sizeof *made);

    values_alive++;
    atomic_init(&made->value.refs, 1);
    made->value.free = free_number;
    made->number = number;
    return &made->value;
}

static struct memoize_key key_of(int number) { return memoize_key_of(span_make((const char *)&number, sizeof number)); }

static struct memoize_cache *open_cache(size_t capacity)
{
    struct memoize_options options = {
        .name = "test", .ttl_ms = 1000, .capacity = capacity, .populate_timeout_ms = 5000};

    return memoize_open(&options);
}

static int tear_down(void **state)
{
    (void)state;
    memoize_close_all();
    assert_int_equal(values_alive, 0);
    return 0;
}

/* What asking for `key` gives at once: a number, or -1 with a ticket, or -2 for a wait. */
static int get(struct memoize_cache *cache, int key, uint64_t epoch, struct memoize_ticket **ticket_out)
{
    struct memoize_waiter waiter = {0};
    struct memoize_value *value = NULL;
    struct memoize_ticket *ticket = NULL;
    enum memoize_answer answer = memoize_get(cache, key_of(key), epoch, &waiter, &value, &ticket);
    int number = answer == MEMOIZE_WAIT ? -2 : -1;

    if (value)
        number = CONTAINER_OF(value, struct number, value)->number;
    memoize_value_unref(&value);
    if (answer == MEMOIZE_WAIT)
        assert_true(memoize_unwait(&waiter));
    if (ticket_out)
        *ticket_out = ticket;
    else if (ticket)
        memoize_fail(ticket);
    return number;
}

static void put(struct memoize_cache *cache, int key, int number, bool is_refusal)
{
    struct memoize_ticket *ticket;

    assert_int_equal(get(cache, key, 0, &ticket), -1);
    memoize_put(ticket, number_new(number), is_refusal);
}

static void values_expire(void **state)
{
    struct memoize_cache *cache = open_cache(10);

    (void)state;
    put(cache, 1, 11, false);
    assert_int_equal(get(cache, 1, 0, NULL), 11);
    now_us += 999000;
    assert_int_equal(get(cache, 1, 0, NULL), 11);
    now_us += 1000;
    assert_int_equal(get(cache, 1, 0, NULL), -1);
    put(cache, 1, 12, false);
    assert_int_equal(get(cache, 1, 0, NULL), 12);
    assert_int_equal(memoize_count(cache), 1);
}

static void failures_are_not_kept(void **state)
{
    struct memoize_cache *cache = open_cache(10);

    (void)state;
    assert_int_equal(get(cache, 1, 0, NULL), -1);
    assert_int_equal(get(cache, 1, 0, NULL), -1);
    assert_int_equal(memoize_count(cache), 0);
}

static void a_new_epoch_forgets(void **state)
{
    struct memoize_options options = {
        .name = "epoch", .ttl_ms = 1000, .capacity = 5, .populate_timeout_ms = 50, .invalidate_with_epoch = true};
    struct memoize_cache *cache = memoize_open(&options);

    (void)state;
    put(cache, 1, 11, false);
    assert_int_equal(get(cache, 1, 0, NULL), 11);
    assert_int_equal(get(cache, 1, 1, NULL), -1);
}

static void guesses_do_not_flush_what_is_used(void **state)
{
    struct memoize_cache *cache = open_cache(100);

    (void)state;
    for (int user = 0; user < 50; user++) {
        put(cache, user, user, false);
        assert_int_equal(get(cache, user, 0, NULL), user);
    }
    for (int guess = 1000; guess < 1000000; guess++) {
        put(cache, guess, 0, true);
        get(cache, guess, 0, NULL); /* asked twice, still a refusal */
        assert_true(memoize_count(cache) <= 100);
    }
    for (int once = 1000000; once < 2000000; once++)
        put(cache, once, 0, false);
    for (int user = 0; user < 50; user++)
        assert_int_equal(get(cache, user, 0, NULL), user);
}

static void the_eldest_goes_first(void **state)
{
    struct memoize_cache *cache = open_cache(3);

    (void)state;
    for (int i = 0; i < 5; i++)
        put(cache, i, i, false);
    assert_int_equal(memoize_count(cache), 3);
    assert_int_equal(get(cache, 0, 0, NULL), -1);
    assert_int_equal(get(cache, 1, 0, NULL), -1);
    assert_int_equal(get(cache, 4, 0, NULL), 4);
    cache = open_cache(1);
    put(cache, 7, 7, false);
    put(cache, 8, 8, false);
    put(cache, 9, 9, false);
    assert_int_equal(memoize_count(cache), 1);
    put(cache, 11, 11, false);
    assert_int_equal(get(cache, 11, 0, NULL), 11);
    assert_int_equal(get(cache, 11, 0, NULL), 11);
}

static void one_populates_and_a_late_one_is_replaced(void **state)
{
    struct memoize_cache *cache = open_cache(10);
    struct memoize_ticket *first;
    struct memoize_ticket *second;

    (void)state;
    assert_int_equal(get(cache, 1, 0, &first), -1);
    assert_int_equal(get(cache, 1, 0, NULL), -2);
    now_us += 5000000;
    assert_int_equal(get(cache, 1, 0, &second), -1);
    assert_non_null(second);
    memoize_put(first, number_new(1), false); /* too late: it does not count */
    assert_int_equal(get(cache, 1, 0, NULL), -2);
    memoize_put(second, number_new(2), false);
    assert_int_equal(get(cache, 1, 0, NULL), 2);
}

static void stale_values_are_served_while_one_refreshes(void **state)
{
    struct memoize_options options = {
        .name = "stale", .ttl_ms = 1000, .capacity = 5, .populate_timeout_ms = 50, .allow_stale_reads = true};
    struct memoize_cache *cache = memoize_open(&options);
    struct memoize_ticket *ticket;
    struct memoize_ticket *none;

    (void)state;
    put(cache, 1, 11, false);
    now_us += 2000000;
    assert_int_equal(get(cache, 1, 0, &ticket), 11);
    assert_non_null(ticket);
    assert_int_equal(get(cache, 1, 0, &none), 11);
    assert_null(none);
    memoize_put(ticket, number_new(12), false);
    assert_int_equal(get(cache, 1, 0, &none), 12);
}

/* ---- waiters ---- */

struct woken {
    struct memoize_waiter waiter;
    int *count;
};

static void on_ready(struct memoize_waiter *waiter) { (*CONTAINER_OF(waiter, struct woken, waiter)->count)++; }

static void waiters_are_woken_on_their_loop(void **state)
{
    struct memoize_cache *cache = open_cache(10);
    struct loop *loop = loop_new("test", NULL);
    struct memoize_value *value = NULL;
    struct memoize_ticket *ticket;
    struct memoize_ticket *none;
    int count = 0;
    struct woken woken[3];

    (void)state;
    assert_int_equal(get(cache, 1, 0, &ticket), -1);
    for (int i = 0; i < 3; i++) {
        woken[i] = (struct woken){.waiter = {.loop = loop, .on_ready = on_ready}, .count = &count};
        assert_int_equal(memoize_get(cache, key_of(1), 0, &woken[i].waiter, &value, &none), MEMOIZE_WAIT);
    }
    assert_true(memoize_unwait(&woken[1].waiter));
    assert_false(memoize_unwait(&woken[1].waiter));
    memoize_fail(ticket);
    assert_false(memoize_unwait(&woken[0].waiter));
    while (count < 2)
        loop_turn(loop, true);
    assert_int_equal(count, 2);
    loop_free(loop);
}

static void a_blocked_waiter_gives_up(void **state)
{
    struct memoize_cache *cache = open_cache(10);
    struct memoize_waiter waiter = {0};
    struct memoize_value *value = NULL;
    struct memoize_ticket *ticket;
    struct memoize_ticket *none;

    (void)state;
    assert_int_equal(get(cache, 1, 0, &ticket), -1);
    assert_int_equal(memoize_get(cache, key_of(1), 0, &waiter, &value, &none), MEMOIZE_WAIT);
    assert_false(memoize_block(&waiter, 5));
    memoize_fail(ticket);
}

/* ---- many threads ---- */

#define THREADS 8
#define ROUNDS 3000
#define KEYS 40

static atomic_int populations[KEYS];
static atomic_int concurrent[KEYS];

static int get_or_populate(struct memoize_cache *cache, int key)
{
    for (;;) {
        struct memoize_waiter waiter = {0};
        struct memoize_value *value = NULL;
        struct memoize_ticket *ticket = NULL;
        int number;

        switch (memoize_get(cache, key_of(key), 0, &waiter, &value, &ticket)) {
        case MEMOIZE_WAIT:
            MUST(memoize_block(&waiter, 60000));
            break;
        case MEMOIZE_POPULATE:
            MUST(atomic_fetch_add(&concurrent[key], 1) == 0);
            atomic_fetch_add(&populations[key], 1);
            atomic_fetch_sub(&concurrent[key], 1);
            if (populations[key] % 7 == 3)
                memoize_fail(ticket);
            else
                memoize_put(ticket, number_new(key * 10), key % 3 == 0);
            break;
        default:
            number = CONTAINER_OF(value, struct number, value)->number;
            memoize_value_unref(&value);
            return number;
        }
    }
}

static void *hammer(void *arg)
{
    struct memoize_cache *cache = arg;
    unsigned int seed = (unsigned int)(uintptr_t)&cache;

    for (int i = 0; i < ROUNDS; i++) {
        int key = rand_r(&seed) % KEYS;

        MUST(get_or_populate(cache, key) == key * 10);
    }
    return NULL;
}

static void many_threads_share_one_cache(void **state)
{
    struct memoize_cache *cache = open_cache(20); /* fewer than the keys: it evicts all the time */
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, cache), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(memoize_count(cache), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(values_expire, tear_down),
        cmocka_unit_test_teardown(failures_are_not_kept, tear_down),
        cmocka_unit_test_teardown(a_new_epoch_forgets, tear_down),
        cmocka_unit_test_teardown(guesses_do_not_flush_what_is_used, tear_down),
        cmocka_unit_test_teardown(the_eldest_goes_first, tear_down),
        cmocka_unit_test_teardown(one_populates_and_a_late_one_is_replaced, tear_down),
        cmocka_unit_test_teardown(stale_values_are_served_while_one_refreshes, tear_down),
        cmocka_unit_test_teardown(waiters_are_woken_on_their_loop, tear_down),
        cmocka_unit_test_teardown(a_blocked_waiter_gives_up, tear_down),
        cmocka_unit_test_teardown(many_threads_share_one_cache, tear_down),
    };

    clock_inject(&test_clock);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
