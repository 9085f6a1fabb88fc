/* SPDX-License-Identifier: Apache-2.0
 *
 * Guessing against a clock that the test turns: limits, what a known prefix is spared, attacks of each shape with what
 * they get through, suspicions, and what the operator sees and undoes.
 */
#include <math.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "gate/guess_private.h"
#include "harness.h"
#include "metrics/metrics.h"

#define MINUTE UINT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static _Atomic uint64_t now_us = 1000 * DAY * 1000;

static uint64_t mono_us(void) { return now_us; }
static int64_t wall_us(void) { return (int64_t)now_us; }

static void pass(uint64_t ms) { now_us += ms * 1000; }

static int start_with_clock(void **state)
{
    static const struct clock_source source = {.mono_us = mono_us, .wall_us = wall_us};

    clock_inject(&source);
    return start_all(state);
}

static int stop_with_clock(void **state)
{
    int status = stop_all(state);

    clock_inject(NULL);
    return status;
}

/* Each test counts from nothing. */
static int start_counting(void **state)
{
    struct error error;

    (void)state;
    return tally_start(&error);
}

static int stop_counting(void **state)
{
    (void)state;
    tally_stop();
    return 0;
}

static struct gate_rules *guessing(const char *settings)
{
    char *toml = mem_printf("[user.ada]\npassword = 'tiger'\n[guessing]\ntrusted = ['10.0.0.0/8']\n%s\n", settings);
    struct gate_rules *rules = rules_of(toml);

    free(toml);
    return rules;
}

/* ---- attempts, already judged by whoever looks at passwords ---- */

struct told {
    int calls;
    enum gate_guess_rule locked_by;
    bool is_known, is_doubtful;
    unsigned failures;
    char kinds[200]; /* of suspicions */
};

static void on_told(void *ctx, const struct gate_guess_result *result)
{
    struct told *told = ctx;

    told->calls++;
    told->locked_by = result->locked_by;
    told->is_known = result->is_known;
    told->is_doubtful = result->is_doubtful;
    told->failures = result->failures;
    for (size_t i = 0; i < result->suspect_count; i++) {
        const char *kind = json_string_value(json_object_get(result->suspects[i], "kind"));

        strncat(told->kinds, kind, sizeof told->kinds - strlen(told->kinds) - 1);
        strncat(told->kinds, " ", sizeof told->kinds - strlen(told->kinds) - 1);
    }
}

static struct gate_attempt attempt_of(const char *peer, const char *user, const char *secret)
{
    return (struct gate_attempt){.peer = ip_of(peer),
                                 .listener = "192.0.2.1:587",
                                 .session_id = "s",
                                 .mechanism = "PLAIN",
                                 .authcid = user,
                                 .user = user,
                                 .secret = span_of(secret),
                                 .store = "",
                                 .label = ""};
}

static struct told wrong(struct gate_rules *rules, const char *peer, const char *user, const char *secret)
{
    struct gate_attempt attempt = attempt_of(peer, user, secret);
    struct told told = {0};

    attempt.reason = AUTH_REASON_BAD_PASSWORD;
    assert_null(gate_guess_refused(rules, test_loop, &attempt, on_told, &told));
    assert_int_equal(told.calls, 1);
    return told;
}

/* The whole of a login with the right password. */
static struct told right(struct gate_rules *rules, const char *peer, const char *user)
{
    struct gate_attempt attempt = attempt_of(peer, user, "tiger");
    struct told told = {0};

    assert_null(gate_guess_judge(rules, test_loop, &attempt, on_told, &told));
    assert_int_equal(told.calls, 1);
    if (told.locked_by == GATE_GUESS_NONE)
        gate_guess_accepted(rules, &attempt, told.is_doubtful);
    return told;
}

static void many_wrong(struct gate_rules *rules, const char *peer, const char *user, int count)
{
    static int number;

    for (int i = 0; i < count; i++) {
        char secret[32];

        snprintf(secret, sizeof secret, "wrong %d", number++);
        wrong(rules, peer, user, secret);
    }
}

#define assert_locked(told, rule) assert_string_equal(gate_guess_rule_name((told).locked_by), rule)
#define assert_let_in(told) assert_locked(told, "none")

/* ---- limits ---- */

static void prefix_and_user(void **state)
{
    struct gate_rules *rules = guessing("address_user_limit = 3\nblock_for = '1h'");

    (void)state;
    many_wrong(rules, "192.0.2.7", "ada", 2);
    assert_let_in(right(rules, "192.0.2.7", "ada")); /* which forgets them */
    many_wrong(rules, "192.0.2.7", "ada", 2);
    pass(1000);
    many_wrong(rules, "192.0.2.7", "ada", 1); /* a hair under three by now */
    assert_locked(right(rules, "192.0.2.7", "ada"), "address_user");
    assert_let_in(right(rules, "192.0.2.8", "ada"));
    assert_let_in(right(rules, "192.0.2.7", "bob"));
    pass(HOUR - 1000);
    assert_locked(right(rules, "192.0.2.7", "ada"), "address_user");
    pass(1001);
    assert_let_in(right(rules, "192.0.2.7", "ada"));
    gate_rules_unref(&rules);
}

static void one_address_and_many_users(void **state)
{
    struct gate_rules *rules = guessing("address_limit = 5\nblock_for = '1h'");
    char user[16];

    (void)state;
    assert_let_in(right(rules, "192.0.2.7", "ada"));
    for (int i = 0; i < 5; i++) {
        snprintf(user, sizeof user, "user%d", i);
        many_wrong(rules, "192.0.2.7", user, 1);
    }
    assert_locked(right(rules, "192.0.2.7", "bob"), "address");
    assert_let_in(right(rules, "192.0.2.7", "ada")); /* at home there */
    assert_let_in(right(rules, "192.0.2.8", "bob"));
    gate_rules_unref(&rules);
}

static void the_same_wrong_password_counts_once(void **state)
{
    struct gate_rules *rules = guessing("address_user_limit = 2\naddress_limit = 2\nuser_limit = 2");
    struct told told = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        told = wrong(rules, "192.0.2.7", "ada", "old password");
    assert_int_equal(told.failures, 1);
    assert_let_in(right(rules, "192.0.2.7", "ada"));
    for (int i = 0; i < 1000; i++) { /* from elsewhere too, as far as the user goes */
        char peer[32];

        snprintf(peer, sizeof peer, "198.51.%d.%d", 100 + i / 250, 1 + i % 250);
        wrong(rules, peer, "ada", "old password");
    }
    assert_let_in(right(rules, "203.0.113.9", "ada"));
    gate_rules_unref(&rules);
}

/* Once in each half_life: a client that tries it every minute does not keep it from being counted. */
static void the_same_wrong_password_counts_again_in_time(void **state)
{
    struct gate_rules *rules = guessing("half_life = '1h'");
    struct told told = {0};

    (void)state;
    for (int minutes = 0; minutes < 600; minutes += 10) {
        told = wrong(rules, "192.0.2.7", "ada", "old password");
        pass(10 * HOUR / 60);
    }
    assert_int_equal(told.failures, 2);
    gate_rules_unref(&rules);
}

static void two_wrong_passwords_in_turn_count_twice(void **state)
{
    struct gate_rules *rules = guessing("address_user_limit = 3");

    (void)state;
    for (int i = 0; i < 1000; i++)
        wrong(rules, "192.0.2.7", "ada", i % 2 ? "old password" : "older password");
    assert_let_in(right(rules, "192.0.2.7", "ada"));
    gate_rules_unref(&rules);
}

/* What the delay of a refusal grows with: at a usual place, only with what failed there. */
static void others_failures_delay_nobody_at_home(void **state)
{
    struct gate_rules *rules = guessing("");

    (void)state;
    right(rules, "192.0.2.7", "ada");
    many_wrong(rules, "198.51.100.1", "ada", 8);
    assert_int_equal(wrong(rules, "192.0.2.7", "ada", "a slip").failures, 1);
    assert_int_equal(wrong(rules, "192.0.2.8", "ada", "another").failures, 10);
    assert_int_equal(wrong(rules, "10.1.2.3", "ada", "from a trusted network").failures, 0);
    gate_rules_unref(&rules);
}

static void proofs_count_each(void **state)
{
    struct gate_rules *rules = guessing("address_user_limit = 3");

    (void)state;
    for (int i = 0; i < 3; i++)
        wrong(rules, "192.0.2.7", "ada", "");
    assert_locked(right(rules, "192.0.2.7", "ada"), "address_user");
    gate_rules_unref(&rules);
}

static void a_name_in_capitals_is_the_same_user(void **state)
{
    struct gate_rules *rules = guessing("address_user_limit = 3");

    (void)state;
    wrong(rules, "192.0.2.7", "ada", "1");
    wrong(rules, "192.0.2.7", "Ada", "2");
    wrong(rules, "192.0.2.7", "ADA", "3");
    assert_locked(right(rules, "192.0.2.7", "aDa"), "address_user");
    gate_rules_unref(&rules);
}

static void addresses_of_one_network_are_one(void **state)
{
    struct gate_rules *rules = guessing("address_user_limit = 3");

    (void)state;
    many_wrong(rules, "2001:db8:0:100::1", "ada", 2);
    many_wrong(rules, "2001:db8:0:1ff:ffff::9", "ada", 1);
    assert_locked(right(rules, "2001:db8:0:142::7", "ada"), "address_user");
    assert_let_in(right(rules, "2001:db8:0:200::1", "ada"));
    many_wrong(rules, "::ffff:192.0.2.7", "bob", 3);
    assert_locked(right(rules, "192.0.2.7", "bob"), "address_user");
    gate_rules_unref(&rules);
}

static void networks_are_as_wide_as_said(void **state)
{
    static const struct {
        const char *setting, *from, *inside, *outside;
    } cases[] = {
        {"prefix_v4 = 31", "192.0.2.6", "192.0.2.7", "192.0.2.8"},
        {"prefix_v4 = 25", "192.0.2.1", "192.0.2.127", "192.0.2.128"},
        {"prefix_v4 = 24", "192.0.2.1", "192.0.2.255", "192.0.3.0"},
        {"prefix_v4 = 8", "192.0.2.1", "192.255.0.1", "193.0.2.1"},
        {"prefix_v6 = 57", "2001:db8::1", "2001:db8:0:7f::", "2001:db8:0:80::"},
        {"prefix_v6 = 128", "2001:db8::1", "2001:db8::1", "2001:db8::2"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *settings = mem_printf("address_user_limit = 3\n%s", cases[i].setting);
        struct gate_rules *rules = guessing(settings);
        char user[16];

        snprintf(user, sizeof user, "user%zu", i);
        many_wrong(rules, cases[i].from, user, 3);
        if (right(rules, cases[i].inside, user).locked_by == GATE_GUESS_NONE ||
            right(rules, cases[i].outside, user).locked_by != GATE_GUESS_NONE)
            fail_msg("%s", cases[i].setting);
        gate_rules_unref(&rules);
        free(settings);
    }
}

static void trusted_networks_are_never_locked(void **state)
{
    struct gate_rules *rules = guessing("address_user_limit = 3\naddress_limit = 3\nuser_limit = 3");
    struct gate_attempt attempt = attempt_of("192.0.2.7", "bob", "");
    struct told told = {0};

    (void)state;
    many_wrong(rules, "10.1.2.3", "ada", 100);
    assert_let_in(right(rules, "10.1.2.3", "ada"));
    assert_let_in(right(rules, "10.1.2.3", "cleo"));
    assert_locked(right(rules, "192.0.2.9", "ada"), "user"); /* the user's number knows all the same */
    attempt.is_proxys_own = true;
    for (int i = 0; i < 5; i++)
        gate_guess_refused(rules, test_loop, &attempt, on_told, &told);
    gate_guess_judge(rules, test_loop, &attempt, on_told, &told);
    assert_let_in(told);
    gate_rules_unref(&rules);
}

static void off_means_off(void **state)
{
    struct gate_rules *rules = guessing("enabled = false\naddress_user_limit = 1");

    (void)state;
    many_wrong(rules, "192.0.2.7", "ada", 100);
    assert_let_in(right(rules, "192.0.2.7", "ada"));
    gate_rules_unref(&rules);
}

static void nobody_in_particular(void **state)
{
    struct gate_rules *rules = guessing("address_limit = 3");

    (void)state;
    for (int i = 0; i < 3; i++) {
        char token[16];

        snprintf(token, sizeof token, "token %d", i);
        wrong(rules, "192.0.2.7", NULL, token);
    }
    assert_locked(right(rules, "192.0.2.7", "ada"), "address");
    gate_rules_unref(&rules);
}

/* ---- attacks ---- */

/* A thousand addresses, ten passwords each, on one account, while its owner goes on from two usual places. */
static void a_thousand_addresses_on_one_account(void **state)
{
    struct gate_rules *rules = guessing("user_limit = 100");
    int through = 0, refused = 0;

    (void)state;
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    assert_let_in(right(rules, "2001:db8:5::1", "ada"));
    for (int i = 0; i < 10000; i++) {
        char peer[32], secret[32];
        struct told told;

        snprintf(peer, sizeof peer, "198.18.%d.%d", i % 1000 / 250, i % 250);
        snprintf(secret, sizeof secret, "guess %d", i);
        told = wrong(rules, peer, "ada", secret);
        /* had it been right, would it have been let in? The number of an attempt includes itself. */
        if (told.locked_by == GATE_GUESS_NONE)
            through++;
        else
            refused++;
        pass(100);
        if (i % 100 == 0) {
            assert_let_in(right(rules, "203.0.113.1", "ada"));
            assert_let_in(right(rules, "2001:db8:5::1:2", "ada"));
        }
    }
    print_message("a thousand addresses: %d guesses let through, %d refused, the owner never\n", through, refused);
    assert_true(through <= 100);
    assert_locked(right(rules, "203.0.113.2", "ada"), "user"); /* at an unusual place the owner has to wait */
    gate_rules_unref(&rules);
}

/* As many as can be had without ever reaching a limit: what the numbers let somebody do who knows them. The owner's
 * mail client polls from `home` all the while. */
static int patient_week(struct gate_rules *rules, const char *const *peers, int peer_count, const char *home)
{
    double pair[64] = {0}, all = 0;
    int through = 0;

    for (uint64_t minute = 0; minute < 7 * 24 * 60; minute++) {
        double decay = pow(2, -1.0 / (24 * 60));

        all *= decay;
        for (int i = 0; i < peer_count; i++) {
            pair[i] *= decay;
            if (guess_is_over(pair[i] + 1, 10) || guess_is_over(all + 1, 100)) /* the defaults */
                continue;
            many_wrong(rules, peers[i], "ada", 1);
            pair[i]++;
            all++;
            through++;
        }
        if (minute % 5 == 0)
            assert_let_in(right(rules, home, "ada"));
        pass(MINUTE);
    }
    return through;
}

static void a_patient_week_from_one_address(void **state)
{
    struct gate_rules *rules = guessing("");
    const char *const peers[] = {"198.51.100.1"};
    int through;

    (void)state;
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    through = patient_week(rules, peers, 1, "203.0.113.1");
    print_message("one patient address: %d guesses in a week, none refused\n", through);
    assert_true(through <= 10 * (1 + 7 * 0.6932));
    assert_let_in(right(rules, "198.51.100.1", "ada")); /* under the limits, as was said */
    gate_rules_unref(&rules);
}

static void a_patient_week_from_sixty_addresses(void **state)
{
    struct gate_rules *rules = guessing("");
    const char *peers[60];
    char texts[60][32];
    int through;

    (void)state;
    for (int i = 0; i < 60; i++) {
        snprintf(texts[i], sizeof texts[i], "198.51.100.%d", i + 1);
        peers[i] = texts[i];
    }
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    through = patient_week(rules, peers, 60, "203.0.113.1");
    print_message("sixty patient addresses: %d guesses in a week, none refused\n", through);
    assert_true(through <= 100 * (1 + 7 * 0.6932));
    gate_rules_unref(&rules);
}

/* Behind one NAT with the owner, whose logins there excuse nobody else's failures. */
static void a_patient_week_behind_the_owners_own_address(void **state)
{
    struct gate_rules *rules = guessing("");
    const char *const peers[] = {"203.0.113.1"};
    int through;

    (void)state;
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    through = patient_week(rules, peers, 1, "203.0.113.1");
    print_message("one patient neighbour of the owner: %d guesses in a week, none refused\n", through);
    assert_true(through <= 10 * (1 + 7 * 0.6932));
    gate_rules_unref(&rules);
}

/* Four guesses for each login of the owner's. At the limit he is locked out there as well, but nowhere else. */
static void an_impatient_week_behind_the_owners_own_address(void **state)
{
    struct gate_rules *rules = guessing("");
    int through = 0, refused = 0;

    (void)state;
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    assert_let_in(right(rules, "203.0.113.2", "ada"));
    for (int minute = 0; minute < 7 * 24 * 60; minute++) {
        char secret[32];

        snprintf(secret, sizeof secret, "guess %d", minute);
        if (wrong(rules, "203.0.113.1", "ada", secret).locked_by == GATE_GUESS_NONE)
            through++;
        else
            refused++;
        if (minute % 4 == 3)
            assert_locked(right(rules, "203.0.113.1", "ada"), minute < 10 ? "none" : "address_user");
        if (minute % 60 == 0)
            assert_let_in(right(rules, "203.0.113.2", "ada"));
        pass(MINUTE);
    }
    print_message("one impatient neighbour of the owner: %d guesses let through, %d refused\n", through, refused);
    assert_true(through <= 10);
    pass(HOUR);
    assert_locked(right(rules, "203.0.113.1", "ada"), "address_user"); /* decays first */
    pass(DAY);                                                         /* a half-life, however long the attack was */
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    gate_rules_unref(&rules);
}

/* A hundred thousand tries from everywhere: the owner waits a day to be let in at a new place, and not a fortnight. */
static void a_flood_is_forgotten_in_a_day(void **state)
{
    struct gate_rules *rules = guessing("");
    char peer[24], secret[32];

    (void)state;
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    for (int i = 0; i < 100000; i++) {
        snprintf(peer, sizeof peer, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        snprintf(secret, sizeof secret, "guess %d", i);
        wrong(rules, peer, "ada", secret);
    }
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    assert_locked(right(rules, "198.51.100.1", "ada"), "user");
    pass(DAY + HOUR);
    assert_let_in(right(rules, "198.51.100.1", "ada"));
    gate_rules_unref(&rules);
}

/* Nor does it help where the owner is new: until the place is known, nothing is forgotten there. */
static void guessing_between_doubtful_logins(void **state)
{
    struct gate_rules *rules = guessing("");
    int through = 0;

    (void)state;
    for (int i = 0; i < 60; i++) {
        char secret[32];

        snprintf(secret, sizeof secret, "guess %d", i);
        through += wrong(rules, "203.0.113.1", "ada", secret).locked_by == GATE_GUESS_NONE;
        if (i >= 5)
            right(rules, "203.0.113.1", "ada");
    }
    assert_int_equal(through, 9);
    gate_rules_unref(&rules);
}

/* A month of an owner who mistypes four times a day, each time otherwise, and of a phone that still has the password
 * of last year and tries it every ten minutes. */
static void who_mistypes_at_home_is_never_locked_out(void **state)
{
    struct gate_rules *rules = guessing("");

    (void)state;
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    many_wrong(rules, "203.0.113.1", "ada", 9);
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    pass(7 * DAY);
    for (int minute = 0; minute < 30 * 24 * 60; minute += 10) {
        wrong(rules, "203.0.113.1", "ada", "the password of last year");
        if (minute % (6 * 60) == 0)
            many_wrong(rules, "203.0.113.1", "ada", 1);
        assert_let_in(right(rules, "203.0.113.1", "ada"));
        pass(10 * MINUTE);
    }
    gate_rules_unref(&rules);
}

/* Who does not know the limits gets less: what is tried while locked keeps it locked. */
static void an_impatient_week(void **state)
{
    struct gate_rules *rules = guessing("");
    int through = 0, refused = 0;

    (void)state;
    for (int minute = 0; minute < 7 * 24 * 60; minute++) {
        char secret[32];

        snprintf(secret, sizeof secret, "guess %d", minute);
        if (wrong(rules, "198.51.100.1", "ada", secret).locked_by == GATE_GUESS_NONE)
            through++;
        else
            refused++;
        pass(MINUTE);
    }
    print_message("one impatient address: %d guesses let through, %d refused\n", through, refused);
    assert_true(through <= 10);
    gate_rules_unref(&rules);
}

static void one_password_over_a_thousand_accounts(void **state)
{
    struct gate_rules *rules = guessing("suspect_users = 10");
    int through = 0, suspicions = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        char user[16];
        struct told told;

        snprintf(user, sizeof user, "user%d", i);
        told = wrong(rules, "198.51.100.1", user, "Winter2026!");
        through += told.locked_by == GATE_GUESS_NONE;
        suspicions += told.kinds[0] != '\0';
        if (i == 8)
            assert_string_equal(told.kinds, "");
        if (i == 9 || i == 19)
            assert_string_equal(told.kinds, "one_password_many_users ");
    }
    print_message("one password over a thousand accounts: %d let through, told %d times\n", through, suspicions);
    assert_true(through < 50);
    assert_int_equal(suspicions, 7); /* 10, 20, 40 ... 640 */
    gate_rules_unref(&rules);
}

/* ---- suspicions ---- */

static void one_user_from_many_prefixes(void **state)
{
    struct gate_rules *rules = guessing("suspect_prefixes = 4\nsuspect_within = '1h'");
    int64_t before = metrics_get(METRIC_SUSPECTS_ONE_USER);

    (void)state;
    wrong(rules, "198.51.100.1", "ada", "same");
    wrong(rules, "198.51.100.2", "ada", "same");
    wrong(rules, "198.51.100.3", "ada", "same");
    assert_string_equal(wrong(rules, "198.51.100.3", "ada", "other").kinds, "");
    assert_string_equal(wrong(rules, "198.51.100.4", "ada", "same").kinds, "one_user_many_prefixes ");
    assert_string_equal(wrong(rules, "198.51.100.4", "ada", "more").kinds, "");
    assert_int_equal(metrics_get(METRIC_SUSPECTS_ONE_USER) - before, 1);
    gate_rules_unref(&rules);
}

/* With a stolen password nothing fails. */
static void one_user_let_in_from_many_places(void **state)
{
    struct gate_rules *rules = guessing("suspect_prefixes = 4\nsuspect_within = '1h'");

    (void)state;
    for (int round = 0; round < 2; round++) { /* known the second time */
        assert_string_equal(right(rules, "198.51.100.1", "ada").kinds, "");
        assert_string_equal(right(rules, "198.51.100.2", "ada").kinds, "");
        assert_string_equal(right(rules, "198.51.100.2", "ada").kinds, "");
        assert_string_equal(right(rules, "198.51.100.3", "ada").kinds, "");
        pass(2 * HOUR);
    }
    right(rules, "198.51.100.4", "ada");
    right(rules, "198.51.100.5", "ada");
    right(rules, "10.1.2.3", "ada"); /* trusted */
    assert_string_equal(right(rules, "198.51.100.6", "ada").kinds, "");
    assert_string_equal(right(rules, "198.51.100.7", "ada").kinds, "one_user_many_prefixes ");
    assert_let_in(right(rules, "198.51.100.8", "ada"));
    gate_rules_unref(&rules);
}

static void a_success_after_failures(void **state)
{
    struct gate_rules *rules = guessing("suspect_failures = 3\naddress_user_limit = 10");
    struct told told;

    (void)state;
    many_wrong(rules, "198.51.100.1", "ada", 4);
    told = right(rules, "198.51.100.1", "ada");
    assert_let_in(told);
    assert_string_equal(told.kinds, "success_after_failures ");
    told = right(rules, "198.51.100.1", "ada"); /* told once, and still no usual place */
    assert_string_equal(told.kinds, "");
    assert_false(told.is_known);
    pass(DAY + 1);
    right(rules, "198.51.100.1", "ada");
    assert_true(right(rules, "198.51.100.1", "ada").is_known);
    many_wrong(rules, "198.51.100.1", "ada", 4); /* at a usual place people mistype */
    assert_string_equal(right(rules, "198.51.100.1", "ada").kinds, "");
    gate_rules_unref(&rules);
}

static void failures_elsewhere_hold_nobody(void **state)
{
    struct gate_rules *rules = guessing("suspect_failures = 3\nhold = true");

    (void)state;
    many_wrong(rules, "198.51.100.1", "ada", 9);
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    gate_rules_unref(&rules);
}

static void on_held(void *ctx, bool is_held) { *(bool *)ctx = is_held; }

static bool is_held(struct gate_rules *rules, const char *user)
{
    bool held = false;

    gate_guess_is_held(rules, test_loop, user, on_held, &held);
    return held;
}

static void on_changed(void *ctx, const struct gate_guess_change *change)
{
    assert_true(change->is_complete && !change->is_local);
    *(size_t *)ctx = change->changed;
}

static size_t unlock(struct gate_rules *rules, const char *who)
{
    size_t changed = SIZE_MAX;

    gate_guess_unlock(rules, test_loop, who, on_changed, &changed);
    assert_true(changed != SIZE_MAX);
    return changed;
}

static void a_guess_that_came_right_holds_the_user(void **state)
{
    struct gate_rules *rules = guessing("suspect_failures = 3\nhold = true");

    (void)state;
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    many_wrong(rules, "198.51.100.1", "ada", 4);
    assert_locked(right(rules, "198.51.100.1", "ada"), "held");
    assert_true(is_held(rules, "ada"));
    assert_locked(right(rules, "203.0.113.1", "ada"), "held"); /* the password is known to somebody else */
    pass(365 * DAY);
    assert_true(is_held(rules, "Ada"));
    assert_true(unlock(rules, "ada") > 0);
    assert_let_in(right(rules, "203.0.113.1", "ada"));
    gate_rules_unref(&rules);
}

/* A right guess that is judged between the doubt and the hold would be let in: there is no between. */
static void doubt_and_hold_are_one_step(void **state)
{
    struct gate_rules *rules = guessing("suspect_failures = 3\nhold = true");
    int64_t before;

    (void)state;
    many_wrong(rules, "198.51.100.1", "ada", 4);
    before = metrics_get(METRIC_TALLY_CALLS_MEMORY);
    assert_locked(right(rules, "198.51.100.1", "ada"), "held");
    assert_int_equal(metrics_get(METRIC_TALLY_CALLS_MEMORY) - before, 2); /* the judgement, and both marks */
    gate_rules_unref(&rules);
}

/* ---- the operator ---- */

struct shown {
    char text[1024];
};

static void on_shown(void *ctx, const struct gate_guess_list *list)
{
    struct shown *shown = ctx;

    assert_true(list->is_complete);
    for (size_t i = 0; i < list->count; i++) {
        const struct gate_guess_entry *entry = &list->entries[i];
        size_t used = strlen(shown->text);

        snprintf(shown->text + used, sizeof shown->text - used, "%s %s %s %.0f\n", entry->what,
                 entry->user ? entry->user : "-", entry->prefix ? entry->prefix : "-", entry->value);
    }
}

static struct shown show(struct gate_rules *rules, const char *who)
{
    struct shown shown = {""};

    gate_guess_show(rules, test_loop, who, on_shown, &shown);
    return shown;
}

static void showing_and_unlocking(void **state)
{
    struct gate_rules *rules = guessing("address_user_limit = 3\naddress_limit = 4");

    (void)state;
    right(rules, "203.0.113.1", "ada");
    many_wrong(rules, "198.51.100.1", "ada", 3);
    assert_string_equal(show(rules, "ADA").text, "failures ada - 3\nprefixes ada - 2\nfailures ada 198.51.100.1/32 3\n"
                                                 "locked ada 198.51.100.1/32 0\nknown ada 203.0.113.1/32 0\n");
    assert_string_equal(show(rules, "198.51.100.1").text,
                        "failures - 198.51.100.1/32 3\nfailures ada 198.51.100.1/32 3\nlocked ada 198.51.100.1/32 0\n");
    assert_string_equal(show(rules, NULL).text, "locked ada 198.51.100.1/32 0\n");
    assert_string_equal(show(rules, "nobody").text, "");
    assert_int_equal(unlock(rules, "nobody"), 0);
    assert_true(unlock(rules, "198.51.100.1/32") > 0);
    assert_let_in(right(rules, "198.51.100.1", "ada"));
    assert_string_equal(show(rules, "203.0.113.1").text, "known ada 203.0.113.1/32 0\n");
    wrong(rules, "198.51.100.2", "ada", "old password");
    unlock(rules, "ada");
    assert_int_equal(wrong(rules, "198.51.100.2", "ada", "old password").failures,
                     1); /* that it was tried is forgotten */
    gate_rules_unref(&rules);
}

/* More users were tried from it than are ever listed, and others from elsewhere. */
static void an_address_is_found_among_many(void **state)
{
    struct gate_rules *rules = guessing("address_user_limit = 3\naddress_limit = 0");
    char peer[32], user[16];

    (void)state;
    for (int i = 0; i < 500; i++) {
        snprintf(peer, sizeof peer, "198.18.%d.%d", i / 250, i % 250);
        wrong(rules, peer, "ada", "old password");
    }
    for (int i = 0; i < 10500; i++) {
        snprintf(user, sizeof user, "user%d", i);
        wrong(rules, "203.0.113.1", user, "Winter2026!");
    }
    many_wrong(rules, "203.0.113.1", "bob", 3);
    many_wrong(rules, "203.0.113.11", "bob", 3);
    assert_locked(right(rules, "203.0.113.1", "bob"), "address_user");
    assert_int_equal(unlock(rules, "203.0.113.1"),
                     1 + 10500 + 2); /* the address, the users there; bob is locked, too */
    assert_let_in(right(rules, "203.0.113.1", "bob"));
    assert_locked(right(rules, "203.0.113.11", "bob"), "address_user");
    assert_true(unlock(rules, "ada") > 500);
    assert_string_equal(show(rules, "ada").text, "");
    gate_rules_unref(&rules);
}

static size_t block(struct gate_rules *rules, const char *who, uint64_t for_ms)
{
    size_t changed = SIZE_MAX;

    gate_guess_block(rules, test_loop, who, for_ms, on_changed, &changed);
    return changed;
}

static enum gate_guess_rule welcome(struct gate_rules *rules, const char *peer)
{
    struct ip ip = ip_of(peer);
    struct told told = {0};

    assert_null(gate_guess_welcome(rules, test_loop, &ip, on_told, &told));
    return told.locked_by;
}

static void blocking(void **state)
{
    struct gate_rules *rules = guessing("refuse_before_tls = true\naddress_limit = 3");

    (void)state;
    assert_true(gate_guess_refuses_before_tls(rules));
    right(rules, "198.51.100.1", "ada");
    assert_int_equal(block(rules, "198.51.100.1", HOUR), 1);
    assert_locked(right(rules, "198.51.100.1", "ada"), "blocked"); /* the operator's word is above what is usual */
    assert_int_equal(welcome(rules, "198.51.100.1"), GATE_GUESS_BLOCKED);
    assert_int_equal(welcome(rules, "198.51.100.2"), GATE_GUESS_NONE);
    assert_int_equal(block(rules, "bob", 0), 1);
    assert_true(is_held(rules, "bob"));
    pass(HOUR + 1);
    assert_let_in(right(rules, "198.51.100.1", "ada"));
    many_wrong(rules, "198.51.100.3", "ada", 3);
    assert_int_equal(welcome(rules, "198.51.100.3"), GATE_GUESS_ADDRESS);
    many_wrong(rules, "198.51.100.1", "bob", 3);
    assert_int_equal(welcome(rules, "198.51.100.1"), GATE_GUESS_NONE); /* it may be ada, who is at home there */
    pass(30 * 24 * HOUR);
    many_wrong(rules, "198.51.100.1", "bob", 3);
    assert_int_equal(welcome(rules, "198.51.100.1"), GATE_GUESS_ADDRESS); /* and is not any more */
    assert_int_equal(block(rules, "10.1.2.3", HOUR), 1);
    assert_int_equal(welcome(rules, "10.1.2.3"), GATE_GUESS_NONE); /* trusted: never */
    assert_int_equal(block(rules, "", HOUR), 0);
    gate_rules_unref(&rules);
}

static void on_explained(void *ctx, const struct gate_guess_explanation *explanation)
{
    struct shown *shown = ctx;

    for (size_t i = 0; i < explanation->count; i++) {
        const struct gate_guess_fact *fact = &explanation->facts[i];
        size_t used = strlen(shown->text);

        snprintf(shown->text + used, sizeof shown->text - used, "%s %.0f/%.0f%s%s\n", fact->rule, fact->value,
                 fact->limit, fact->applies ? " applies" : "", fact->is_decisive ? " decides" : "");
    }
}

static struct shown explain(struct gate_rules *rules, const char *peer, const char *user)
{
    struct ip ip = ip_of(peer);
    struct shown shown = {""};

    gate_guess_explain(rules, test_loop, &ip, user, on_explained, &shown);
    return shown;
}

static void explaining(void **state)
{
    struct gate_rules *rules = guessing("address_user_limit = 3");

    (void)state;
    many_wrong(rules, "198.51.100.1", "ada", 3);
    assert_string_equal(explain(rules, "198.51.100.1", "ada").text,
                        "held 0/0\ntrusted 0/0\nblocked 0/0\naddress_user 3/3 applies decides\nknown 0/0\n"
                        "address 3/50\nuser 3/100\n");
    right(rules, "203.0.113.1", "ada");
    assert_string_equal(explain(rules, "203.0.113.1", "ada").text,
                        "held 0/0\ntrusted 0/0\nblocked 0/0\naddress_user 0/3\nknown 0/0 applies decides\n"
                        "address 0/50\nuser 3/100\n");
    assert_string_equal(explain(rules, "10.1.1.1", "ada").text, "held 0/0\ntrusted 0/0 applies decides\nuser 3/100\n");
    assert_string_equal(explain(rules, "198.51.100.9", NULL).text, "trusted 0/0\nblocked 0/0\naddress 0/50\n");
    gate_rules_unref(&rules);
}

/* ---- a right password that is locked ---- */

static struct attempt log_in_locked(struct gate_rules *rules, const char *password, bool is_locked)
{
    struct attempt attempt = {.question = password_question("ada", password), .facts.is_locked = is_locked};

    attempt_begin(&attempt, rules, "192.0.2.1");
    attempt_wait(&attempt);
    attempt_forget(&attempt);
    return attempt;
}

/* It was right a moment ago, so that it would need no verification: it has one all the same. */
static void locked_is_as_much_work_as_wrong(void **state)
{
    char *stored = hash_of(PASSWORD_ARGON2ID, "tiger");
    char *toml = mem_printf("[user.ada]\npassword = '%s'\n", stored);
    struct gate_rules *rules = rules_of(toml);
    struct attempt attempt;

    (void)state;
    assert_reason(log_in_locked(rules, "tiger", false).reason, OK);
    attempt = log_in_locked(rules, "tiger", false);
    assert_reason(attempt.reason, OK);
    assert_true(attempt.was_immediate);
    attempt = log_in_locked(rules, "tiger", true);
    assert_reason(attempt.reason, LOCKED);
    assert_false(attempt.was_immediate);
    attempt = log_in_locked(rules, "lion", true);
    assert_reason(attempt.reason, BAD_PASSWORD);
    assert_false(attempt.was_immediate);
    gate_rules_unref(&rules);
    free(toml);
    free(stored);
}

/* ---- settings ---- */

static void assert_fault(const char *toml, const char *sentence)
{
    struct error error = {0};
    struct gate_rules *rules = try_rules(toml, &error);

    assert_null(rules);
    if (!strstr(error.sentence, sentence))
        fail_msg("\"%s\" does not say \"%s\"", error.sentence, sentence);
}

static void settings_that_are_wrong(void **state)
{
    (void)state;
    assert_fault("[user.a]\npassword='x'\n[guessing]\ntrusted = ['here']\n", ":4: guessing.trusted: \"here\"");
    assert_fault("[user.a]\npassword='x'\n[guessing]\nprefix_v4 = 33\n", "guessing.prefix_v4");
    assert_fault("[user.a]\npassword='x'\n[guessing]\nhalf_live = '1d'\n", "half_live");
    assert_fault("[user.a]\npassword='x'\n[guessing.webhook]\nurl = 'ftp://x/'\n", "guessing.webhook.url");
    assert_fault("[user.a]\npassword='x'\n[shared]\nredis = '127.0.0.1:6379'\n", "shared.secret");
    assert_fault("[user.a]\npassword='x'\n[shared]\nsecret = 'short'\n", "16 characters");
    assert_fault("[user.a]\npassword='x'\n[shared]\nsecret = 'long enough as it is'\nredis = 'nowhere'\n", "shared");
}

static void loopback_is_trusted_unless_said(void **state)
{
    struct gate_rules *rules = rules_of("[user.ada]\npassword = 'x'\n");

    (void)state;
    many_wrong(rules, "127.0.0.1", "ada", 50);
    assert_let_in(right(rules, "127.0.0.1", "ada"));
    gate_rules_unref(&rules);
    rules = rules_of("[user.ada]\npassword = 'x'\n[guessing]\ntrusted = []\n");
    many_wrong(rules, "127.0.0.1", "ada", 50);
    assert_locked(right(rules, "127.0.0.1", "ada"), "address_user");
    gate_rules_unref(&rules);
}

#define COUNTED(test) cmocka_unit_test_setup_teardown(test, start_counting, stop_counting)

int main(void)
{
    const struct CMUnitTest tests[] = {
        COUNTED(prefix_and_user),
        COUNTED(one_address_and_many_users),
        COUNTED(the_same_wrong_password_counts_once),
        COUNTED(the_same_wrong_password_counts_again_in_time),
        COUNTED(two_wrong_passwords_in_turn_count_twice),
        COUNTED(others_failures_delay_nobody_at_home),
        COUNTED(proofs_count_each),
        COUNTED(a_name_in_capitals_is_the_same_user),
        COUNTED(addresses_of_one_network_are_one),
        COUNTED(networks_are_as_wide_as_said),
        COUNTED(trusted_networks_are_never_locked),
        COUNTED(off_means_off),
        COUNTED(nobody_in_particular),
        COUNTED(a_thousand_addresses_on_one_account),
        COUNTED(a_patient_week_from_one_address),
        COUNTED(a_patient_week_from_sixty_addresses),
        COUNTED(a_patient_week_behind_the_owners_own_address),
        COUNTED(an_impatient_week_behind_the_owners_own_address),
        COUNTED(a_flood_is_forgotten_in_a_day),
        COUNTED(guessing_between_doubtful_logins),
        COUNTED(who_mistypes_at_home_is_never_locked_out),
        COUNTED(an_impatient_week),
        COUNTED(one_password_over_a_thousand_accounts),
        COUNTED(one_user_from_many_prefixes),
        COUNTED(one_user_let_in_from_many_places),
        COUNTED(a_success_after_failures),
        COUNTED(failures_elsewhere_hold_nobody),
        COUNTED(a_guess_that_came_right_holds_the_user),
        COUNTED(doubt_and_hold_are_one_step),
        COUNTED(showing_and_unlocking),
        COUNTED(an_address_is_found_among_many),
        COUNTED(blocking),
        COUNTED(explaining),
        COUNTED(locked_is_as_much_work_as_wrong),
        COUNTED(settings_that_are_wrong),
        COUNTED(loopback_is_trusted_unless_said),
    };

    return cmocka_run_group_tests(tests, start_with_clock, stop_with_clock);
}
