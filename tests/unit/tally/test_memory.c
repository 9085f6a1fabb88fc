/* SPDX-License-Identifier: Apache-2.0
 *
 * Every operation against memory, with weeks that pass at once; what a full memory keeps; and threads that share it.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* the order is cmocka's wish */
#include <cmocka.h>

#include "clock.h"

static struct tally *tally;
static struct loop *loop; /* never turned: memory answers on the spot */

static int set_up(void **state)
{
    struct error error;

    (void)state;
    clock_inject(&test_clock);
    loop = loop_new("test", &error);
    tally = tally_new(NULL, &error);
    return tally ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    tally_free(tally);
    loop_free(loop);
    clock_inject(NULL);
    return 0;
}

static struct test_answer run_one(const struct tally_op *op)
{
    struct test_answer answer = test_run(tally, loop, op, 1);

    assert_int_equal(answer.calls, 1);
    assert_false(answer.is_local);
    return answer;
}

static void assert_near(double is, double wanted)
{
    if (fabs(is - wanted) > 1e-9 * fmax(1, fabs(wanted)))
        fail_msg("%.12g, not %.12g", is, wanted);
}

static void keys_do_not_collide(void **state)
{
    static const char *const parts[][2] = {{"a", "bc"}, {"ab", "c"}, {"a/1:b", "c"}, {"a/2:bc", ""}, {"", "abc"}};
    struct tally_key keys[5];

    (void)state;
    for (int i = 0; i < 5; i++) {
        struct span part;

        tally_key_init(&keys[i], "k");
        tally_key_add(&keys[i], span_of(parts[i][0]));
        tally_key_add(&keys[i], span_of(parts[i][1]));
        for (int j = 0; j < i; j++)
            assert_false(span_eq(span_make(keys[i].text, keys[i].len), span_make(keys[j].text, keys[j].len)));
        for (size_t p = 0; p < 2; p++) {
            assert_int_equal(tally_key_part(span_make(keys[i].text, keys[i].len), p + 1, &part), 0);
            assert_true(span_eq(part, span_of(parts[i][p])));
        }
        assert_int_equal(tally_key_part(span_make(keys[i].text, keys[i].len), 0, &part), 0);
        assert_true(span_eq(part, SPAN_LIT("k")));
        assert_int_equal(tally_key_part(span_make(keys[i].text, keys[i].len), 3, &part), -1);
    }
}

static void a_long_part_and_a_secret_become_digests(void **state)
{
    struct tally_key key;
    char longer[5000];
    struct span part;

    (void)state;
    memset(longer, 'x', sizeof longer);
    tally_key_init(&key, "k");
    tally_key_add_secret(tally, &key, SPAN_LIT("tiger"));
    for (int i = 0; i < 3; i++)
        tally_key_add(&key, span_make(longer, sizeof longer));
    assert_null(memmem(key.text, key.len, "tiger", 5));
    assert_int_equal(tally_key_part(span_make(key.text, key.len), 1, &part), 0);
    assert_int_equal(part.len, 33);
    assert_int_equal(tally_key_part(span_make(key.text, key.len), 4, &part), 0);
}

static void a_counter_halves(void **state)
{
    struct tally_key key = test_key("fail.user", "ada");
    struct tally_op add = {.kind = TALLY_COUNT, .key = &key, .amount = 1, .time_ms = HOUR};
    struct tally_op read = {.kind = TALLY_COUNT, .key = &key, .time_ms = HOUR};

    (void)state;
    for (int i = 1; i <= 8; i++)
        assert_near(run_one(&add).results[0].value, i);
    test_pass(HOUR);
    assert_near(run_one(&read).results[0].value, 4);
    test_pass(2 * HOUR);
    assert_near(run_one(&read).results[0].value, 1);
    test_pass(7 * DAY);
    assert_near(run_one(&read).results[0].value, 0);
}

static void a_counter_grows_to_its_limit(void **state)
{
    struct tally_key key = test_key("fail.user", "ada");
    struct tally_op add = {.kind = TALLY_COUNT, .key = &key, .amount = 3, .limit = 8, .time_ms = HOUR};
    struct tally_op more = {.kind = TALLY_COUNT, .key = &key, .amount = 4, .time_ms = HOUR};

    (void)state;
    assert_near(run_one(&add).results[0].value, 3);
    assert_near(run_one(&add).results[0].value, 6);
    assert_near(run_one(&add).results[0].value, 8);
    assert_near(run_one(&more).results[0].value, 12);
    assert_near(run_one(&add).results[0].value, 12); /* what is beyond it already stays */
    add.amount = -5;
    assert_near(run_one(&add).results[0].value, 7);
}

/* One guess each half-life for a week never adds up to more than two. */
static void slow_guessing_stays_under(void **state)
{
    struct tally_key key = test_key("fail.user", "slow");
    struct tally_op add = {.kind = TALLY_COUNT, .key = &key, .amount = 1, .time_ms = HOUR};

    (void)state;
    for (int i = 0; i < 7 * 24; i++) {
        assert_true(run_one(&add).results[0].value <= 2);
        test_pass(HOUR);
    }
}

static void a_budget_refuses_and_says_when(void **state)
{
    struct tally_key key = test_key("messages.hour", "ada");
    struct tally_op take = {.kind = TALLY_TAKE, .key = &key, .amount = 10, .limit = 100, .time_ms = HOUR};
    struct tally_op too_much = take;
    struct test_answer answer;

    (void)state;
    too_much.amount = 101;
    for (int i = 1; i <= 10; i++)
        assert_near(run_one(&take).results[0].value, 10 * i);
    answer = run_one(&take);
    assert_int_equal(answer.refused_by, 0);
    assert_near(answer.results[0].value, 100);
    assert_true(answer.results[0].left_ms > HOUR && answer.results[0].left_ms <= HOUR + HOUR / 10 + 1);
    test_pass(answer.results[0].left_ms - 2);
    assert_int_equal(run_one(&take).refused_by, 0);
    test_pass(2);
    assert_int_equal(run_one(&take).refused_by, -1);
    answer = run_one(&too_much);
    assert_int_equal(answer.refused_by, 0);
    assert_int_equal(answer.results[0].left_ms, 0);
}

static void a_budget_takes_back(void **state)
{
    struct tally_key key = test_key("bytes.day", "ada");
    struct tally_op take = {.kind = TALLY_TAKE, .key = &key, .amount = 60, .limit = 100, .time_ms = DAY};
    struct tally_op give = {.kind = TALLY_TAKE, .key = &key, .amount = -60, .time_ms = DAY};

    (void)state;
    assert_int_equal(run_one(&take).refused_by, -1);
    assert_int_equal(run_one(&take).refused_by, 0);
    test_pass(DAY); /* over the edge: it must come off the former window */
    assert_near(run_one(&give).results[0].value, 0);
    assert_int_equal(run_one(&take).refused_by, -1);
    give.amount = -1000;
    assert_near(run_one(&give).results[0].value, 0);
}

static void several_are_taken_all_or_none(void **state)
{
    struct tally_key user = test_key("messages.hour", "bob");
    struct tally_key tenant = test_key("messages.day", "acme");
    struct tally_key seen = test_key("seen", "bob");
    struct tally_op ops[] = {
        {.kind = TALLY_MARK, .key = &seen, .amount = 7, .time_ms = DAY},
        {.kind = TALLY_TAKE, .key = &user, .amount = 1, .limit = 100, .time_ms = HOUR},
        {.kind = TALLY_JOIN, .key = &user, .member = SPAN_LIT("s1"), .time_ms = HOUR},
        {.kind = TALLY_TAKE, .key = &tenant, .amount = 1, .limit = 2, .time_ms = DAY},
        {.kind = TALLY_FORGET, .key = &seen},
    };
    struct test_answer answer;

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(test_run(tally, loop, ops, 4).refused_by, -1);
    ops[2].member = SPAN_LIT("s2");
    ops[3].limit = 1; /* refused after a mark, a budget and a member were touched */
    ops[0].amount = 9;
    answer = test_run(tally, loop, ops, 5);
    assert_int_equal(answer.refused_by, 3);
    assert_near(answer.results[3].value, 2);
    assert_near(answer.results[1].value, 0);
    ops[1].amount = 0;
    assert_near(run_one(&ops[1]).results[0].value, 2);
    ops[2].kind = TALLY_MEMBERS;
    answer = run_one(&ops[2]);
    assert_near(answer.results[0].value, 1);
    assert_false(answer.results[0].was_there);
    ops[0].kind = TALLY_IS_MARKED;
    assert_near(run_one(&ops[0]).results[0].value, 7);
}

static void a_forgotten_key_comes_back_with_a_refusal(void **state)
{
    struct tally_key key = test_key("x", "y");
    struct tally_op fill[] = {{.kind = TALLY_COUNT, .key = &key, .amount = 3, .time_ms = HOUR},
                              {.kind = TALLY_TAKE, .key = &key, .amount = 5, .limit = 5, .time_ms = HOUR},
                              {.kind = TALLY_MARK, .key = &key, .amount = 1, .time_ms = HOUR},
                              {.kind = TALLY_JOIN, .key = &key, .member = SPAN_LIT("m"), .time_ms = HOUR}};
    struct tally_op ops[] = {{.kind = TALLY_FORGET, .key = &key},
                             {.kind = TALLY_TAKE, .key = &key, .amount = 6, .limit = 5, .time_ms = HOUR}};

    (void)state;
    assert_int_equal(test_run(tally, loop, fill, 4).refused_by, -1);
    assert_int_equal(test_run(tally, loop, ops, 2).refused_by, 1);
    assert_near(run_one(&ops[0]).results[0].value, 4);
    assert_near(run_one(&ops[0]).results[0].value, 0);
}

static void the_same_wrong_password_counts_once(void **state)
{
    struct tally_key user = test_key("fail.user", "eve");
    struct tally_key password;
    struct tally_op ops[] = {{.kind = TALLY_MARK, .key = &password, .keep = true, .amount = 1, .time_ms = HOUR},
                             {.kind = TALLY_COUNT, .key = &user, .amount = 1, .time_ms = HOUR, .if_new = 1}};

    (void)state;
    tally_key_init(&password, "tried");
    tally_key_add(&password, SPAN_LIT("eve"));
    tally_key_add_secret(tally, &password, SPAN_LIT("hunter2"));
    for (int i = 0; i < 5; i++)
        assert_near(test_run(tally, loop, ops, 2).results[1].value, 1);
    tally_key_init(&password, "tried");
    tally_key_add(&password, SPAN_LIT("eve"));
    tally_key_add_secret(tally, &password, SPAN_LIT("hunter3"));
    assert_near(test_run(tally, loop, ops, 2).results[1].value, 2);
}

static void a_mark_ends(void **state)
{
    struct tally_key key = test_key("blocked", "192.0.2.1");
    struct tally_op mark = {.kind = TALLY_MARK, .key = &key, .amount = 4, .time_ms = HOUR};
    struct tally_op read = {.kind = TALLY_IS_MARKED, .key = &key};
    struct test_answer answer;

    (void)state;
    assert_false(run_one(&read).results[0].was_there);
    assert_false(run_one(&mark).results[0].was_there);
    test_pass(HOUR / 2);
    answer = run_one(&read);
    assert_true(answer.results[0].was_there);
    assert_int_equal(answer.results[0].left_ms, HOUR / 2);
    assert_near(answer.results[0].value, 4);
    mark.keep = true;
    assert_int_equal(run_one(&mark).results[0].left_ms, HOUR / 2);
    test_pass(HOUR / 2);
    assert_false(run_one(&read).results[0].was_there);
    assert_false(run_one(&mark).results[0].was_there);
}

static void members_are_distinct_bounded_and_go(void **state)
{
    struct tally_key key = test_key("users.of", "password");
    struct tally_op join = {.kind = TALLY_JOIN, .key = &key, .time_ms = HOUR, .most = 64};
    struct tally_op read = {.kind = TALLY_MEMBERS, .key = &key};
    char name[16];

    (void)state;
    for (int i = 0; i < 200; i++) {
        struct test_answer answer;

        snprintf(name, sizeof name, "user%d", i % 100);
        join.member = span_of(name);
        answer = run_one(&join);
        assert_near(answer.results[0].value, i % 100 < 64 && i < 100 ? i + 1 : 64);
        assert_int_equal(answer.results[0].was_there, i >= 100 && i < 164);
        assert_int_equal(answer.results[0].is_capped, i % 100 >= 64);
    }
    test_pass(HOUR);
    assert_near(run_one(&read).results[0].value, 0);
}

static void sessions_are_limited_and_a_dead_nodes_end(void **state)
{
    struct tally_key key = test_key("sessions", "ada");
    struct tally_op join = {.kind = TALLY_JOIN, .key = &key, .time_ms = 60 * SECOND, .limit = 2};
    struct tally_op leave = {.kind = TALLY_LEAVE, .key = &key, .member = SPAN_LIT("a")};
    struct test_answer answer;

    (void)state;
    join.member = SPAN_LIT("a");
    assert_int_equal(run_one(&join).refused_by, -1);
    test_pass(10 * SECOND);
    join.member = SPAN_LIT("b");
    assert_int_equal(run_one(&join).refused_by, -1);
    assert_int_equal(run_one(&join).refused_by, -1); /* renewing is not joining */
    join.member = SPAN_LIT("c");
    answer = run_one(&join);
    assert_int_equal(answer.refused_by, 0);
    assert_int_equal(answer.results[0].left_ms, 50 * SECOND);
    assert_true(run_one(&leave).results[0].was_there);
    assert_int_equal(run_one(&join).refused_by, -1);
    test_pass(60 * SECOND); /* nobody renews */
    join.member = SPAN_LIT("d");
    assert_near(run_one(&join).results[0].value, 1);
}

static void on_listed(void *ctx, const struct tally_list *list)
{
    struct tally_list *kept = ctx;

    *kept = *list;
    if (list->count)
        assert_true(list->entries[0].left_ms > 0);
}

static void list_all(const struct tally_key *prefix, size_t limit, bool remove, struct tally_list *list)
{
    const struct tally_filter filter = {.prefix = prefix, .limit = limit, .remove = remove};

    assert_null(tally_list(tally, NULL, &filter, on_listed, list));
}

static void keys_are_listed_and_removed_by_prefix(void **state)
{
    struct tally_key prefix, key;
    struct tally_op op = {.kind = TALLY_COUNT, .key = &key, .amount = 2, .time_ms = HOUR};
    struct tally_list list;
    char name[16];

    (void)state;
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "user%d", i);
        key = test_key(i % 2 ? "odd" : "even", name);
        run_one(&op);
    }
    tally_key_init(&prefix, "odd");
    list_all(&prefix, 1000, false, &list);
    assert_int_equal(list.count, 25);
    assert_true(list.is_complete);
    list_all(&prefix, 10, false, &list);
    assert_int_equal(list.count, 10);
    assert_false(list.is_complete);
    prefix = test_key("odd", "user1"); /* and not user11 */
    list_all(&prefix, 1000, true, &list);
    assert_int_equal(list.removed, 1);
    tally_key_init(&prefix, "odd");
    list_all(&prefix, 1000, true, &list);
    assert_int_equal(list.removed, 24);
    list_all(&prefix, 1000, false, &list);
    assert_int_equal(list.count, 0);
}

/* A hundred thousand names that nobody has must not push out who is under attack, nor who is known. */
static void a_flood_does_not_evict_the_hot(void **state)
{
    struct tally *small = tally_new(&(struct tally_options){.entries = 20000}, NULL);
    struct tally_key key;
    struct tally_op hot = {.kind = TALLY_COUNT, .key = &key, .amount = 1, .time_ms = HOUR};
    struct tally_op known = {.kind = TALLY_MARK, .key = &key, .amount = 1, .time_ms = 90 * DAY};
    struct tally_op is_known = {.kind = TALLY_IS_MARKED, .key = &key};
    struct tally_status status;
    char name[16];
    int lost = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "hot%d", i);
        key = test_key("fail", name);
        for (int n = 0; n < 8; n++)
            test_run(small, loop, &hot, 1);
        key = test_key("known", name);
        test_run(small, loop, &known, 1);
    }
    for (int i = 0; i < 1000000; i++) {
        snprintf(name, sizeof name, "flood%d", i);
        key = test_key("fail", name);
        test_run(small, loop, &hot, 1);
    }
    hot.amount = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "hot%d", i);
        key = test_key("fail", name);
        lost += test_run(small, loop, &hot, 1).results[0].value < 8;
        key = test_key("known", name);
        lost += !test_run(small, loop, &is_known, 1).results[0].was_there;
    }
    tally_status(small, &status);
    assert_true(status.entries <= 20000);
    assert_int_equal(lost, 0);
    tally_free(small);
}

static void members_weigh_too(void **state)
{
    struct tally *small = tally_new(&(struct tally_options){.entries = 2000}, NULL);
    struct tally_key key;
    struct tally_op join = {.kind = TALLY_JOIN, .key = &key, .time_ms = HOUR, .most = 64};
    struct tally_status status;
    char name[16], member[16];

    (void)state;
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "set%d", i);
        key = test_key("set", name);
        for (int n = 0; n < 64; n++) {
            snprintf(member, sizeof member, "m%d", n);
            join.member = span_of(member);
            test_run(small, loop, &join, 1);
        }
    }
    tally_status(small, &status);
    assert_true(status.entries <= 2000 / 16);
    tally_free(small);
}

#define THREADS 4
#define TAKES 5000

static void *take_many(void *ctx)
{
    struct tally_key one = test_key("one", "a");
    struct tally_key two = test_key("two", "b");
    struct tally_op forward[] = {{.kind = TALLY_TAKE, .key = &one, .amount = 1, .limit = 7000, .time_ms = DAY},
                                 {.kind = TALLY_TAKE, .key = &two, .amount = 1, .limit = 6000, .time_ms = DAY}};
    struct tally_op backward[] = {forward[1], forward[0]};
    int *taken = ctx;

    for (int i = 0; i < TAKES; i++)
        *taken += test_run(tally, loop, i % 2 ? forward : backward, 2).refused_by < 0;
    return NULL;
}

static void threads_share_a_limit(void **state)
{
    pthread_t threads[THREADS];
    int taken[THREADS] = {0};
    int sum = 0;
    struct tally_key one = test_key("one", "a");
    struct tally_op read = {.kind = TALLY_TAKE, .key = &one, .time_ms = DAY};

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, &taken[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += taken[i];
    }
    assert_int_equal(sum, 6000);
    assert_near(run_one(&read).results[0].value, 6000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_do_not_collide),
        TEST(a_long_part_and_a_secret_become_digests),
        TEST(a_counter_halves),
        TEST(a_counter_grows_to_its_limit),
        TEST(slow_guessing_stays_under),
        TEST(a_budget_refuses_and_says_when),
        TEST(a_budget_takes_back),
        TEST(several_are_taken_all_or_none),
        TEST(a_forgotten_key_comes_back_with_a_refusal),
        TEST(the_same_wrong_password_counts_once),
        TEST(a_mark_ends),
        TEST(members_are_distinct_bounded_and_go),
        TEST(sessions_are_limited_and_a_dead_nodes_end),
        TEST(keys_are_listed_and_removed_by_prefix),
        TEST(a_flood_does_not_evict_the_hot),
        TEST(members_weigh_too),
        TEST(threads_share_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
