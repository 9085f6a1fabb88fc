/* SPDX-License-Identifier: Apache-2.0
 *
 * Budgets: which limits apply to whom, what is taken and given back, and what an hour does to it.
 */
#include <time.h>

#include "base/clock.h"
#include "gate/budget_private.h"
#include "gate/identity.h"
#include "harness.h"
#include "tally/tally.h"

#define HOUR_US (3600 * UINT64_C(1000000))

static uint64_t now_us = 1000 * HOUR_US;

static uint64_t fake_mono_us(void) { return now_us; }
static int64_t fake_wall_us(void) { return (int64_t)now_us; }
static const struct clock_source fake = {.mono_us = fake_mono_us, .wall_us = fake_wall_us};

static int begin(void **state)
{
    struct error error;

    (void)state;
    clock_inject(&fake);
    return tally_start(&error);
}

static int end(void **state)
{
    (void)state;
    tally_stop();
    clock_inject(NULL);
    return 0;
}

/* ---- helpers ---- */

static struct gate_budgets *budgets_of(const char *toml)
{
    struct error error = {0};
    struct settings *root = settings_parse_toml(toml, "test.toml", &error);
    struct gate_budgets *budgets;

    assert_non_null(root);
    budgets = gate_budgets_read(root);
    if (settings_end(root, &error))
        fail_msg("%s", error.sentence);
    settings_free(root);
    return budgets;
}

static struct auth_info *info_of(const char *user, const char *more)
{
    struct auth_info *info = auth_info_of_user(user, user), *with;
    json_t *json = json_loads(more, 0, NULL);

    assert_non_null(json);
    with = auth_info_with(info, json, NULL);
    assert_non_null(with);
    auth_info_unref(&info);
    json_decref(json);
    return with;
}

static struct gate_allowance *allowance_of(const char *toml, const char *user, const char *more)
{
    struct gate_rules rules = {.budgets = budgets_of(toml)};
    struct auth_info *info = info_of(user, more);
    struct gate_allowance *allowance;
    struct error error = {0};

    if (gate_allowance_new(&(struct gate_who){.rules = &rules, .info = info}, user, &allowance, &error))
        fail_msg("%s", error.sentence);
    auth_info_unref(&info);
    gate_budgets_free(rules.budgets);
    return allowance;
}

/* Of a user whose record names tenants. */
static struct gate_allowance *allowance_of_tenants(const char *toml, const char *const *tenants, size_t count)
{
    struct credential credential = {.tenants = {.texts = (char **)(uintptr_t)tenants, .count = count}};
    struct gate_login login = {.credential = &credential};
    struct gate_rules rules = {.budgets = budgets_of(toml)};
    struct auth_info *info = info_of("ada", "{}");
    struct gate_allowance *allowance;
    struct error error = {0};

    if (gate_allowance_new(&(struct gate_who){&rules, &login, info}, "ada", &allowance, &error))
        fail_msg("%s", error.sentence);
    auth_info_unref(&info);
    gate_budgets_free(rules.budgets);
    return allowance;
}

struct outcome {
    int calls;
    bool is_excess;
    enum gate_limit limit;
    bool is_never;
    uint64_t retry_ms;
};

static void on_done(void *ctx, const struct gate_excess *excess)
{
    struct outcome *outcome = ctx;

    outcome->calls++;
    outcome->is_excess = excess != NULL;
    if (excess) {
        outcome->limit = excess->limit;
        outcome->is_never = excess->is_never;
        outcome->retry_ms = excess->retry_ms;
    }
}

static struct outcome recipient(struct gate_spending *spending, const char *name)
{
    struct outcome outcome = {0};

    assert_null(gate_spend_recipient(spending, test_loop, name, on_done, &outcome));
    assert_int_equal(outcome.calls, 1);
    return outcome;
}

static struct outcome message_of(struct gate_spending *spending, const char *tenant, uint64_t bytes)
{
    struct outcome outcome = {0};

    assert_null(gate_spend_message(spending, test_loop, bytes, tenant, on_done, &outcome));
    assert_int_equal(outcome.calls, 1);
    return outcome;
}

static struct outcome message(struct gate_spending *spending, uint64_t bytes)
{
    return message_of(spending, NULL, bytes);
}

static struct outcome attempt_mail(struct gate_allowance *allowance, uint64_t bytes)
{
    struct outcome outcome = {0};

    assert_null(gate_spend_try(allowance, test_loop, bytes, on_done, &outcome));
    return outcome;
}

static double shown[GATE_LIMIT_COUNT];

/* `ctx`: whose; NULL: anybody's. */
static void on_uses(void *ctx, const struct gate_uses *uses, const struct error *error)
{
    assert_null(error);
    for (size_t i = 0; i < uses->count; i++)
        if (!ctx || strcmp(uses->list[i].subject, ctx) == 0)
            shown[uses->list[i].limit] = uses->list[i].used;
}

static double used_of(struct gate_allowance *allowance, const char *subject, enum gate_limit limit)
{
    shown[limit] = -1;
    gate_allowance_show(allowance, test_loop, on_uses, (char *)(uintptr_t)subject);
    return shown[limit];
}

static double used(struct gate_allowance *allowance, enum gate_limit limit) { return used_of(allowance, NULL, limit); }

#define assert_near(value, expected) assert_true((value) > (expected)-0.001 && (value) < (expected) + 0.001)

/* ---- whom what applies to ---- */

static const char *const house = "[budget.each]\nmessages_per_hour = 10\nsessions = 3\n"
                                 "[budget.red]\nper = 'tenant'\ntenants = ['red']\nmessages_per_day = 100\n"
                                 "[budget.teams]\nper = 'group'\ngroups = ['a', 'b']\nbytes_per_day = 1000\n"
                                 "[budget.house]\nper = 'all'\nrecipients_per_day = 5\n";

static void describe(const struct gate_allowance *allowance, char *out, size_t size)
{
    size_t len = 0;

    *out = '\0';
    for (size_t i = 0; allowance && i < allowance->count; i++) {
        const struct budget_limit *limit = &allowance->limits[i];

        len += (size_t)snprintf(out + len, size - len, "%s%s(%s) %s=%g", i ? ", " : "", limit->budget, limit->subject,
                                gate_limit_name(limit->kind), limit->most);
    }
}

static void test_what_applies(void **state)
{
    static const struct {
        const char *more, *expected;
    } cases[] = {
        {"{}", "each(ada) messages_per_hour=10, each(ada) sessions=3, house() recipients_per_day=5"},
        {"{\"tenant\": \"red\"}", "each(ada) messages_per_hour=10, each(ada) sessions=3, red(red) "
                                  "messages_per_day=100, house() recipients_per_day=5"},
        {"{\"tenant\": \"blue\", \"groups\": [\"b\", \"z\", \"a\"]}",
         "each(ada) messages_per_hour=10, each(ada) sessions=3, teams(b) bytes_per_day=1000, teams(a) "
         "bytes_per_day=1000, house() recipients_per_day=5"},
        {"{\"limits\": {\"messages_per_hour\": 2, \"sessions\": \"unlimited\"}}",
         "house() recipients_per_day=5, own(ada) messages_per_hour=2"},
    };
    char text[1024];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gate_allowance *allowance = allowance_of(house, "ada", cases[i].more);

        describe(allowance, text, sizeof text);
        assert_string_equal(text, cases[i].expected);
        gate_allowance_unref(&allowance);
    }
    assert_null(allowance_of("", "ada", "{}"));
    assert_null(allowance_of("[budget.b]\ngroups = ['x']\nsessions = 1\n", "ada", "{}"));
}

/* A store that takes a name in any spelling lets one user in under many. */
static void test_capitals_open_no_budget_anew(void **state)
{
    static const char *const names[] = {"cid", "CID", "Cid"};
    static const char *const toml = "[budget.b]\nmessages_per_day = 3\n";

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct gate_allowance *allowance = allowance_of(toml, names[i], "{\"limits\": {\"bytes_per_day\": 300}}");
        struct gate_spending *spending = gate_spending_new(allowance);

        assert_false(message(spending, 100).is_excess);
        assert_near(used(allowance, GATE_LIMIT_MESSAGES_PER_DAY), (double)i + 1);
        assert_near(used(allowance, GATE_LIMIT_BYTES_PER_DAY), 100 * ((double)i + 1));
        gate_spending_end(&spending, true);
        gate_allowance_unref(&allowance);
    }
}

static void test_limits_that_make_no_sense(void **state)
{
    static const char *const cases[] = {
        "{\"limits\": {\"messages\": 1}}",
        "{\"limits\": {\"messages_per_day\": \"1\"}}",
        "{\"limits\": {\"messages_per_day\": 0}}",
        "{\"limits\": {\"messages_per_day\": -1}}",
        "{\"limits\": {\"messages_per_day\": 1.5}}",
        "{\"limits\": {\"messages_per_day\": 1e300}}",
        "{\"limits\": {\"messages_per_day\": null}}",
        "{\"limits\": {\"sessions\": 4097}}",
        "{\"limits\": {\"invalid_recipients\": 0}}",
        "{\"limits\": {\"invalid_recipients\": 1.01}}",
        "{\"limits\": {\"invalid_recipients_least\": \"unlimited\"}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct auth_info *info = info_of("ada", cases[i]);
        struct gate_allowance *allowance = NULL;
        struct error error = {0};

        assert_int_equal(gate_allowance_new(&(struct gate_who){.info = info}, "ada", &allowance, &error), -1);
        assert_true(strncmp(error.sentence, "limits: ", 8) == 0);
        auth_info_unref(&info);
    }
}

/* What cannot be asked in one step is refused: leaving some out would let them be exceeded. */
static void test_too_many_budgets(void **state)
{
    struct gate_rules rules = {.budgets = budgets_of("[budget.g]\nper = 'group'\nmessages_per_day = 1\n")};
    struct auth_info *info;
    struct gate_allowance *allowance = NULL;
    struct error error = {0};
    json_t *groups = json_array();
    char *more;

    (void)state;
    for (int i = 0; i < 17; i++)
        json_array_append_new(groups, json_sprintf("g%d", i));
    groups = json_pack("{s:o}", "groups", groups);
    more = json_dumps(groups, 0);
    info = info_of("ada", more);
    assert_int_equal(gate_allowance_new(&(struct gate_who){.rules = &rules, .info = info}, "ada", &allowance, &error),
                     -1);
    assert_string_equal(error.sentence, "more budgets apply than can be asked at once");
    auth_info_unref(&info);
    free(more);
    json_decref(groups);
    gate_budgets_free(rules.budgets);
}

/* ---- taking and giving back ---- */

static void test_taking_is_all_or_nothing(void **state)
{
    struct gate_allowance *allowance =
        allowance_of("[budget.b]\nmessages_per_hour = 5\nmessages_per_day = 2\nbytes_per_day = 100\n", "ada", "{}");
    struct gate_spending *spending = gate_spending_new(allowance);
    struct outcome outcome;

    (void)state;
    assert_false(message(spending, 40).is_excess);
    assert_false(message(spending, 60).is_excess);
    outcome = message(spending, 1);
    assert_true(outcome.is_excess && outcome.limit == GATE_LIMIT_MESSAGES_PER_DAY && !outcome.is_never);
    assert_true(outcome.retry_ms > 0 && outcome.retry_ms <= 2 * BUDGET_DAY_MS);
    assert_near(used(allowance, GATE_LIMIT_MESSAGES_PER_HOUR), 2); /* not taken either */
    assert_near(used(allowance, GATE_LIMIT_BYTES_PER_DAY), 100);
    gate_spending_end(&spending, false);
    assert_near(used(allowance, GATE_LIMIT_MESSAGES_PER_DAY), 0);
    assert_near(used(allowance, GATE_LIMIT_BYTES_PER_DAY), 0);
    outcome = attempt_mail(allowance, 101);
    assert_true(outcome.is_excess && outcome.is_never && outcome.limit == GATE_LIMIT_BYTES_PER_DAY);
    assert_false(attempt_mail(allowance, 100).is_excess);
    assert_near(used(allowance, GATE_LIMIT_BYTES_PER_DAY), 0); /* trying takes nothing */
    gate_allowance_unref(&allowance);
}

static void test_an_hour_later(void **state)
{
    struct gate_allowance *allowance = allowance_of("[budget.b]\nrecipients_per_hour = 4\n", "ada", "{}");
    struct gate_spending *spending = gate_spending_new(allowance);

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_false(recipient(spending, "x@y").is_excess);
    assert_true(recipient(spending, "x@y").is_excess);
    gate_spending_end(&spending, true);
    now_us += HOUR_US + HOUR_US / 2; /* half of them lie an hour back by now */
    assert_near(used(allowance, GATE_LIMIT_RECIPIENTS_PER_HOUR), 2);
    spending = gate_spending_new(allowance);
    assert_false(recipient(spending, "x@y").is_excess);
    assert_false(recipient(spending, "x@y").is_excess);
    assert_true(recipient(spending, "x@y").is_excess);
    gate_spending_end(&spending, true);
    gate_allowance_unref(&allowance);
}

static void test_new_recipients(void **state)
{
    struct gate_allowance *allowance = allowance_of("[budget.b]\nnew_recipients_per_day = 2\n", "ada", "{}");
    struct gate_spending *one = gate_spending_new(allowance), *other = gate_spending_new(allowance);

    (void)state;
    assert_false(recipient(one, "a@y").is_excess);
    assert_false(recipient(other, "a@y").is_excess); /* nobody knows it yet */
    assert_true(recipient(other, "b@y").is_excess);
    gate_spending_end(&one, true);
    gate_spending_end(&other, false);
    assert_near(used(allowance, GATE_LIMIT_NEW_RECIPIENTS_PER_DAY), 1);
    one = gate_spending_new(allowance);
    assert_false(recipient(one, "A@Y").is_excess);
    assert_near(used(allowance, GATE_LIMIT_NEW_RECIPIENTS_PER_DAY), 1);
    assert_false(recipient(one, "b@y").is_excess);
    assert_true(recipient(one, "c@y").is_excess);
    gate_spending_end(&one, true);
    now_us += 91 * 24 * HOUR_US; /* forgotten */
    one = gate_spending_new(allowance);
    assert_false(recipient(one, "a@y").is_excess);
    assert_near(used(allowance, GATE_LIMIT_NEW_RECIPIENTS_PER_DAY), 1);
    gate_spending_end(&one, false);
    gate_allowance_unref(&allowance);
}

/* More of them than one call of the tally has room for. */
static void test_many_new_recipients_become_known(void **state)
{
    struct gate_allowance *allowance = allowance_of("[budget.b]\nnew_recipients_per_day = 100\n", "ada", "{}");
    struct gate_spending *spending = gate_spending_new(allowance);
    char name[32];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "r%d@y", i);
        assert_false(recipient(spending, name).is_excess);
    }
    gate_spending_end(&spending, true);
    spending = gate_spending_new(allowance);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "r%d@y", i);
        assert_false(recipient(spending, name).is_excess);
    }
    assert_true(recipient(spending, "one more@y").is_excess);
    gate_spending_end(&spending, false);
    assert_near(used(allowance, GATE_LIMIT_NEW_RECIPIENTS_PER_DAY), 100);
    gate_allowance_unref(&allowance);
}

/* ---- tenants ---- */

static const char *const both[] = {"blue", "green"};

static struct gate_spending *to(struct gate_allowance *allowance, int recipients)
{
    struct gate_spending *spending = gate_spending_new(allowance);
    char name[32];

    for (int i = 0; i < recipients; i++) {
        snprintf(name, sizeof name, "r%d@y", i);
        assert_false(recipient(spending, name).is_excess);
    }
    return spending;
}

/* Of a user who has several, the end of the message tells which; until then nobody's budget is touched. */
static void test_a_message_is_counted_for_its_own_tenant(void **state)
{
    struct gate_allowance *allowance = allowance_of_tenants(
        "[budget.t]\nper = 'tenant'\nmessages_per_day = 3\nrecipients_per_day = 3\n"
        "[budget.g]\ntenants = ['green']\nbytes_per_day = 100\n[budget.each]\nmessages_per_hour = 9\n",
        both, 2);
    struct gate_spending *spending = to(allowance, 2);
    struct outcome outcome;

    (void)state;
    assert_near(used_of(allowance, "blue", GATE_LIMIT_RECIPIENTS_PER_DAY), 0);
    assert_false(message_of(spending, "green", 60).is_excess);
    gate_spending_end(&spending, true);
    assert_near(used_of(allowance, "green", GATE_LIMIT_RECIPIENTS_PER_DAY), 2);
    assert_near(used_of(allowance, "green", GATE_LIMIT_MESSAGES_PER_DAY), 1);
    assert_near(used_of(allowance, "blue", GATE_LIMIT_RECIPIENTS_PER_DAY), 0);
    assert_near(used_of(allowance, "blue", GATE_LIMIT_MESSAGES_PER_DAY), 0);
    assert_near(used_of(allowance, "ada", GATE_LIMIT_BYTES_PER_DAY), 60);
    spending = to(allowance, 1);
    outcome = message_of(spending, "green", 60);
    assert_true(outcome.is_excess && outcome.limit == GATE_LIMIT_BYTES_PER_DAY);
    gate_spending_end(&spending, false);
    spending = to(allowance, 2);
    outcome = message_of(spending, "green", 1);
    assert_true(outcome.is_excess && outcome.limit == GATE_LIMIT_RECIPIENTS_PER_DAY && outcome.retry_ms > 0);
    gate_spending_end(&spending, false);
    assert_near(used_of(allowance, "green", GATE_LIMIT_MESSAGES_PER_DAY), 1); /* not taken either */
    assert_near(used_of(allowance, "ada", GATE_LIMIT_MESSAGES_PER_HOUR), 1);
    spending = to(allowance, 4);
    outcome = message_of(spending, "blue", 1000);
    assert_true(outcome.is_excess && !outcome.is_never); /* in two transactions they would fit */
    gate_spending_end(&spending, false);
    spending = to(allowance, 3);
    assert_false(message_of(spending, "blue", 1000).is_excess);
    gate_spending_end(&spending, false);
    assert_near(used_of(allowance, "blue", GATE_LIMIT_RECIPIENTS_PER_DAY), 0);
    assert_near(used_of(allowance, "blue", GATE_LIMIT_MESSAGES_PER_DAY), 0);
    gate_allowance_unref(&allowance);
}

/* More of them than one call of the tally has room for; what one tenant knows is new to another. */
static void test_recipients_that_are_new_to_the_tenant(void **state)
{
    struct gate_allowance *allowance =
        allowance_of_tenants("[budget.t]\nper = 'tenant'\nnew_recipients_per_day = 100\n", both, 2);
    struct gate_spending *spending = to(allowance, 70);

    (void)state;
    assert_false(message_of(spending, "green", 1).is_excess);
    gate_spending_end(&spending, true);
    assert_near(used_of(allowance, "green", GATE_LIMIT_NEW_RECIPIENTS_PER_DAY), 70);
    spending = to(allowance, 100);
    assert_false(message_of(spending, "green", 1).is_excess); /* 30 of them are new */
    gate_spending_end(&spending, true);
    assert_near(used_of(allowance, "green", GATE_LIMIT_NEW_RECIPIENTS_PER_DAY), 100);
    spending = to(allowance, 101);
    assert_true(message_of(spending, "green", 1).is_excess);
    assert_near(used_of(allowance, "blue", GATE_LIMIT_NEW_RECIPIENTS_PER_DAY), 0);
    gate_spending_end(&spending, false);
    spending = to(allowance, 100);
    assert_false(message_of(spending, "blue", 1).is_excess);
    gate_spending_end(&spending, true);
    assert_near(used_of(allowance, "blue", GATE_LIMIT_NEW_RECIPIENTS_PER_DAY), 100);
    gate_allowance_unref(&allowance);
}

/* Who has one tenant is told at RCPT; when a reload has given him another since, his mail may be that one's after all.
 */
static void test_a_tenant_that_was_assumed_gets_back_what_was_not_for_it(void **state)
{
    struct gate_allowance *allowance = allowance_of_tenants(
        "[budget.t]\nper = 'tenant'\nmessages_per_day = 9\nrecipients_per_day = 3\nsessions = 9\n", both, 1);
    struct gate_spending *spending = to(allowance, 3);

    (void)state;
    assert_near(used(allowance, GATE_LIMIT_RECIPIENTS_PER_DAY), 3);
    assert_true(recipient(spending, "one more@y").is_excess);
    assert_false(message_of(spending, "blue", 1).is_excess);
    gate_spending_end(&spending, true);
    assert_near(used(allowance, GATE_LIMIT_RECIPIENTS_PER_DAY), 3);
    assert_near(used(allowance, GATE_LIMIT_MESSAGES_PER_DAY), 1);
    now_us += 48 * HOUR_US;
    spending = to(allowance, 2);
    assert_false(message_of(spending, "green", 1).is_excess);
    gate_spending_end(&spending, true);
    assert_near(used(allowance, GATE_LIMIT_RECIPIENTS_PER_DAY), 0);
    assert_near(used(allowance, GATE_LIMIT_MESSAGES_PER_DAY), 0);
    gate_allowance_unref(&allowance);
    allowance = allowance_of_tenants("[budget.t]\nper = 'tenant'\nrecipients_per_day = 3\n", both, 2);
    assert_near(used_of(allowance, "green", GATE_LIMIT_RECIPIENTS_PER_DAY), 2);
    gate_allowance_unref(&allowance);
}

/* Sessions are of no message: the first tenant has them. */
static void test_what_applies_to_who_has_several_tenants(void **state)
{
    struct gate_allowance *allowance =
        allowance_of_tenants("[budget.t]\nper = 'tenant'\nmessages_per_day = 3\nsessions = 2\n"
                             "[budget.g]\nper = 'all'\ntenants = ['green', 'blue']\nbytes_per_day = 5\n"
                             "[budget.red]\nper = 'tenant'\ntenants = ['red']\nmessages_per_hour = 1\n",
                             both, 2);
    struct gate_allowance *all = budget_allowance_of_all(allowance);
    char text[1024];

    (void)state;
    describe(allowance, text, sizeof text);
    assert_string_equal(text, "t(blue) sessions=2");
    describe(all, text, sizeof text);
    assert_string_equal(text, "t(blue) sessions=2, t(blue) messages_per_day=3, g() bytes_per_day=5, "
                              "t(green) messages_per_day=3");
    gate_allowance_unref(&all);
    gate_allowance_unref(&allowance);
}

/* As many as can be asked for one message, however many tenants there are. */
static void test_many_tenants_with_a_budget_each(void **state)
{
    char texts[40][8], *toml = mem_strdup(""), *longer;
    const char *tenants[40];
    struct gate_allowance *allowance;

    (void)state;
    for (int i = 0; i < 40; i++) {
        snprintf(texts[i], sizeof texts[i], "t%d", i);
        tenants[i] = texts[i];
        longer = mem_printf("%s[budget.b%d]\nper = 'tenant'\ntenants = ['t%d']\nmessages_per_day = 1\n", toml, i, i);
        free(toml);
        toml = longer;
    }
    allowance = allowance_of_tenants(toml, tenants, 40);
    for (int i = 0; i < 40; i++) {
        struct gate_spending *spending = to(allowance, 1);

        assert_false(message_of(spending, tenants[i], 1).is_excess);
        gate_spending_end(&spending, true);
        spending = to(allowance, 1);
        assert_true(message_of(spending, tenants[i], 1).is_excess);
        gate_spending_end(&spending, false);
    }
    gate_allowance_unref(&allowance);
    free(toml);
}

static struct outcome begin_session(struct gate_allowance *allowance, const char *id)
{
    struct outcome outcome = {0};

    assert_null(gate_spend_session(allowance, test_loop, id, on_done, &outcome));
    return outcome;
}

static void test_sessions(void **state)
{
    struct gate_allowance *allowance = allowance_of("[budget.b]\nsessions = 2\n", "ada", "{}");

    (void)state;
    assert_false(begin_session(allowance, "1").is_excess);
    assert_false(begin_session(allowance, "2").is_excess);
    assert_true(begin_session(allowance, "3").is_excess);
    gate_session_end(allowance, "1");
    assert_false(begin_session(allowance, "3").is_excess);
    now_us += 2 * GATE_SESSION_RENEW_MS * UINT64_C(1000);
    gate_session_renew(allowance, "3"); /* and nobody renews the other: its node has died */
    now_us += 2 * GATE_SESSION_RENEW_MS * UINT64_C(1000);
    assert_near(used(allowance, GATE_LIMIT_SESSIONS), 1);
    gate_session_end(allowance, "3");
    gate_allowance_unref(&allowance);
}

static struct outcome count_invalid(struct gate_allowance *allowance)
{
    struct outcome outcome = {0};

    assert_null(gate_spend_invalid(allowance, test_loop, on_done, &outcome));
    return outcome;
}

static void test_invalid_recipients(void **state)
{
    struct gate_allowance *allowance =
        allowance_of("[budget.b]\ninvalid_recipients = 0.25\ninvalid_recipients_least = 5\n", "ada", "{}");
    struct gate_spending *spending = gate_spending_new(allowance);
    struct outcome outcome;

    (void)state;
    for (int i = 0; i < 16; i++)
        assert_false(recipient(spending, "good@y").is_excess);
    gate_spending_end(&spending, true);
    for (int i = 0; i < 5; i++)
        assert_false(count_invalid(allowance).is_excess); /* 5 of 21 */
    outcome = count_invalid(allowance);                   /* 6 of 22 */
    assert_true(outcome.is_excess && outcome.limit == GATE_LIMIT_INVALID_RECIPIENTS && outcome.retry_ms > 0);
    assert_true(attempt_mail(allowance, 0).is_excess);
    now_us += outcome.retry_ms * 1000 + 1000000;
    assert_false(attempt_mail(allowance, 0).is_excess);
    gate_allowance_unref(&allowance);
}

/* Those that prove wrong when their message is delivered, hours later too, and by then in another process. */
static void test_recipients_that_prove_wrong_later(void **state)
{
    struct gate_allowance *allowance =
        allowance_of("[budget.a]\ninvalid_recipients = 0.5\ninvalid_recipients_least = 4\n"
                     "[budget.b]\nper = 'all'\ninvalid_recipients = 0.9\n[budget.c]\nmessages_per_day = 9\n",
                     "ada", "{}");
    struct gate_spending *spending = gate_spending_new(allowance);
    json_t *watchers = gate_allowance_watchers(allowance), *odd = json_loads("[7, [\"a\"], [1, 2], \"a\"]", 0, NULL);

    (void)state;
    assert_int_equal(json_array_size(watchers), 2);
    assert_string_equal(json_string_value(json_array_get(json_array_get(watchers, 0), 1)), "ada");
    for (int i = 0; i < 10; i++)
        assert_false(recipient(spending, "some@y").is_excess);
    gate_spending_end(&spending, true);
    gate_budget_note_invalid(NULL, 9);
    gate_budget_note_invalid(odd, 9);
    gate_budget_note_invalid(watchers, 3);
    assert_near(used(allowance, GATE_LIMIT_INVALID_RECIPIENTS), 0.3);
    assert_false(attempt_mail(allowance, 0).is_excess); /* 3 of 10, and too few */
    now_us += 5 * HOUR_US;
    gate_budget_note_invalid(watchers, 3); /* of 10 that have faded to a third of one */
    assert_near(used(allowance, GATE_LIMIT_INVALID_RECIPIENTS), 1);
    assert_false(attempt_mail(allowance, 0).is_excess); /* all of them, and too few */
    gate_budget_note_invalid(watchers, 1);
    assert_true(attempt_mail(allowance, 0).is_excess);
    gate_allowance_unref(&allowance);
    allowance = allowance_of("[budget.c]\nmessages_per_day = 9\n", "ada", "{}");
    assert_null(gate_allowance_watchers(allowance));
    gate_allowance_unref(&allowance);
    json_decref(watchers);
    json_decref(odd);
}

/* Recipients that were given up do not make the share of the refused ones smaller. */
static void test_given_up_recipients_do_not_count_as_good(void **state)
{
    struct gate_allowance *allowance =
        allowance_of("[budget.b]\ninvalid_recipients = 0.5\ninvalid_recipients_least = 1\n", "ada", "{}");
    struct gate_spending *spending = gate_spending_new(allowance);

    (void)state;
    for (int i = 0; i < 50; i++)
        assert_false(recipient(spending, "good@y").is_excess);
    gate_spending_end(&spending, false);
    assert_true(count_invalid(allowance).is_excess);
    gate_allowance_unref(&allowance);
}

static void test_words(void **state)
{
    static const struct {
        struct gate_excess excess;
        const char *text;
    } cases[] = {
        {{GATE_LIMIT_MESSAGES_PER_HOUR, "b", 59000, false},
         "limit messages_per_hour of budget b is reached; try again in 60 seconds"},
        {{GATE_LIMIT_MESSAGES_PER_HOUR, "b", 600000, false},
         "limit messages_per_hour of budget b is reached; try again in 11 minutes"},
        {{GATE_LIMIT_BYTES_PER_DAY, "b", 40000000, false},
         "limit bytes_per_day of budget b is reached; try again in 12 hours"},
        {{GATE_LIMIT_SESSIONS, "b", 0, false}, "limit sessions of budget b is reached; try again later"},
        {{GATE_LIMIT_BYTES_PER_DAY, "b", 0, true}, "more than limit bytes_per_day of budget b allows at all"},
    };
    char text[GATE_EXCESS_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gate_excess_say(&cases[i].excess, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_applies),
        cmocka_unit_test_setup_teardown(test_capitals_open_no_budget_anew, begin, end),
        cmocka_unit_test(test_limits_that_make_no_sense),
        cmocka_unit_test(test_too_many_budgets),
        cmocka_unit_test_setup_teardown(test_taking_is_all_or_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_an_hour_later, begin, end),
        cmocka_unit_test_setup_teardown(test_new_recipients, begin, end),
        cmocka_unit_test_setup_teardown(test_many_new_recipients_become_known, begin, end),
        cmocka_unit_test_setup_teardown(test_a_message_is_counted_for_its_own_tenant, begin, end),
        cmocka_unit_test_setup_teardown(test_recipients_that_are_new_to_the_tenant, begin, end),
        cmocka_unit_test_setup_teardown(test_a_tenant_that_was_assumed_gets_back_what_was_not_for_it, begin, end),
        cmocka_unit_test(test_what_applies_to_who_has_several_tenants),
        cmocka_unit_test_setup_teardown(test_many_tenants_with_a_budget_each, begin, end),
        cmocka_unit_test_setup_teardown(test_sessions, begin, end),
        cmocka_unit_test_setup_teardown(test_invalid_recipients, begin, end),
        cmocka_unit_test_setup_teardown(test_recipients_that_prove_wrong_later, begin, end),
        cmocka_unit_test_setup_teardown(test_given_up_recipients_do_not_count_as_good, begin, end),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, start_all, stop_all);
}
