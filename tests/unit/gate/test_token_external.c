/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens and certificates of users whose record is old, because the store that has it is away: as with passwords
 * (test_check.c) it lets in, and turns nobody away. The stores are played by the test, and the clock is moved on.
 */
#include <stdatomic.h>
#include <time.h>

#include "harness.h"

#include "base/clock.h"

static atomic_uint_fast64_t later_us;

static uint64_t mono_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 + atomic_load(&later_us);
}

static int64_t wall_us(void) { return INT64_C(1700000000) * 1000000; }

static const struct clock_source later_clock = {mono_us, wall_us};

static int set_up(void **state)
{
    clock_inject(&later_clock);
    return start_all(state);
}

static struct {
    bool is_down;
    const char *fields; /* of ann's record */
} play;

static void ask_records(struct store *store, struct store_ask *ask)
{
    json_t *fields = json_loads(play.fields, 0, NULL);
    struct error error = {0};

    (void)store;
    error_set(&error, ERROR_TEMP, "the store is away");
    if (play.is_down)
        ask->on_done(ask, STORE_FAILED, NULL, &error);
    else if (strcmp(ask->user, "ann"))
        ask->on_done(ask, STORE_NOT_FOUND, NULL, NULL);
    else
        ask->on_done(ask, STORE_FOUND, fields, NULL);
    json_decref(fields);
}

/* A token is its user's name. */
static void ask_tokens(struct store *store, struct store_ask *ask)
{
    json_t *fields = json_pack("{s:s%}", "name", ask->token.data, ask->token.len);

    (void)store;
    ask->on_done(ask, STORE_FOUND, fields, NULL);
    json_decref(fields);
}

static void cancel_ask(struct store *store, struct store_ask *ask)
{
    (void)store;
    (void)ask;
}

static void close_play(struct store *store) { (void)store; }

static const struct store_driver records = {
    .name = "play", .kind = STORE_RECORDS, .ask = ask_records, .cancel = cancel_ask, .close = close_play};
static const struct store_driver tokens = {
    .name = "token", .kind = STORE_TOKENS, .ask = ask_tokens, .cancel = cancel_ask, .close = close_play};

static struct store_setup setup_of(const struct store_driver *driver)
{
    return (struct store_setup){.name = driver->name,
                                .driver = driver,
                                .store = (struct store *)&play,
                                .timeout_ms = 5000,
                                .waiting_limit = 100,
                                .concurrency = 10};
}

static struct gate_rules *played(const char *toml)
{
    struct gate_rules *rules = rules_of(toml);
    struct cache_limits limits = CACHE_LIMITS_USUAL;
    struct store_setup setups[] = {setup_of(&tokens), setup_of(&records)};

    stores_unref(&rules->stores);
    rules->stores = stores_make(setups, 2, &limits);
    play.is_down = false;
    return rules;
}

/* Beyond positive_ttl and recheck, within stale_for. */
static void pass_the_time_of_the_cache(void) { atomic_fetch_add(&later_us, UINT64_C(600) * 1000000); }

static enum auth_reason ask(struct gate_rules *rules, struct auth_question question, const char *as)
{
    struct attempt attempt = {.question = question};

    attempt.question.authzid = (char *)as;
    attempt_begin(&attempt, rules, "192.0.2.1");
    attempt_wait(&attempt);
    attempt_forget(&attempt);
    return attempt.reason;
}

#define DISABLED_FIELDS "{\"password\": \"x\", \"disabled\": true}"
#define ELSEWHERE "{\"password\": \"x\", \"networks\": [\"10.0.0.0/8\"]}"
#define OVER "{\"password\": \"x\", \"not_after\": \"2001-01-01T00:00:00Z\"}"
#define MAY_ACT "{\"password\": \"x\", \"may_act_as\": [\"bob\"]}"

/* While its store is there, and while the cache believes it, a record says no; a store that is away may have changed
 * its mind. */
static void what_refuses_is_doubted_when_it_is_old(const char *toml, struct auth_question question)
{
    static const struct {
        const char *fields, *as;
        enum auth_reason reason;
    } table[] = {
        {DISABLED_FIELDS, NULL, AUTH_REASON_DISABLED},
        {ELSEWHERE, NULL, AUTH_REASON_ADDRESS_NOT_ALLOWED},
        {OVER, NULL, AUTH_REASON_EXPIRED},
        {MAY_ACT, "eve", AUTH_REASON_AUTHZID_REFUSED},
        {MAY_ACT, "bob", AUTH_REASON_OK},
        {MAY_ACT, NULL, AUTH_REASON_OK},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        bool is_refusal = auth_reason_outcome(table[i].reason) == AUTH_OUTCOME_REFUSED;
        struct gate_rules *rules = played(toml);

        play.fields = table[i].fields;
        assert_string_equal(auth_reason_name(ask(rules, question, table[i].as)), auth_reason_name(table[i].reason));
        play.is_down = true;
        assert_string_equal(auth_reason_name(ask(rules, question, table[i].as)), auth_reason_name(table[i].reason));
        pass_the_time_of_the_cache();
        for (int k = 0; k < 2; k++) /* the second time the store is known to be away */
            assert_string_equal(auth_reason_name(ask(rules, question, table[i].as)),
                                auth_reason_name(is_refusal ? AUTH_REASON_UNVERIFIED : table[i].reason));
        play.is_down = false;
        pass_the_time_of_the_cache();
        assert_string_equal(auth_reason_name(ask(rules, question, table[i].as)), auth_reason_name(table[i].reason));
        gate_rules_unref(&rules);
    }
}

#define ANY "[user.x]\npassword = 'x'\n"

static const struct auth_question ann_s_token = {.kind = AUTH_ASK_TOKEN, .token = (char *)"ann"};

static void a_token_and_a_record_that_is_old(void **state)
{
    (void)state;
    what_refuses_is_doubted_when_it_is_old(ANY, ann_s_token);
    what_refuses_is_doubted_when_it_is_old(ANY "[token]\nrecords = 'need'\n", ann_s_token);
}

static void a_certificate_and_a_record_that_is_old(void **state)
{
    static const struct auth_certificate certificate = {.subject = "CN=ann"};
    struct auth_question question = {.kind = AUTH_ASK_EXTERNAL, .certificate = &certificate};

    (void)state;
    what_refuses_is_doubted_when_it_is_old(ANY "[external]\nsource = 'map'\n[external.map]\n'CN=ann' = 'ann'\n",
                                           question);
}

/* Who was re-enabled while the store was away comes in as soon as it is back. */
static void a_user_enabled_again_is_not_told_that_his_token_is_bad(void **state)
{
    struct gate_rules *rules = played(ANY);

    (void)state;
    play.fields = DISABLED_FIELDS;
    assert_reason(ask(rules, ann_s_token, NULL), DISABLED);
    play.is_down = true;
    play.fields = MAY_ACT;
    pass_the_time_of_the_cache();
    assert_reason(ask(rules, ann_s_token, NULL), UNVERIFIED);
    play.is_down = false;
    pass_the_time_of_the_cache();
    assert_reason(ask(rules, ann_s_token, NULL), OK);
    gate_rules_unref(&rules);
}

/* Records that nobody asks for are not old either. */
static void without_records_the_token_decides(void **state)
{
    struct gate_rules *rules = played(ANY "[token]\nrecords = 'ignore'\n");

    (void)state;
    play.fields = DISABLED_FIELDS;
    play.is_down = true;
    assert_reason(ask(rules, ann_s_token, NULL), OK);
    assert_reason(ask(rules, ann_s_token, "bob"), AUTHZID_REFUSED);
    gate_rules_unref(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_and_a_record_that_is_old),
        cmocka_unit_test(a_certificate_and_a_record_that_is_old),
        cmocka_unit_test(a_user_enabled_again_is_not_told_that_his_token_is_bad),
        cmocka_unit_test(without_records_the_token_decides),
    };

    return cmocka_run_group_tests(tests, set_up, stop_all);
}
