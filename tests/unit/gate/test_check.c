/* SPDX-License-Identifier: Apache-2.0
 *
 * An attempt's way: over users in the file, and over a store that the test plays, to see what it is asked.
 */
#include <semaphore.h>
#include <time.h>

#include "harness.h"

/* ---- users in the file ---- */

static const char *const users = "[user.ann]\npassword = 'secret'\ngroups = ['staff', 'eu']\nmay_act_as = ['bob', "
                                 "'@lists.example']\n"
                                 "[user.root]\npassword = 'secret'\nmay_act_as = '*'\n"
                                 "[user.gone]\npassword = 'secret'\ndisabled = true\n"
                                 "[user.past]\npassword = 'secret'\nnot_after = '2001-01-01T00:00:00Z'\n"
                                 "[user.future]\npassword = 'secret'\nnot_before = '2101-01-01T00:00:00Z'\n"
                                 "[user.inside]\npassword = 'secret'\nnetworks = ['10.0.0.0/8', 'fd00::/8']\n"
                                 "[user.apps]\n"
                                 "[[user.apps.secrets]]\nlabel = 'old'\npassword = 'one'\n"
                                 "not_after = '2001-01-01T00:00:00Z'\n"
                                 "[[user.apps.secrets]]\nlabel = 'printer'\npassword = 'two'\nnetworks = '10.0.0.0/8'\n"
                                 "[[user.apps.secrets]]\nlabel = 'api'\npassword = 'three'\nscopes = 'inject'\n"
                                 "[[user.apps.secrets]]\nlabel = 'phone'\npassword = 'four'\nscopes = 'relay'\n";

static const struct {
    const char *user, *password, *peer;
    enum auth_reason reason;
} logins[] = {
    {"ann", "secret", "192.0.2.1", AUTH_REASON_OK},
    {"ann", "Secret", "192.0.2.1", AUTH_REASON_BAD_PASSWORD},
    {"ann", "", "192.0.2.1", AUTH_REASON_BAD_PASSWORD},
    {"ANN", "secret", "192.0.2.1", AUTH_REASON_NO_USER},
    {"eve", "secret", "192.0.2.1", AUTH_REASON_NO_USER},
    {"gone", "secret", "192.0.2.1", AUTH_REASON_DISABLED},
    {"gone", "wrong", "192.0.2.1", AUTH_REASON_BAD_PASSWORD},
    {"past", "secret", "192.0.2.1", AUTH_REASON_EXPIRED},
    {"past", "wrong", "192.0.2.1", AUTH_REASON_BAD_PASSWORD},
    {"future", "secret", "192.0.2.1", AUTH_REASON_EXPIRED},
    {"inside", "secret", "192.0.2.1", AUTH_REASON_ADDRESS_NOT_ALLOWED},
    {"inside", "secret", "10.1.2.3", AUTH_REASON_OK},
    {"inside", "secret", "fd00::1", AUTH_REASON_OK},
    {"inside", "wrong", "192.0.2.1", AUTH_REASON_BAD_PASSWORD},
    {"apps", "one", "192.0.2.1", AUTH_REASON_EXPIRED},
    {"apps", "two", "192.0.2.1", AUTH_REASON_ADDRESS_NOT_ALLOWED},
    {"apps", "two", "10.0.0.1", AUTH_REASON_OK},
    {"apps", "three", "192.0.2.1", AUTH_REASON_NOT_FOR_RELAY},
    {"apps", "four", "192.0.2.1", AUTH_REASON_OK},
    {"apps", "five", "192.0.2.1", AUTH_REASON_BAD_PASSWORD},
};

static void test_logins(void **state)
{
    struct gate_rules *rules = rules_of(users);

    (void)state;
    for (size_t i = 0; i < sizeof logins / sizeof *logins; i++) {
        enum auth_reason reason = log_in_from(rules, logins[i].user, logins[i].password, logins[i].peer);

        if (reason != logins[i].reason)
            fail_msg("%s %s %s: %s", logins[i].user, logins[i].password, logins[i].peer, auth_reason_name(reason));
    }
    gate_rules_unref(&rules);
}

static void test_what_a_login_says(void **state)
{
    struct gate_rules *rules = rules_of(users);
    struct attempt attempt = {.question = password_question("ann", "secret")};
    json_t *info;
    char *text;

    (void)state;
    attempt.question.authzid = (char *)"bob";
    attempt_begin(&attempt, rules, "192.0.2.1");
    attempt_wait(&attempt);
    assert_reason(attempt.reason, OK);
    info = auth_info_to_json(attempt.info);
    text = json_dumps(info, JSON_COMPACT);
    assert_string_equal(text, "{\"identities\":[{\"identity\":\"bob\",\"context\":\"SmtpAuthPlainAuthorization\"},"
                              "{\"identity\":\"ann\",\"context\":\"SmtpAuthPlainAuthentication\"}],"
                              "\"groups\":[\"staff\",\"eu\"]}");
    assert_string_equal(attempt.login->authcid, "ann");
    assert_string_equal(attempt.login->authzid, "bob");
    assert_string_equal(attempt.login->credential->name, "ann");
    free(text);
    json_decref(info);
    attempt_forget(&attempt);

    attempt = (struct attempt){.question = password_question("apps", "four")};
    attempt_begin(&attempt, rules, "192.0.2.1");
    attempt_wait(&attempt);
    assert_string_equal(attempt.login->label, "phone");
    attempt_forget(&attempt);
    gate_rules_unref(&rules);
}

static const struct {
    const char *authcid, *authzid;
    bool may;
} acts[] = {
    {"ann", "ann", true},
    {"ann", "bob", true},
    {"ann", "Bob", false},
    {"ann", "x@lists.example", true},
    {"ann", "x@LISTS.example", true},
    {"ann", "x@y@lists.example", true},
    {"ann", "x@sub.lists.example", false},
    {"ann", "@lists.example", false},
    {"ann", "lists.example", false},
    {"ann", "*", false},
    {"root", "whoever", true},
    {"apps", "ann", false},
};

static void test_acting_as_another(void **state)
{
    struct gate_rules *rules = rules_of(users);

    (void)state;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        bool is_apps = !strcmp(acts[i].authcid, "apps");
        struct attempt attempt = {.question = password_question(acts[i].authcid, is_apps ? "four" : "secret")};

        attempt.question.authzid = (char *)acts[i].authzid;
        attempt_begin(&attempt, rules, "192.0.2.1");
        attempt_wait(&attempt);
        if (attempt.reason != (acts[i].may ? AUTH_REASON_OK : AUTH_REASON_AUTHZID_REFUSED))
            fail_msg("%s as %s: %s", acts[i].authcid, acts[i].authzid, auth_reason_name(attempt.reason));
        attempt_forget(&attempt);
    }
    gate_rules_unref(&rules);
}

static void test_every_scheme(void **state)
{
    static const enum password_scheme schemes[] = {
        PASSWORD_PLAIN,        PASSWORD_ARGON2ID,      PASSWORD_BCRYPT,
        PASSWORD_SHA512_CRYPT, PASSWORD_PBKDF2_SHA256, PASSWORD_SCRAM_SHA_256,
    };

    (void)state;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        char *stored = hash_of(schemes[i], "tiger");
        char *toml = mem_printf("[user.scott]\npassword = '%s'\n", stored);
        struct gate_rules *rules = rules_of(toml);

        assert_reason(log_in(rules, "scott", "tiger"), OK);
        assert_reason(log_in(rules, "scott", "tiger"), OK);
        assert_reason(log_in(rules, "scott", "lion"), BAD_PASSWORD);
        assert_reason(log_in(rules, "adams", "tiger"), NO_USER);
        gate_rules_unref(&rules);
        free(toml);
        free(stored);
    }
}

/* ---- a store that the test plays ---- */

static struct {
    const char *stored; /* of user "ann"; NULL: nobody */
    const char *second; /* another secret of hers, or NULL */
    bool is_down, is_silent, is_disabled;
    const char *verdict_fields; /* PASSWORDS, TOKENS: FOUND with these; NULL: REFUSED */
    atomic_uint asks;
} play;

static json_t *parse(const char *text) { return json_loads(text, 0, NULL); }

static void ask_records(struct store *store, struct store_ask *ask)
{
    struct error error = {0};
    json_t *fields;

    (void)store;
    atomic_fetch_add(&play.asks, 1);
    if (play.is_silent)
        return;
    if (play.is_down) {
        error_set(&error, ERROR_TEMP, "the store is away");
        ask->on_done(ask, STORE_FAILED, NULL, &error);
    } else if (!play.stored || strcmp(ask->user, "ann")) {
        ask->on_done(ask, STORE_NOT_FOUND, NULL, NULL);
    } else {
        fields = json_pack("{ss, sb, ss, s{si}}", "password", play.stored, "disabled", play.is_disabled, "tenant", "t1",
                           "limits", "day", 5);
        if (play.second)
            json_object_set_new(fields, "password", json_pack("[ss]", play.stored, play.second));
        ask->on_done(ask, STORE_FOUND, fields, NULL);
        json_decref(fields);
    }
}

static void ask_verdict(struct store *store, struct store_ask *ask)
{
    json_t *fields = play.verdict_fields ? parse(play.verdict_fields) : NULL;

    (void)store;
    atomic_fetch_add(&play.asks, 1);
    ask->on_done(ask, fields ? STORE_FOUND : STORE_REFUSED, fields, NULL);
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
static const struct store_driver passwords = {
    .name = "judge", .kind = STORE_PASSWORDS, .ask = ask_verdict, .cancel = cancel_ask, .close = close_play};
static const struct store_driver tokens = {
    .name = "token", .kind = STORE_TOKENS, .ask = ask_verdict, .cancel = cancel_ask, .close = close_play};

/* Rules of `toml` with the played stores in the place of those it names. */
static struct gate_rules *played(const char *toml, const struct store_driver *first, const struct store_driver *second,
                                 uint64_t recheck_ms)
{
    struct gate_rules *rules = rules_of(toml);
    struct cache_limits limits = CACHE_LIMITS_USUAL;
    struct store_setup setups[2];
    size_t count = 0;

    for (const struct store_driver *driver = first; driver && count < 2; driver = second) {
        setups[count++] = (struct store_setup){.name = driver->name,
                                               .driver = driver,
                                               .store = (struct store *)&play,
                                               .timeout_ms = 5000,
                                               .waiting_limit = 100,
                                               .concurrency = 10};
        if (!second)
            break;
    }
    limits.recheck_ms = recheck_ms;
    stores_unref(&rules->stores);
    rules->stores = stores_make(setups, count, &limits);
    memset(&play, 0, sizeof play);
    return rules;
}

#define ANY "[user.x]\npassword = 'x'\n"

static void test_a_changed_password_works_at_once(void **state)
{
    struct gate_rules *rules = played(ANY, &records, NULL, 0);

    (void)state;
    play.stored = "old";
    assert_reason(log_in(rules, "ann", "old"), OK);
    assert_int_equal(play.asks, 1);
    assert_reason(log_in(rules, "ann", "old"), OK);
    assert_int_equal(play.asks, 1); /* the cache had it */
    play.stored = "new";
    assert_reason(log_in(rules, "ann", "new"), OK);
    assert_int_equal(play.asks, 2);
    assert_reason(log_in(rules, "ann", "old"), BAD_PASSWORD);
    gate_rules_unref(&rules);
}

static void test_a_record_changed_otherwise_counts_at_once(void **state)
{
    struct gate_rules *rules = played(ANY, &records, NULL, 0);

    (void)state;
    play.stored = "right";
    play.is_disabled = true;
    assert_reason(log_in(rules, "ann", "right"), DISABLED);
    play.is_disabled = false;
    assert_reason(log_in(rules, "ann", "right"), OK);
    assert_int_equal(play.asks, 2);
    play.is_disabled = true; /* this way round it takes the cache's time, or a purge */
    assert_reason(log_in(rules, "ann", "right"), OK);
    gate_purge(rules, "ann");
    assert_reason(log_in(rules, "ann", "right"), DISABLED);
    play.is_down = true;
    assert_reason(log_in(rules, "ann", "right"), UNVERIFIED); /* as a wrong password would be */
    gate_rules_unref(&rules);
}

static void test_what_the_record_says_besides(void **state)
{
    struct gate_rules *rules = played(ANY, &records, NULL, 0);
    struct attempt attempt = {.question = password_question("ann", "right")};
    json_t *info;

    (void)state;
    play.stored = "right";
    attempt_begin(&attempt, rules, "192.0.2.1");
    attempt_wait(&attempt);
    info = auth_info_to_json(attempt.info);
    assert_string_equal(json_string_value(json_object_get(info, "tenant")), "t1");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(info, "limits"), "day")), 5);
    json_decref(info);
    attempt_forget(&attempt);
    gate_rules_unref(&rules);
}

static void test_guessing_does_not_reach_the_store(void **state)
{
    struct gate_rules *rules = played(ANY, &records, NULL, 60000);
    unsigned after_first;

    (void)state;
    play.stored = "right";
    assert_reason(log_in(rules, "ann", "right"), OK);
    assert_reason(log_in(rules, "ann", "wrong"), BAD_PASSWORD);
    assert_reason(log_in(rules, "eve", "wrong"), NO_USER);
    after_first = play.asks;
    for (int i = 0; i < 20; i++) {
        assert_reason(log_in(rules, "ann", "wrong"), BAD_PASSWORD);
        assert_reason(log_in(rules, "eve", "wrong"), NO_USER);
    }
    assert_true(play.asks <= after_first + 2);
    gate_rules_unref(&rules);
}

static void test_a_store_that_fails_gives_no_verdict(void **state)
{
    struct gate_rules *rules = played(ANY, &records, NULL, 0);

    (void)state;
    play.is_down = true;
    assert_reason(log_in(rules, "ann", "right"), STORE_ERROR);
    assert_reason(log_in(rules, "eve", "right"), STORE_ERROR);
    play.is_down = false;
    play.stored = "right";
    assert_reason(log_in(rules, "ann", "right"), OK); /* the failure was not kept */
    play.is_down = true;
    assert_reason(log_in(rules, "ann", "right"), OK);         /* out of the cache */
    assert_reason(log_in(rules, "ann", "wrong"), UNVERIFIED); /* it may have changed: who knows */
    gate_rules_unref(&rules);
}

static void test_a_broken_secret_is_no_verdict(void **state)
{
    struct gate_rules *rules = played(ANY, &records, NULL, 0);

    (void)state;
    play.stored = "$argon2id$v=19$m=99999999999$x$y";
    assert_reason(log_in(rules, "ann", "right"), STORE_ERROR);
    play.second = "right"; /* beside one that can be used, a wrong password was compared: it counts */
    assert_reason(log_in(rules, "ann", "right"), OK);
    assert_reason(log_in(rules, "ann", "wrong"), UNVERIFIED);
    gate_rules_unref(&rules);
}

static void test_a_right_password_is_remembered(void **state)
{
    struct gate_rules *rules = played(ANY, &records, NULL, 0);
    char *stored = hash_of(PASSWORD_ARGON2ID, "tiger"), *other = hash_of(PASSWORD_ARGON2ID, "tiger");
    struct attempt attempt;

    (void)state;
    play.stored = stored;
    assert_reason(log_in(rules, "ann", "tiger"), OK);
    attempt = (struct attempt){.question = password_question("ann", "tiger")};
    attempt_begin(&attempt, rules, "192.0.2.1");
    assert_true(attempt.was_immediate);
    attempt_forget(&attempt);

    attempt = (struct attempt){.question = password_question("ann", "lion")};
    attempt_begin(&attempt, rules, "192.0.2.1");
    assert_false(attempt.was_immediate); /* a wrong one costs its hash */
    attempt_wait(&attempt);
    assert_reason(attempt.reason, BAD_PASSWORD);

    play.stored = other; /* the same password, hashed anew: another record */
    gate_purge(rules, "ann");
    attempt = (struct attempt){.question = password_question("ann", "tiger")};
    attempt_begin(&attempt, rules, "192.0.2.1");
    assert_false(attempt.was_immediate);
    attempt_wait(&attempt);
    assert_reason(attempt.reason, OK);
    attempt_forget(&attempt);
    gate_rules_unref(&rules);
    free(stored);
    free(other);
}

static void test_memory(void **state)
{
    struct gate_memo memo, other;

    (void)state;
    gate_memo_make("ann", "stored", "password", &memo);
    gate_memo_make("ann", "storedp", "assword", &other);
    assert_memory_not_equal(&memo, &other, sizeof memo);
    assert_false(gate_remembers(&memo));
    for (size_t i = 0; i < 4; i++) { /* by whichever name */
        gate_remember(&memo, "ann@tiger.example", "Ann", 60000);
        assert_true(gate_remembers(&memo));
        assert_false(gate_remembers(&other));
        gate_forget("bob");
        assert_true(gate_remembers(&memo));
        gate_forget(((const char *const[]){"Ann", "ann", "ann@tiger.example", "ANN@tiger.example"})[i]);
        assert_false(gate_remembers(&memo));
    }
    gate_remember(&memo, "ann", "ann", 0);
    assert_false(gate_remembers(&memo));
    for (unsigned i = 0; i < 70000; i++) {
        char user[16];

        snprintf(user, sizeof user, "u%u", i);
        gate_memo_make(user, "s", "p", &other);
        gate_remember(&other, user, user, 60000);
    }
    assert_true(gate_remembers(&other));
    gate_forget(NULL);
    assert_false(gate_remembers(&other));
}

static void test_cancelled_on_the_way(void **state)
{
    struct gate_rules *rules = played(ANY, &records, NULL, 0);
    char *stored = hash_of(PASSWORD_BCRYPT, "tiger");
    struct attempt attempt = {.question = password_question("ann", "lion")};

    (void)state;
    play.is_silent = true;
    attempt_begin(&attempt, rules, "192.0.2.1");
    gate_check_cancel(attempt.check);

    play.is_silent = false;
    play.stored = stored;
    gate_purge(rules, NULL);
    attempt = (struct attempt){.question = password_question("ann", "lion")};
    attempt_begin(&attempt, rules, "192.0.2.1");
    while (!gate_is_working() && !attempt.calls)
        loop_turn(test_loop, true);
    gate_check_cancel(attempt.check);
    while (gate_is_working())
        loop_turn(test_loop, true);
    assert_int_equal(attempt.calls, 0);
    gate_check_cancel(NULL);
    gate_rules_unref(&rules);
    free(stored);
}

static sem_t has_begun, may_end;
static bool has_ended;

static void hold(struct job *job)
{
    (void)job;
    sem_post(&has_begun);
    while (sem_wait(&may_end))
        ;
}

static void note_end(struct job *job)
{
    (void)job;
    has_ended = true;
}

/* Until may_end is posted, the pool's one thread works for nobody else. */
static void hold_the_pool(struct job *job)
{
    assert_int_equal(sem_init(&has_begun, 0, 0) || sem_init(&may_end, 0, 0), 0);
    has_ended = false;
    *job = (struct job){.run = hold, .done = note_end};
    assert_int_equal(jobs_submit(password_pool(), job, NULL), 0);
    while (sem_wait(&has_begun))
        ;
}

#define ONE_WAITS "[password]\nthreads = 1\nqueue_limit = 1\ntime_limit = 60\n"

static void test_a_full_pool_is_no_verdict(void **state)
{
    char *stored = hash_of(PASSWORD_BCRYPT, "tiger");
    char *toml = mem_printf("[user.scott]\npassword = '%s'\n" ONE_WAITS, stored);
    struct gate_rules *rules = rules_of(toml);
    struct attempt attempts[20];
    struct job holding;

    (void)state;
    hold_the_pool(&holding);
    for (size_t i = 0; i < 20; i++) {
        attempts[i] = (struct attempt){.question = password_question("scott", "lion")};
        attempt_begin(&attempts[i], rules, "192.0.2.1");
    }
    sem_post(&may_end);
    for (size_t i = 0; i < 20; i++)
        attempt_wait(&attempts[i]);
    assert_reason(attempts[0].reason, BAD_PASSWORD);
    for (size_t i = 1; i < 20; i++)
        assert_reason(attempts[i].reason, BUSY);
    while (!has_ended)
        loop_turn(test_loop, true);
    password_pool_limit(0, 0, 0);
    gate_rules_unref(&rules);
    free(toml);
    free(stored);
}

/* ---- other kinds of questions ---- */

static void test_a_store_that_judges(void **state)
{
    struct gate_rules *rules = played(ANY, &passwords, NULL, 0);

    (void)state;
    play.verdict_fields = "{\"groups\": [\"staff\"]}";
    assert_reason(log_in(rules, "ann", "right"), OK);
    play.verdict_fields = "{\"disabled\": true}";
    assert_reason(log_in(rules, "ann", "right"), DISABLED);
    play.verdict_fields = NULL;
    assert_reason(log_in(rules, "ann", "wrong"), BAD_PASSWORD);
    gate_rules_unref(&rules);
}

static enum auth_reason ask_kind(struct gate_rules *rules, struct auth_question question, struct attempt *attempt_out)
{
    *attempt_out = (struct attempt){.question = question};
    attempt_begin(attempt_out, rules, "192.0.2.1");
    attempt_wait(attempt_out);
    return attempt_out->reason;
}

static void test_tokens(void **state)
{
    struct gate_rules *rules = played(ANY, &tokens, NULL, 0);
    struct auth_question question = {.kind = AUTH_ASK_TOKEN, .token = (char *)"t"};
    struct attempt attempt;

    (void)state;
    assert_reason(ask_kind(rules, question, &attempt), BAD_TOKEN);
    play.verdict_fields = "{\"name\": \"ann\", \"groups\": [\"g\"], \"claims\": {\"sub\": \"ann\"}}";
    assert_reason(ask_kind(rules, question, &attempt), OK);
    assert_string_equal(attempt.login->authcid, "ann");
    assert_string_equal(json_string_value(json_object_get(attempt.login->claims, "sub")), "ann");
    attempt_forget(&attempt);
    question.authcid = question.authzid = (char *)"bob";
    assert_reason(ask_kind(rules, question, &attempt), AUTHZID_REFUSED);
    question.authcid = question.authzid = (char *)"ann";
    assert_reason(ask_kind(rules, question, &attempt), OK);
    attempt_forget(&attempt);
    gate_rules_unref(&rules);
}

static void test_a_token_and_a_record(void **state)
{
    struct auth_question question = {.kind = AUTH_ASK_TOKEN, .token = (char *)"t"};
    struct gate_rules *rules = played(ANY "[token]\nrecords = 'need'\n", &tokens, &records, 0);
    struct attempt attempt;

    (void)state;
    play.verdict_fields = "{\"name\": \"ann\", \"groups\": [\"g\"]}";
    assert_reason(ask_kind(rules, question, &attempt), NO_USER);
    play.stored = "x";
    gate_purge(rules, NULL);
    assert_reason(ask_kind(rules, question, &attempt), OK);
    attempt_forget(&attempt);
    play.is_down = true;
    gate_purge(rules, NULL);
    assert_reason(ask_kind(rules, question, &attempt), STORE_ERROR);
    gate_rules_unref(&rules);
}

static void test_certificates(void **state)
{
    static const struct auth_certificate certificate = {.subject = "CN=ann,O=x",
                                                        .emails = {"a@x.example", "ann"},
                                                        .email_count = 2,
                                                        .dns_names = {"h.example"},
                                                        .dns_name_count = 1};
    struct auth_question question = {.kind = AUTH_ASK_EXTERNAL, .certificate = &certificate};
    struct gate_rules *rules = rules_of("[user.ann]\npassword = 'x'\n[external]\nsource = 'map'\n"
                                        "[external.map]\n'CN=ann,O=x' = 'ann'\n");
    struct attempt attempt;

    (void)state;
    assert_reason(ask_kind(rules, question, &attempt), OK);
    assert_string_equal(attempt.login->authcid, "ann");
    attempt_forget(&attempt);
    question.certificate = NULL;
    assert_reason(ask_kind(rules, question, &attempt), NO_USER);
    question.certificate = &certificate;
    gate_rules_unref(&rules);

    /* the table names one of its other names; or none, and then it is nobody's */
    rules = rules_of("[user.ann]\npassword = 'x'\n[external]\nsource = 'map'\n"
                     "[external.map]\n'CN=bob' = 'bob'\n'a@x.example' = 'ann'\n");
    assert_reason(ask_kind(rules, question, &attempt), OK);
    assert_string_equal(attempt.login->authcid, "ann");
    attempt_forget(&attempt);
    gate_rules_unref(&rules);
    rules = rules_of("[user.ann]\npassword = 'x'\n[external]\nsource = 'map'\n[external.map]\n'h.example' = 'ann'\n");
    assert_reason(ask_kind(rules, question, &attempt), OK);
    attempt_forget(&attempt);
    gate_rules_unref(&rules);
    rules = rules_of("[user.ann]\npassword = 'x'\n[external]\nsource = 'map'\n[external.map]\n'ann' = 'root'\n");
    assert_reason(ask_kind(rules, question, &attempt), NO_USER);
    gate_rules_unref(&rules);

    rules = rules_of("[user.'CN=ann,O=x']\npassword = 'x'\n[external]\n");
    assert_reason(ask_kind(rules, question, &attempt), OK);
    assert_string_equal(attempt.login->authcid, "CN=ann,O=x");
    attempt_forget(&attempt);
    question.certificate = &(struct auth_certificate){.subject = ""};
    assert_reason(ask_kind(rules, question, &attempt), NO_USER);
    question.certificate = &certificate;
    gate_rules_unref(&rules);

    rules = rules_of("[user.ann]\npassword = 'x'\n[external]\nsource = 'email'\n");
    assert_reason(ask_kind(rules, question, &attempt), NO_USER); /* the first name, which nobody has */
    question.authzid = (char *)"ann";
    assert_reason(ask_kind(rules, question, &attempt), OK);
    attempt_forget(&attempt);
    question.authzid = (char *)"root";
    assert_reason(ask_kind(rules, question, &attempt), NO_USER);
    question.authzid = NULL;
    gate_rules_unref(&rules);

    rules = rules_of("[user.ann]\npassword = 'x'\n[external]\nsource = 'dns'\nusers = 'certificate'\n");
    assert_reason(ask_kind(rules, question, &attempt), OK);
    assert_string_equal(attempt.login->authcid, "h.example");
    assert_null(attempt.login->credential);
    attempt_forget(&attempt);
    question.authzid = (char *)"ann";
    assert_reason(ask_kind(rules, question, &attempt), AUTHZID_REFUSED);
    gate_rules_unref(&rules);
}

static struct scram_set keys_for(struct gate_rules *rules, const char *user)
{
    struct auth_question question = {
        .kind = AUTH_ASK_SCRAM_KEYS, .scram_hash = CRYPTO_SHA256, .authcid = (char *)user, .authzid = (char *)user};
    struct attempt attempt;

    assert_reason(ask_kind(rules, question, &attempt), OK);
    assert_true(attempt.has_keys);
    return attempt.keys;
}

/* `keys` are those that the client proved to have, or was challenged with. */
static enum auth_reason prove(struct gate_rules *rules, const char *user, const struct scram_keys *keys, bool is_right)
{
    struct auth_question question = {.kind = AUTH_ASK_PROVED,
                                     .scram_hash = CRYPTO_SHA256,
                                     .authcid = (char *)user,
                                     .authzid = (char *)user,
                                     .is_proved = is_right,
                                     .keys = keys};
    struct attempt attempt;
    enum auth_reason reason = ask_kind(rules, question, &attempt);

    attempt_forget(&attempt);
    return reason;
}

static void test_scram_keys(void **state)
{
    char *stored = hash_of(PASSWORD_SCRAM_SHA_256, "tiger");
    char *toml = mem_printf("[user.ann]\npassword = '%s'\n[user.bob]\npassword = 'plain'\n[user.eve]\npassword = "
                            "'%s'\ndisabled = true\n",
                            stored, stored);
    struct gate_rules *rules = rules_of(toml);
    struct auth_question question = {
        .kind = AUTH_ASK_SCRAM_KEYS, .scram_hash = CRYPTO_SHA256, .authcid = (char *)"ann", .authzid = (char *)"ann"};
    struct attempt attempt;
    struct scram_keys keys, dummy;

    (void)state;
    assert_reason(ask_kind(rules, question, &attempt), OK);
    assert_true(attempt.has_keys);
    assert_int_equal(scram_keys_parse(stored, &keys), 0);
    assert_memory_equal(attempt.keys.keys[0].stored_key, keys.stored_key, SCRAM_KEY_BYTES);

    question.authcid = (char *)"bob";
    assert_reason(ask_kind(rules, question, &attempt), OK);
    scram_keys_derive(CRYPTO_SHA256, SPAN_LIT("plain"),
                      span_make((const char *)attempt.keys.keys[0].salt, attempt.keys.keys[0].salt_len),
                      attempt.keys.keys[0].iterations, &keys);
    assert_memory_equal(attempt.keys.keys[0].stored_key, keys.stored_key, SCRAM_KEY_BYTES);

    question.authcid = (char *)"nobody";
    assert_reason(ask_kind(rules, question, &attempt), OK);
    dummy = attempt.keys.keys[0];
    assert_reason(ask_kind(rules, question, &attempt), OK);
    assert_memory_equal(attempt.keys.keys[0].salt, dummy.salt, dummy.salt_len);
    assert_int_equal(attempt.keys.keys[0].salt_len, dummy.salt_len);

    assert_reason(prove(rules, "nobody", &dummy, true), NO_USER);
    keys = keys_for(rules, "ann").keys[0];
    assert_reason(prove(rules, "ann", &keys, true), OK);
    assert_reason(prove(rules, "ann", &keys, false), BAD_PROOF);
    keys = keys_for(rules, "eve").keys[0];
    assert_reason(prove(rules, "eve", &keys, true), DISABLED);
    gate_rules_unref(&rules);
    free(toml);
    free(stored);
}

static void test_scram_goes_by_all_secrets_that_one_challenge_does_for(void **state)
{
    char *old = hash_of(PASSWORD_SCRAM_SHA_256, "old"), *foreign = hash_of(PASSWORD_SCRAM_SHA_256, "foreign");
    struct scram_keys keys;
    struct scram_set set;
    struct buf fresh;
    struct gate_rules *rules;
    char *toml;

    (void)state;
    buf_init(&fresh, PASSWORD_STORED_LIMIT);
    assert_int_equal(password_hash_beside(old, SPAN_LIT("new"), &fresh, NULL), 0);
    toml = mem_printf("[user.ann]\npassword = ['plain', '%s', '%s', '%s']\n[user.bob]\npassword = ['one', 'two']\n",
                      old, foreign, buf_cstr(&fresh));
    rules = rules_of(toml);
    set = keys_for(rules, "ann");
    assert_int_equal(set.count, 3);
    assert_int_equal(scram_keys_parse(old, &keys), 0);
    assert_memory_equal(set.keys[0].stored_key, keys.stored_key, SCRAM_KEY_BYTES);
    for (size_t i = 0; i < set.count; i++) {
        assert_memory_equal(set.keys[i].salt, set.keys[0].salt, set.keys[0].salt_len);
        assert_int_equal(set.keys[i].iterations, set.keys[0].iterations);
        assert_reason(prove(rules, "ann", &set.keys[i], true), OK);
        assert_reason(prove(rules, "bob", &set.keys[i], true), BAD_PROOF); /* not his */
    }
    scram_keys_derive(CRYPTO_SHA256, SPAN_LIT("plain"), span_make((const char *)set.keys[0].salt, set.keys[0].salt_len),
                      keys.iterations, &keys);
    assert_memory_equal(set.keys[1].stored_key, keys.stored_key, SCRAM_KEY_BYTES);
    assert_int_equal(scram_keys_parse(buf_cstr(&fresh), &keys), 0);
    assert_memory_equal(set.keys[2].stored_key, keys.stored_key, SCRAM_KEY_BYTES);
    assert_int_equal(keys_for(rules, "bob").count, 2);
    gate_rules_unref(&rules);
    buf_done(&fresh);
    free(toml);
    free(old);
    free(foreign);
}

static void test_scram_with_one_password_in_two_secrets(void **state)
{
    char *stored = hash_of(PASSWORD_SCRAM_SHA_256, "tiger");
    char *toml = mem_printf("[user.ann]\n[[user.ann.secrets]]\nlabel = 'gone'\npassword = '%s'\nnot_after = "
                            "2001-01-01T00:00:00Z\n[[user.ann.secrets]]\nlabel = 'good'\npassword = '%s'\n",
                            stored, stored);
    struct gate_rules *rules = rules_of(toml);
    struct scram_set set = keys_for(rules, "ann");

    (void)state;
    assert_int_equal(set.count, 1);
    assert_reason(prove(rules, "ann", &set.keys[0], true), OK);
    gate_rules_unref(&rules);
    free(toml);
    free(stored);
}

/* Between the challenge and the proof, or since the cache learnt it. */
static void test_a_scram_secret_that_changed(void **state)
{
    char *old = hash_of(PASSWORD_SCRAM_SHA_256, "old"), *fresh = hash_of(PASSWORD_SCRAM_SHA_256, "new");
    struct gate_rules *rules = played(ANY, &records, NULL, 0);
    struct scram_set before, after;

    (void)state;
    play.stored = old;
    before = keys_for(rules, "ann");
    play.stored = fresh;
    assert_reason(prove(rules, "ann", &before.keys[0], false), UNVERIFIED); /* the new one, of the old challenge */
    after = keys_for(rules, "ann");
    assert_reason(prove(rules, "ann", &after.keys[0], true), OK);
    assert_reason(prove(rules, "ann", &after.keys[0], false), BAD_PROOF);
    assert_reason(prove(rules, "ann", &before.keys[0], true), BAD_PROOF); /* the old one */
    play.is_down = true;
    assert_reason(prove(rules, "ann", &after.keys[0], false), UNVERIFIED);
    gate_rules_unref(&rules);
    free(old);
    free(fresh);
}

static void test_who_is_purged_on_the_way_in_is_known(void **state)
{
    struct gate_rules *rules = rules_of("[user.ann]\npassword = 'x'\n");
    struct attempt attempt = {.question = password_question("ann", "x")};

    (void)state;
    attempt_begin(&attempt, rules, "192.0.2.1");
    attempt_wait(&attempt);
    assert_false(gate_login_is_purged(attempt.login));
    gate_purge(rules, "bob");
    assert_false(gate_login_is_purged(attempt.login));
    gate_purge(rules, "ANN");
    assert_true(gate_login_is_purged(attempt.login));
    attempt_forget(&attempt);

    attempt = (struct attempt){.question = password_question("ann", "x")};
    attempt_begin(&attempt, rules, "192.0.2.1");
    attempt_wait(&attempt);
    assert_false(gate_login_is_purged(attempt.login));
    for (int i = 0; i < 65; i++) /* more than are kept */
        gate_purge(rules, "bob");
    assert_true(gate_login_is_purged(attempt.login));
    attempt_forget(&attempt);
    gate_rules_unref(&rules);
}

/* ---- what a refusal costs: processor time, which does not depend on how busy the machine is ---- */

#define TRIALS 41

static uint64_t processor_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void test_refusals_cost_the_same(void **state)
{
    static const struct {
        const char *user, *password;
    } refused[] = {{"scott", "lion"}, {"nobody", "lion"}, {"gone", "tiger"}, {"gone", "lion"},
                   {"past", "tiger"}, {"two", "lion"},    {"other", "lion"}};
    enum { KINDS = sizeof refused / sizeof *refused };
    static uint64_t took[KINDS][TRIALS];
    char *stored = hash_of(PASSWORD_BCRYPT, "tiger");
    char *toml = mem_printf("[user.scott]\npassword = '%s'\n[user.gone]\npassword = '%s'\ndisabled = true\n"
                            "[user.past]\npassword = '%s'\nnot_after = '2001-01-01T00:00:00Z'\n"
                            "[user.two]\npassword = ['%s', '%s']\n",
                            stored, stored, stored, stored, stored);
    struct gate_rules *rules = rules_of(toml);
    uint64_t least = UINT64_MAX, most = 0;

    (void)state;
    log_in(rules, "scott", "tiger"); /* remembered: the refusals cost no less for it */
    log_in(rules, "two", "lion");
    for (size_t trial = 0; trial < TRIALS; trial++)
        for (size_t i = 0; i < KINDS; i++) {
            uint64_t before = processor_us();

            assert_int_not_equal(log_in(rules, refused[i].user, refused[i].password), AUTH_REASON_OK);
            took[i][trial] = processor_us() - before;
        }
    for (size_t i = 0; i < KINDS; i++) {
        qsort(took[i], TRIALS, sizeof **took, compare);
        least = took[i][TRIALS / 2] < least ? took[i][TRIALS / 2] : least;
        most = took[i][TRIALS / 2] > most ? took[i][TRIALS / 2] : most;
    }
    if (most * 100 > least * 115)
        fail_msg("the medians are from %llu to %llu us", (unsigned long long)least, (unsigned long long)most);
    gate_rules_unref(&rules);
    free(toml);
    free(stored);
}

static uint64_t refusal_us(struct gate_rules *rules, const char *stored)
{
    uint64_t before;

    play.stored = stored;
    gate_purge(rules, "ann");
    before = processor_us();
    assert_reason(log_in(rules, "ann", "lion"), BAD_PASSWORD);
    return processor_us() - before;
}

/* Who is locked out where passwords are kept is refused as if the password were wrong. */
static void test_a_locked_secret_is_a_wrong_one(void **state)
{
    char *stored = hash_of(PASSWORD_BCRYPT, "tiger"), *locked = mem_printf("!%s", stored);
    char *toml = mem_printf("[user.x]\npassword = '%s'\n", stored);
    struct gate_rules *rules = played(toml, &records, NULL, 60000);
    const char *kinds[] = {stored, locked, "*"};
    uint64_t least[] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};

    (void)state;
    /* in turns, and the least: neither a clock that changes its pace nor a cold cache then makes a difference */
    for (size_t trial = 0; trial < 11; trial++)
        for (size_t i = 0; i < 3; i++) {
            uint64_t took = refusal_us(rules, kinds[i]);

            least[i] = took < least[i] ? took : least[i];
        }
    assert_in_range(least[1] * 100, least[0] * 60, least[0] * 160);
    assert_in_range(least[2] * 100, least[0] * 60, least[0] * 160);
    play.second = stored;
    gate_purge(rules, "ann");
    assert_reason(log_in(rules, "ann", "tiger"), OK);
    gate_rules_unref(&rules);
    free(toml);
    free(locked);
    free(stored);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logins),
        cmocka_unit_test(test_what_a_login_says),
        cmocka_unit_test(test_acting_as_another),
        cmocka_unit_test(test_every_scheme),
        cmocka_unit_test(test_a_changed_password_works_at_once),
        cmocka_unit_test(test_a_record_changed_otherwise_counts_at_once),
        cmocka_unit_test(test_what_the_record_says_besides),
        cmocka_unit_test(test_guessing_does_not_reach_the_store),
        cmocka_unit_test(test_a_store_that_fails_gives_no_verdict),
        cmocka_unit_test(test_a_broken_secret_is_no_verdict),
        cmocka_unit_test(test_a_right_password_is_remembered),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_cancelled_on_the_way),
        cmocka_unit_test(test_a_full_pool_is_no_verdict),
        cmocka_unit_test(test_a_store_that_judges),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_a_token_and_a_record),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_scram_keys),
        cmocka_unit_test(test_scram_goes_by_all_secrets_that_one_challenge_does_for),
        cmocka_unit_test(test_scram_with_one_password_in_two_secrets),
        cmocka_unit_test(test_a_scram_secret_that_changed),
        cmocka_unit_test(test_who_is_purged_on_the_way_in_is_known),
        cmocka_unit_test(test_refusals_cost_the_same),
        cmocka_unit_test(test_a_locked_secret_is_a_wrong_one),
    };

    return cmocka_run_group_tests(tests, start_all, stop_all);
}
