/* SPDX-License-Identifier: Apache-2.0
 *
 * Lookups over the real lookup thread, with stores of the test's own: they answer at once, hold their answers until
 * told, or fail. Nothing here sleeps: the store tells the test's loop what happened to it, and the age of records goes
 * by the test's clock.
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
#include "base/mem.h"
#include "base/must.h"
#include "credential/credential_private.h"
#include "loop/thread.h"

static _Atomic uint64_t now_ms = 1000000;
static uint64_t test_mono_us(void) { return now_ms * 1000; }
static int64_t test_wall_us(void) { return 0; }
static const struct clock_source test_clock = {.mono_us = test_mono_us, .wall_us = test_wall_us};

/* ---- a store of the test's ---- */

enum manner { ANSWER, HOLD, FAIL };

#define HELD_MOST 64

/* What the test sees of a store; outlives it. */
struct scene {
    atomic_int manner;
    atomic_int version; /* of all records: what is held when asked is what is answered */
    atomic_int starts, asks, held, cancels, closes;
};

struct held {
    struct store_ask *ask;
    int version;
};

struct store {
    struct scene *scene;
    struct held held[HELD_MOST]; /* the lookup thread's */
    struct mail release;
};

static struct loop *test_loop; /* where the test waits */
static struct loop *lookup_loop;

static void on_poke(struct mail *mail) { free(mail); }

static void poke(void)
{
    struct mail *mail = mem_zalloc(sizeof *mail);

    mail->deliver = on_poke;
    loop_post(test_loop, mail);
}

static void made_start(struct store *store, const struct store_house *house)
{
    lookup_loop = house->loop;
    store->scene->starts++;
    poke();
}

/* Users whose name begins with an x do not exist; those with a b have a record that nobody can read. */
static void answer_record(struct store_ask *ask, int version)
{
    json_t *fields = json_pack("{s:o}", "password", json_sprintf("v%d", version));

    if (ask->user[0] == 'b' && ask->user[1] == '!')
        json_object_set_new(fields, "disabled", json_string("HIDDEN"));
    if (ask->user[0] == 'a' && ask->user[1] == '@')
        json_object_set_new(fields, "name", json_string("ann"));
    ask->on_done(ask, ask->user[0] == 'x' ? STORE_NOT_FOUND : STORE_FOUND, ask->user[0] == 'x' ? NULL : fields, NULL);
    json_decref(fields);
}

static void answer_password(struct store_ask *ask)
{
    enum store_outcome outcome = span_eq(ask->password, SPAN_LIT("right")) ? STORE_FOUND : STORE_REFUSED;

    ask->on_done(ask, ask->user[0] == 'x' ? STORE_NOT_FOUND : outcome, NULL, NULL);
}

/* "good", "good for NAME" */
static void answer_token(struct store_ask *ask)
{
    struct error why = {0};
    json_t *fields = json_pack("{s:{s:s}}", "claims", "iss", "me");

    if (ask->token.len > 9)
        json_object_set_new(fields, "name", json_stringn(ask->token.data + 9, ask->token.len - 9));
    error_set(&why, ERROR_PERM, "the token has expired");
    if (span_starts_with(ask->token, SPAN_LIT("good")))
        ask->on_done(ask, STORE_FOUND, fields, NULL);
    else
        ask->on_done(ask, STORE_REFUSED, NULL, &why);
    json_decref(fields);
}

static void answer(struct store_ask *ask, int version)
{
    if (ask->token.len)
        answer_token(ask);
    else if (ask->password.len)
        answer_password(ask);
    else
        answer_record(ask, version);
}

static void hold(struct store *store, struct store_ask *ask)
{
    for (size_t i = 0; i < HELD_MOST; i++)
        if (!store->held[i].ask) {
            store->held[i] = (struct held){.ask = ask, .version = store->scene->version};
            store->scene->held++;
            return;
        }
    MUST_NOT_REACH("the test holds more than it has room for");
}

static void made_ask(struct store *store, struct store_ask *ask)
{
    struct error error = {0};

    store->scene->asks++;
    switch (store->scene->manner) {
    case ANSWER:
        answer(ask, store->scene->version);
        break;
    case HOLD:
        hold(store, ask);
        break;
    default:
        error_set(&error, ERROR_TEMP, "the store is away");
        ask->on_done(ask, STORE_FAILED, NULL, &error);
    }
    poke();
}

static void made_cancel(struct store *store, struct store_ask *ask)
{
    for (size_t i = 0; i < HELD_MOST; i++)
        if (store->held[i].ask == ask) {
            store->held[i].ask = NULL;
            store->scene->held--;
            store->scene->cancels++;
            poke();
            return;
        }
    MUST_NOT_REACH("an ask was cancelled that the store does not have");
}

static void made_close(struct store *store)
{
    MUST(store->scene->held == 0);
    store->scene->closes++;
    free(store);
    poke();
}

static const struct store_driver records = {.name = "records",
                                            .kind = STORE_RECORDS,
                                            .start = made_start,
                                            .ask = made_ask,
                                            .cancel = made_cancel,
                                            .close = made_close};
static const struct store_driver passwords = {.name = "passwords",
                                              .kind = STORE_PASSWORDS,
                                              .start = made_start,
                                              .ask = made_ask,
                                              .cancel = made_cancel,
                                              .close = made_close};
static const struct store_driver tokens = {
    .name = "tokens", .kind = STORE_TOKENS, .ask = made_ask, .cancel = made_cancel, .close = made_close};

static void on_release(struct mail *mail)
{
    struct store *store = CONTAINER_OF(mail, struct store, release);

    for (size_t i = 0; i < HELD_MOST; i++)
        if (store->held[i].ask) {
            struct held held = store->held[i];

            store->held[i].ask = NULL;
            store->scene->held--;
            answer(held.ask, held.version);
        }
    poke();
}

/* ---- the test's side ---- */

static const struct cache_limits limits = {
    .positive_ttl_ms = 1000, .negative_ttl_ms = 100, .stale_for_ms = 5000, .recheck_ms = 50, .capacity = 10000};

static struct store_setup setup_of(const char *name, const struct store_driver *driver, struct scene *scene)
{
    struct store *store = mem_zalloc(sizeof *store);

    store->scene = scene;
    return (struct store_setup){
        .name = name, .driver = driver, .store = store, .timeout_ms = 60000, .waiting_limit = 16, .concurrency = 8};
}

static struct stores *stores_of(struct store_setup setup) { return stores_make(&setup, 1, &limits); }

struct outcome {
    atomic_int told;
    enum store_outcome outcome;
    struct error error;
    char name[32], stored[16], store[32], issuer[16];
    enum store_kind kind;
    bool is_cached, is_stale, has_credential;
};

static void on_told(void *ctx, const struct lookup_result *result)
{
    struct outcome *outcome = ctx;
    const struct credential *credential = result->credential;

    outcome->outcome = result->outcome;
    outcome->error = result->error;
    outcome->kind = result->kind;
    outcome->is_cached = result->is_cached;
    outcome->is_stale = result->is_stale;
    outcome->has_credential = credential != NULL;
    snprintf(outcome->store, sizeof outcome->store, "%s", result->store);
    snprintf(outcome->name, sizeof outcome->name, "%s", credential ? credential->name : "");
    snprintf(outcome->stored, sizeof outcome->stored, "%s",
             credential && credential->secret_count ? credential->secrets[0].stored : "");
    if (result->fields)
        snprintf(outcome->issuer, sizeof outcome->issuer, "%s",
                 json_string_value(json_object_get(json_object_get(result->fields, "claims"), "iss")));
    outcome->told++;
}

static struct lookup *begin_as(struct stores *stores, const char *user, const char *password, enum lookup_mode mode,
                               struct outcome *outcome)
{
    *outcome = (struct outcome){0};
    return lookup_user(stores, test_loop, user, span_of(password), NULL, mode, on_told, outcome);
}

static struct lookup *begin(struct stores *stores, const char *user, struct outcome *outcome)
{
    return begin_as(stores, user, "", LOOKUP_CACHED, outcome);
}

#define WAIT_UNTIL(cond)                                                                                               \
    do                                                                                                                 \
        while (!(cond))                                                                                                \
            loop_turn(test_loop, true);                                                                                \
    while (0)

static struct outcome look_as(struct stores *stores, const char *user, const char *password, enum lookup_mode mode)
{
    struct outcome outcome;

    begin_as(stores, user, password, mode, &outcome);
    WAIT_UNTIL(outcome.told);
    assert_int_equal(outcome.told, 1);
    return outcome;
}

static struct outcome look(struct stores *stores, const char *user) { return look_as(stores, user, "", LOOKUP_CACHED); }

static void release(struct store *store) { loop_post(lookup_loop, &store->release); }

static struct store *store_at(struct stores *stores, size_t index)
{
    struct store *store = stores->slots[index]->setup.store;

    store->release.deliver = on_release;
    return store;
}

static void end(struct stores *stores, struct scene *scene)
{
    int closes = scene->closes;

    stores_unref(&stores);
    WAIT_UNTIL(scene->closes == closes + 1);
}

/* ---- records ---- */

static void test_one_ask_for_all_who_wait(void **state)
{
    struct scene scene = {.manner = HOLD, .version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct outcome outcomes[3];
    struct stores_counts counts;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_non_null(begin(stores, "carl", &outcomes[i]));
    WAIT_UNTIL(scene.held == 1);
    release(store_at(stores, 0));
    for (int i = 0; i < 3; i++) {
        WAIT_UNTIL(outcomes[i].told);
        assert_int_equal(outcomes[i].outcome, STORE_FOUND);
        assert_string_equal(outcomes[i].name, "carl");
        assert_string_equal(outcomes[i].stored, "v1");
        assert_string_equal(outcomes[i].store, "people");
        assert_false(outcomes[i].is_cached);
    }
    assert_int_equal(scene.asks, 1);
    assert_null(begin(stores, "carl", &outcomes[0]));
    assert_int_equal(outcomes[0].told, 1);
    assert_true(outcomes[0].is_cached);
    assert_int_equal(scene.asks, 1);
    stores_count(stores, &counts);
    assert_int_equal(counts.misses, 3);
    assert_int_equal(counts.hits, 1);
    assert_int_equal(counts.entries, 1);
    end(stores, &scene);
}

static void test_records_age(void **state)
{
    struct scene scene = {.version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));

    (void)state;
    look(stores, "carl");
    look(stores, "xeno");
    scene.version = 2;
    now_ms += 99;
    assert_string_equal(look(stores, "carl").stored, "v1");
    assert_int_equal(look(stores, "xeno").outcome, STORE_NOT_FOUND);
    assert_int_equal(scene.asks, 2);
    now_ms += 1;
    assert_int_equal(look(stores, "xeno").outcome, STORE_NOT_FOUND);
    assert_int_equal(scene.asks, 3);
    now_ms += 900;
    assert_string_equal(look(stores, "carl").stored, "v2");
    assert_int_equal(scene.asks, 4);
    end(stores, &scene);
}

static void test_order_of_stores(void **state)
{
    struct scene first = {.version = 1};
    struct scene second = {.version = 2};
    struct store_setup setups[] = {setup_of("first", &records, &first), setup_of("second", &records, &second)};
    struct stores *stores = stores_make(setups, 2, &limits);
    struct outcome outcome;

    (void)state;
    outcome = look(stores, "carl");
    assert_string_equal(outcome.store, "first");
    assert_int_equal(second.asks, 0);
    outcome = look(stores, "xeno");
    assert_int_equal(outcome.outcome, STORE_NOT_FOUND);
    assert_string_equal(outcome.store, "");
    assert_int_equal(second.asks, 1);
    first.manner = FAIL; /* the user is unknown to the cache: no word from the second store will do */
    outcome = look(stores, "dora");
    assert_int_equal(outcome.outcome, STORE_FAILED);
    assert_string_equal(outcome.store, "first");
    assert_string_equal(outcome.error.sentence, "the store is away");
    assert_int_equal(second.asks, 1);
    end(stores, &second);
}

static void test_failures_are_not_kept(void **state)
{
    struct scene scene = {.manner = FAIL};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct stores_counts counts;

    (void)state;
    assert_int_equal(look(stores, "carl").outcome, STORE_FAILED);
    assert_int_equal(look(stores, "carl").error.kind, ERROR_TEMP);
    assert_int_equal(scene.asks, 2);
    stores_count(stores, &counts);
    assert_int_equal(counts.entries, 0);
    assert_int_equal(counts.failures, 2);
    scene.manner = ANSWER;
    assert_int_equal(look(stores, "carl").outcome, STORE_FOUND);
    end(stores, &scene);
}

static void test_stale(void **state)
{
    struct scene scene = {.version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct outcome outcome;

    (void)state;
    look(stores, "carl");
    look(stores, "xeno");
    scene.manner = FAIL;
    now_ms += 1000;
    assert_int_equal(look(stores, "xeno").outcome, STORE_FAILED);
    outcome = look(stores, "carl");
    assert_int_equal(outcome.outcome, STORE_FOUND);
    assert_true(outcome.is_stale);
    assert_true(outcome.is_cached);
    assert_string_equal(outcome.error.sentence, "the store is away");
    assert_int_equal(scene.asks, 4);
    assert_true(look(stores, "carl").is_stale); /* at once: the store failed a moment ago */
    assert_int_equal(scene.asks, 4);
    now_ms += 50;
    assert_true(look(stores, "carl").is_stale);
    assert_int_equal(scene.asks, 5);
    now_ms += 5000;
    assert_int_equal(look(stores, "carl").outcome, STORE_FAILED);
    end(stores, &scene);
}

static void test_afresh(void **state)
{
    struct scene scene = {.version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct outcome outcome;

    (void)state;
    look(stores, "carl");
    scene.version = 2;
    assert_string_equal(look(stores, "carl").stored, "v1");
    outcome = look_as(stores, "carl", "", LOOKUP_AFRESH);
    assert_string_equal(outcome.stored, "v2");
    assert_false(outcome.is_cached);
    assert_string_equal(look(stores, "carl").stored, "v2");
    scene.version = 3;
    outcome = look_as(stores, "carl", "", LOOKUP_AFRESH);
    assert_string_equal(outcome.stored, "v2");
    assert_true(outcome.is_cached);
    now_ms += 50;
    assert_string_equal(look_as(stores, "carl", "", LOOKUP_AFRESH).stored, "v3");
    assert_int_equal(scene.asks, 3);
    now_ms += 50;
    scene.manner = FAIL;
    assert_true(look_as(stores, "carl", "", LOOKUP_AFRESH).is_stale);
    end(stores, &scene);
}

static void test_all_who_look_afresh_get_the_fresh_one(void **state)
{
    struct scene scene = {.version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct outcome outcomes[2], behind;
    struct lookup *lookup;

    (void)state;
    look(stores, "carl");
    scene.version = 2;
    scene.manner = HOLD;
    assert_non_null(begin_as(stores, "carl", "", LOOKUP_AFRESH, &outcomes[0]));
    WAIT_UNTIL(scene.held == 1);
    assert_non_null(begin_as(stores, "carl", "", LOOKUP_AFRESH, &outcomes[1]));
    assert_string_equal(look(stores, "carl").stored, "v1"); /* who does not ask for it does not wait */
    lookup = begin(stores, "dora", &behind);                /* in the mail: both are there when she is */
    WAIT_UNTIL(scene.held == 2);
    lookup_cancel(lookup);
    release(store_at(stores, 0));
    WAIT_UNTIL(outcomes[0].told && outcomes[1].told);
    assert_string_equal(outcomes[0].stored, "v2");
    assert_string_equal(outcomes[1].stored, "v2");
    now_ms += 50;
    lookup = begin_as(stores, "carl", "", LOOKUP_AFRESH, &outcomes[0]);
    WAIT_UNTIL(scene.held == 1);
    lookup_cancel(lookup);
    WAIT_UNTIL(scene.held == 0);
    assert_true(look_as(stores, "carl", "", LOOKUP_AFRESH).is_cached); /* going away opens no way to the store */
    assert_int_equal(scene.asks, 4);
    end(stores, &scene);
}

static void test_purge_overtakes_an_answer(void **state)
{
    struct scene scene = {.manner = HOLD, .version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct outcome before, after;

    (void)state;
    begin(stores, "carl", &before);
    WAIT_UNTIL(scene.held == 1);
    stores_purge(stores, "carl");
    scene.version = 2;
    begin(stores, "carl", &after); /* does not join the one who asked too early */
    WAIT_UNTIL(scene.held == 2);
    scene.manner = ANSWER;
    release(store_at(stores, 0));
    WAIT_UNTIL(before.told && after.told);
    assert_string_equal(before.stored, "v2");
    assert_string_equal(after.stored, "v2");
    assert_string_equal(look(stores, "carl").stored, "v2");
    end(stores, &scene);
}

static void test_purge_by_the_name_of_the_record(void **state)
{
    struct scene scene = {.manner = HOLD, .version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct outcome outcome;

    (void)state;
    begin(stores, "a@example.org", &outcome);
    WAIT_UNTIL(scene.held == 1);
    stores_purge(stores, "ann"); /* whose record it will turn out to be */
    scene.version = 2;
    scene.manner = ANSWER;
    release(store_at(stores, 0));
    WAIT_UNTIL(outcome.told);
    assert_string_equal(outcome.name, "ann");
    assert_string_equal(outcome.stored, "v2");
    assert_int_equal(stores_purge(stores, "ann"), 1);
    end(stores, &scene);
}

static void test_endless_purging_is_a_failure(void **state)
{
    struct scene scene = {.manner = HOLD, .version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct outcome outcome;

    (void)state;
    begin(stores, "carl", &outcome);
    for (int asks = 1; !outcome.told; asks++) {
        WAIT_UNTIL(scene.asks == asks || outcome.told);
        if (outcome.told)
            break;
        stores_purge(stores, NULL);
        release(store_at(stores, 0));
    }
    assert_int_equal(outcome.outcome, STORE_FAILED);
    assert_int_equal(outcome.error.kind, ERROR_AGAIN);
    end(stores, &scene);
}

static void test_unreadable_record_is_a_failure(void **state)
{
    struct scene scene = {.version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct outcome outcome = look(stores, "b!");

    (void)state;
    assert_int_equal(outcome.outcome, STORE_FAILED);
    assert_non_null(strstr(outcome.error.sentence, "disabled"));
    assert_null(strstr(outcome.error.sentence, "HIDDEN"));
    end(stores, &scene);
}

static void test_lower_case(void **state)
{
    struct scene scene = {.version = 1};
    struct store_setup setup = setup_of("people", &records, &scene);
    struct stores *stores;

    (void)state;
    setup.lower_case = true;
    stores = stores_of(setup);
    assert_string_equal(look(stores, "CARL").name, "carl");
    assert_true(look(stores, "Carl").is_cached);
    assert_int_equal(scene.asks, 1);
    assert_int_equal(stores_purge(stores, "cArl"), 1);
    end(stores, &scene);
}

/* What a driver keeps of answers is not in our cache: it is told of each purge, whoever it is about. */
static atomic_int purges;

static void made_purge(struct store *store)
{
    (void)store;
    atomic_fetch_add(&purges, 1);
}

static void test_purges_are_told_to_drivers(void **state)
{
    struct scene scene = {.version = 1};
    struct store_driver keeper = records;
    struct stores *stores;

    (void)state;
    keeper.purge = made_purge;
    stores = stores_of(setup_of("keeper", &keeper, &scene));
    assert_int_equal(stores_purge(stores, "carl"), 0);
    assert_int_equal(atomic_load(&purges), 1);
    stores_purge(stores, NULL);
    assert_int_equal(atomic_load(&purges), 2);
    end(stores, &scene);
}

/* ---- stores that go on in the next set ---- */

static struct stores *followed_by(struct stores *former, struct slot *first, struct slot *second)
{
    struct slot *slots[] = {first, second};

    return stores_of_slots(slots, second ? 2 : 1, former->cache, &limits);
}

static void test_what_a_store_said_goes_on_with_it(void **state)
{
    struct scene people = {.version = 1}, removed = {.version = 1}, added = {.version = 1};
    struct store_setup setups[] = {setup_of("people", &records, &people), setup_of("removed", &records, &removed)};
    struct store_setup more = setup_of("added", &records, &added);
    struct stores *before = stores_make(setups, 2, &limits), *after;

    (void)state;
    look(before, "carl");
    look(before, "xeno");
    assert_int_equal(people.asks, 2);
    after = followed_by(before, slot_ref(before->slots[0]), slot_new(&more, NULL, before->cache));
    end(before, &removed);
    assert_int_equal(people.closes, 0);
    assert_int_equal(look(after, "xeno").outcome, STORE_NOT_FOUND); /* as the one knows still, and the other says */
    assert_int_equal(people.asks, 2);
    assert_int_equal(added.asks, 1);
    people.manner = FAIL;
    now_ms += 1500;
    assert_string_equal(look(after, "carl").stored, "v1");
    assert_true(look(after, "carl").is_stale);
    assert_int_equal(look(after, "dora").outcome, STORE_FAILED);
    assert_int_equal(people.starts, 1);
    end(after, &added);
    assert_int_equal(people.closes, 1);
}

/* It has the name, the place and the cache of the former one, which is still asked by who holds the former set. */
static void test_a_store_that_changed_knows_nothing(void **state)
{
    struct scene old = {.version = 1}, changed = {.manner = FAIL};
    struct store_setup setup = setup_of("people", &records, &changed);
    struct stores *before = stores_of(setup_of("people", &records, &old)), *after;

    (void)state;
    look(before, "carl");
    look(before, "xeno");
    after = followed_by(before, slot_new(&setup, NULL, before->cache), NULL);
    assert_int_equal(look(after, "carl").outcome, STORE_FAILED);
    assert_int_equal(look(after, "xeno").outcome, STORE_FAILED);
    changed.manner = ANSWER;
    changed.version = 2;
    assert_string_equal(look(after, "carl").stored, "v2");
    assert_string_equal(look(before, "carl").stored, "v1");
    end(before, &old);
    assert_string_equal(look(after, "carl").stored, "v2");
    assert_true(look(after, "carl").is_cached);
    end(after, &changed);
}

static void test_another_order_is_gone_by(void **state)
{
    struct scene first = {.version = 1}, second = {.version = 2};
    struct store_setup setups[] = {setup_of("first", &records, &first), setup_of("second", &records, &second)};
    struct stores *before = stores_make(setups, 2, &limits), *after;

    (void)state;
    assert_string_equal(look(before, "carl").store, "first");
    after = followed_by(before, slot_ref(before->slots[1]), slot_ref(before->slots[0]));
    assert_string_equal(look(after, "carl").store, "second");
    assert_string_equal(look(after, "carl").stored, "v2");
    assert_string_equal(look(before, "carl").store, "first");
    assert_int_equal(first.asks + second.asks, 2);
    stores_unref(&before);
    end(after, &first);
}

/* Rules that nobody loads any more are found again when the file is what it was, with their stores. */
static void test_a_purge_reaches_former_and_following_sets(void **state)
{
    struct scene old = {.version = 1}, changed = {.version = 1};
    struct store_driver keeper = records;
    struct store_setup setup = setup_of("people", &records, &changed);
    struct stores *before, *after;
    int told = atomic_load(&purges);

    (void)state;
    keeper.purge = made_purge;
    before = stores_of(setup_of("people", &keeper, &old));
    after = followed_by(before, slot_new(&setup, NULL, before->cache), NULL);
    for (int i = 0; i < 2; i++) {
        look(before, "carl");
        look(after, "carl");
        assert_int_equal(stores_purge(i ? before : after, "carl"), 2);
        assert_false(look(before, "carl").is_cached);
        assert_false(look(after, "carl").is_cached);
    }
    assert_int_equal(atomic_load(&purges), told + 2);
    end(before, &old);
    end(after, &changed);
}

static void test_the_last_limits_count_for_all(void **state)
{
    struct scene scene = {.version = 1};
    struct cache_limits others = limits;
    struct stores *before = stores_of(setup_of("people", &records, &scene)), *after;
    struct slot *slot = slot_ref(before->slots[0]);

    (void)state;
    look(before, "carl");
    others.stale_for_ms = 0;
    after = stores_of_slots(&slot, 1, before->cache, &others);
    scene.manner = FAIL;
    now_ms += 1500;
    assert_true(look(after, "carl").is_stale); /* they may yet be refused */
    stores_use(after);
    assert_int_equal(look(after, "carl").outcome, STORE_FAILED);
    stores_use(before); /* found again */
    assert_true(look(before, "carl").is_stale);
    stores_unref(&before);
    end(after, &scene);
}

/* ---- stores that hang ---- */

static void test_hanging_store_delays_no_other(void **state)
{
    struct scene slow = {.manner = HOLD};
    struct scene quick = {.version = 1};
    struct stores *hanging = stores_of(setup_of("slow", &records, &slow));
    struct stores *others = stores_of(setup_of("quick", &records, &quick));
    struct outcome waiting;

    (void)state;
    begin(hanging, "carl", &waiting);
    WAIT_UNTIL(slow.held == 1);
    for (int i = 0; i < 100; i++) {
        char user[16];

        snprintf(user, sizeof user, "u%d", i);
        assert_int_equal(look(others, user).outcome, STORE_FOUND);
    }
    assert_int_equal(waiting.told, 0);
    release(store_at(hanging, 0));
    WAIT_UNTIL(waiting.told);
    end(hanging, &slow);
    end(others, &quick);
}

static void test_time_limit(void **state)
{
    struct scene scene = {.manner = HOLD};
    struct store_setup setup = setup_of("people", &records, &scene);
    struct stores *stores;
    struct outcome outcome, in_queue;

    (void)state;
    setup.timeout_ms = 10;
    setup.concurrency = 1;
    stores = stores_of(setup);
    begin(stores, "carl", &outcome);
    begin(stores, "dora", &in_queue);
    WAIT_UNTIL(outcome.told && in_queue.told);
    assert_int_equal(outcome.outcome, STORE_FAILED);
    assert_int_equal(outcome.error.kind, ERROR_TEMP);
    assert_string_equal(outcome.error.sentence, "no answer within 10 ms");
    assert_int_equal(in_queue.outcome, STORE_FAILED);
    assert_true(scene.cancels >= 1);
    assert_int_equal(scene.held, 0);
    end(stores, &scene);
}

static void test_bounded_waiting(void **state)
{
    struct scene scene = {.manner = HOLD, .version = 1};
    struct store_setup setup = setup_of("people", &records, &scene);
    struct stores *stores;
    struct outcome outcomes[5];
    static const char *const users[] = {"carl", "dora", "emil", "carl", "fred"};

    (void)state;
    setup.waiting_limit = 3;
    setup.concurrency = 2;
    stores = stores_of(setup);
    for (int i = 0; i < 5; i++)
        begin(stores, users[i], &outcomes[i]);
    WAIT_UNTIL(outcomes[4].told);
    assert_int_equal(outcomes[4].outcome, STORE_FAILED);
    assert_int_equal(outcomes[4].error.kind, ERROR_AGAIN);
    assert_int_equal(scene.held, 2); /* the third waits for its turn */
    scene.manner = ANSWER;
    release(store_at(stores, 0));
    for (int i = 0; i < 4; i++) {
        WAIT_UNTIL(outcomes[i].told);
        assert_int_equal(outcomes[i].outcome, STORE_FOUND);
    }
    assert_int_equal(scene.asks, 3);
    end(stores, &scene);
}

static void test_long_queue_of_immediate_answers(void **state)
{
    struct scene scene = {.manner = HOLD, .version = 1};
    struct store_setup setup = setup_of("people", &records, &scene);
    static struct outcome outcomes[2000];
    struct stores *stores;

    (void)state;
    setup.waiting_limit = 4000;
    setup.concurrency = 1;
    stores = stores_of(setup);
    for (int i = 0; i < 2000; i++) {
        char user[16];

        snprintf(user, sizeof user, "u%d", i);
        begin(stores, user, &outcomes[i]);
    }
    WAIT_UNTIL(scene.held == 1);
    scene.manner = ANSWER;
    release(store_at(stores, 0));
    for (int i = 0; i < 2000; i++)
        WAIT_UNTIL(outcomes[i].told);
    assert_int_equal(scene.asks, 2000);
    end(stores, &scene);
}

/* ---- cancelling, ending ---- */

static void test_cancel(void **state)
{
    struct scene scene = {.manner = HOLD, .version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct outcome outcomes[2];
    struct lookup *lookups[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        lookups[i] = begin(stores, "carl", &outcomes[i]);
    WAIT_UNTIL(scene.held == 1);
    lookup_cancel(lookups[0]);
    release(store_at(stores, 0));
    WAIT_UNTIL(outcomes[1].told);
    assert_int_equal(outcomes[0].told, 0);
    assert_int_equal(scene.cancels, 0);
    lookup_cancel(begin(stores, "dora", &outcomes[0]));
    lookups[0] = begin(stores, "emil", &outcomes[0]);
    WAIT_UNTIL(scene.held == 1 && scene.asks >= 2);
    lookup_cancel(lookups[0]);
    WAIT_UNTIL(scene.held == 0);
    assert_int_equal(outcomes[0].told, 0);
    lookup_cancel(NULL);
    end(stores, &scene);
}

/* Its answer is already in our inbox when we take the question back. */
static void test_cancel_with_the_answer_on_its_way(void **state)
{
    struct scene scene = {.version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct outcome outcome;
    struct lookup *lookup = begin(stores, "carl", &outcome);

    (void)state;
    while (!scene.asks)
        sched_yield();
    lookup_cancel(lookup);
    end(stores, &scene);
    assert_int_equal(outcome.told, 0);
}

static void test_last_reference_goes_while_asks_are_out(void **state)
{
    struct scene scene = {.manner = HOLD, .version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct store *store = store_at(stores, 0);
    struct outcome outcome;

    (void)state;
    begin(stores, "carl", &outcome);
    WAIT_UNTIL(scene.held == 1);
    stores_unref(&stores);
    assert_int_equal(scene.closes, 0);
    release(store);
    WAIT_UNTIL(outcome.told && scene.closes == 1);
    assert_int_equal(outcome.outcome, STORE_FOUND);
}

static void test_end_of_the_thread(void **state)
{
    struct scene scene = {.manner = HOLD, .version = 1};
    struct scene unused = {0};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct stores *never_asked;
    struct outcome outcomes[3];
    struct lookup *cancelled;
    struct error error;

    (void)state;
    begin(stores, "carl", &outcomes[0]);
    begin(stores, "carl", &outcomes[1]);
    cancelled = begin(stores, "dora", &outcomes[2]);
    WAIT_UNTIL(scene.held == 2);
    lookup_stop();
    lookup_cancel(cancelled);
    assert_int_equal(scene.closes, 1);
    for (int i = 0; i < 2; i++) {
        WAIT_UNTIL(outcomes[i].told);
        assert_int_equal(outcomes[i].outcome, STORE_FAILED);
        assert_int_equal(outcomes[i].error.kind, ERROR_CANCELLED);
    }
    loop_turn(test_loop, false);
    assert_int_equal(outcomes[2].told, 0);
    assert_null(begin(stores, "emil", &outcomes[0]));
    assert_int_equal(outcomes[0].error.kind, ERROR_CANCELLED);
    never_asked = stores_of(setup_of("unused", &records, &unused));
    stores_unref(&never_asked);
    assert_int_equal(unused.closes, 1);
    assert_int_equal(lookup_start(&error), 0);
    outcomes[0] = look(stores, "emil"); /* its stores were closed with the thread before */
    assert_int_equal(outcomes[0].error.kind, ERROR_CANCELLED);
    stores_unref(&stores);
}

static void test_figures_by_store(void **state)
{
    struct scene scenes[2] = {{.version = 1}, {.manner = FAIL}};
    struct stores *before = stores_of(setup_of("peo\"ple", &records, &scenes[0]));
    struct stores *after = stores_of(setup_of("peo\"ple", &records, &scenes[1]));
    struct buf out, narrow;

    (void)state;
    look(before, "carl");
    look(after, "carl");
    buf_init(&out, 4096);
    figures_collect(NULL, &out);
    assert_non_null(strstr(buf_cstr(&out), "\n# TYPE gatepost_store_asks_total counter\n"));
    assert_non_null(strstr(buf_cstr(&out), "\ngatepost_store_asks_total{store=\"peo\\\"ple\"} 2\n"));
    assert_non_null(strstr(buf_cstr(&out), "\ngatepost_store_failures_total{store=\"peo\\\"ple\"} 1\n"));
    buf_init(&narrow, buf_len(&out) - 1);
    figures_collect(NULL, &narrow);
    assert_int_equal(buf_len(&narrow), 0);
    end(before, &scenes[0]);
    end(after, &scenes[1]);
    buf_clear(&out);
    figures_collect(NULL, &out);
    assert_int_equal(buf_len(&out), 0);
    buf_done(&out);
    buf_done(&narrow);
}

/* ---- passwords and tokens ---- */

static void test_passwords(void **state)
{
    struct scene first = {.version = 1};
    struct scene second = {.version = 1};
    struct store_setup setups[] = {setup_of("directory", &passwords, &first), setup_of("people", &records, &second)};
    struct stores *stores = stores_make(setups, 2, &limits);
    struct outcome outcome, outcomes[2];

    (void)state;
    assert_true(stores_have(stores, STORE_PASSWORDS));
    for (int i = 1; i <= 2; i++) {
        outcome = look_as(stores, "carl", "right", LOOKUP_CACHED);
        assert_int_equal(outcome.outcome, STORE_FOUND);
        assert_int_equal(outcome.kind, STORE_PASSWORDS);
        assert_string_equal(outcome.name, "carl");
        assert_false(outcome.is_cached);
        assert_int_equal(first.asks, i);
    }
    outcome = look_as(stores, "carl", "wrong", LOOKUP_CACHED);
    assert_int_equal(outcome.outcome, STORE_REFUSED);
    assert_string_equal(outcome.store, "directory");
    assert_int_equal(second.asks, 0);
    outcome = look_as(stores, "carl", "", LOOKUP_CACHED); /* for SCRAM it has nothing to say */
    assert_string_equal(outcome.store, "people");
    assert_int_equal(first.asks, 3);
    first.manner = FAIL;
    assert_int_equal(look_as(stores, "carl", "right", LOOKUP_CACHED).outcome, STORE_FAILED);
    first.manner = HOLD; /* two with the same name and different passwords are two questions */
    begin_as(stores, "dora", "right", LOOKUP_CACHED, &outcomes[0]);
    begin_as(stores, "dora", "wrong", LOOKUP_CACHED, &outcomes[1]);
    WAIT_UNTIL(first.held == 2);
    release(store_at(stores, 0));
    WAIT_UNTIL(outcomes[0].told && outcomes[1].told);
    assert_int_equal(outcomes[0].outcome, STORE_FOUND);
    assert_int_equal(outcomes[1].outcome, STORE_REFUSED);
    end(stores, &second);
}

static struct outcome look_token(struct stores *stores, const char *user, const char *token)
{
    struct outcome outcome = {0};

    lookup_token(stores, test_loop, user, span_of(token), NULL, on_told, &outcome);
    WAIT_UNTIL(outcome.told);
    return outcome;
}

static void test_tokens(void **state)
{
    struct scene first = {.version = 1};
    struct scene second = {.version = 1};
    struct store_setup setups[] = {setup_of("people", &records, &first), setup_of("issuer", &tokens, &second)};
    struct stores *stores = stores_make(setups, 2, &limits);
    struct outcome outcome;

    (void)state;
    outcome = look_token(stores, NULL, "good for carl");
    assert_int_equal(outcome.outcome, STORE_FOUND);
    assert_int_equal(outcome.kind, STORE_TOKENS);
    assert_string_equal(outcome.name, "carl");
    assert_string_equal(outcome.issuer, "me");
    outcome = look_token(stores, NULL, "good");
    assert_int_equal(outcome.outcome, STORE_FOUND);
    assert_false(outcome.has_credential);
    assert_string_equal(look_token(stores, "dora", "good").name, "dora");
    outcome = look_token(stores, NULL, "bad");
    assert_int_equal(outcome.outcome, STORE_REFUSED);
    assert_string_equal(outcome.error.sentence, "the token has expired");
    assert_int_equal(first.asks, 0);
    assert_string_equal(look(stores, "carl").store, "people");
    end(stores, &second);
}

/* ---- many threads ---- */

#define THREADS 4
#define LOOKUPS_EACH 400

struct crowd {
    struct stores *stores;
    struct loop *loop;
    atomic_int told;
};

static void on_one_told(void *ctx, const struct lookup_result *result)
{
    struct crowd *crowd = ctx;

    MUST(result->outcome == STORE_FOUND || result->outcome == STORE_FAILED || result->outcome == STORE_NOT_FOUND);
    crowd->told++;
}

static void *ask_many(void *arg)
{
    struct crowd *mine = arg;
    struct loop *loop = mine->loop;
    int expected = 0;

    loop_adopt(loop);
    for (int i = 0; i < LOOKUPS_EACH; i++) {
        struct lookup *lookup;
        char user[16];

        snprintf(user, sizeof user, "%c%d", i % 3 ? 'u' : 'x', i % 40);
        lookup = lookup_user(mine->stores, loop, user, SPAN_LIT(""), NULL, i % 5 ? LOOKUP_CACHED : LOOKUP_AFRESH,
                             on_one_told, mine);
        if (lookup && i % 7 == 0)
            lookup_cancel(lookup);
        else
            expected++;
        if (i % 50 == 0)
            stores_purge(mine->stores, i % 100 ? user : NULL);
        loop_turn(loop, false);
    }
    while (mine->told < expected)
        loop_turn(loop, true);
    loop_turn(loop, false);
    return NULL;
}

static void test_many_threads(void **state)
{
    struct scene scene = {.version = 1};
    struct stores *stores = stores_of(setup_of("people", &records, &scene));
    struct crowd crowds[THREADS];
    pthread_t threads[THREADS];
    struct error error;

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (struct crowd){.stores = stores, .loop = loop_new("crowd", &error)};
        pthread_create(&threads[i], NULL, ask_many, &crowds[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        loop_free(crowds[i].loop);
    end(stores, &scene);
}

/* Set after set, each with the store that goes on and one of its own, while others look up and purge. */

#define SETS 300

static struct {
    pthread_mutex_t lock;
    struct stores *stores;
    bool is_over;
} current = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct stores *current_stores(void)
{
    struct stores *stores;

    pthread_mutex_lock(&current.lock);
    stores = current.is_over ? NULL : stores_ref(current.stores);
    pthread_mutex_unlock(&current.lock);
    return stores;
}

static void *ask_current(void *arg)
{
    struct crowd *mine = arg;
    struct stores *stores;
    int expected = 0;

    loop_adopt(mine->loop);
    while ((stores = current_stores())) {
        char user[16];

        snprintf(user, sizeof user, "%c%d", expected % 3 ? 'u' : 'x', expected % 40);
        lookup_user(stores, mine->loop, user, SPAN_LIT(""), NULL, expected % 5 ? LOOKUP_CACHED : LOOKUP_AFRESH,
                    on_one_told, mine);
        if (expected++ % 50 == 0)
            stores_purge(stores, user);
        stores_unref(&stores);
        loop_turn(mine->loop, false);
    }
    while (mine->told < expected)
        loop_turn(mine->loop, true);
    return NULL;
}

static void replace_current(struct scene *own)
{
    struct store_setup setup = setup_of("own", &records, own);
    struct stores *former = current.stores, *next;

    next = followed_by(former, slot_ref(former->slots[0]), slot_new(&setup, NULL, former->cache));
    stores_use(next);
    pthread_mutex_lock(&current.lock);
    current.stores = next;
    pthread_mutex_unlock(&current.lock);
    stores_unref(&former);
}

static void test_set_after_set(void **state)
{
    struct scene scene = {.version = 1}, own = {.version = 1};
    struct crowd crowds[2];
    pthread_t threads[2];
    struct error error;

    (void)state;
    current.stores = stores_of(setup_of("people", &records, &scene));
    for (int i = 0; i < 2; i++) {
        crowds[i] = (struct crowd){.loop = loop_new("crowd", &error)};
        pthread_create(&threads[i], NULL, ask_current, &crowds[i]);
    }
    for (int i = 0; i < SETS; i++) {
        replace_current(&own);
        loop_turn(test_loop, false);
    }
    pthread_mutex_lock(&current.lock);
    current.is_over = true;
    pthread_mutex_unlock(&current.lock);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(scene.closes, 0);
    stores_unref(&current.stores);
    WAIT_UNTIL(scene.closes == 1 && own.closes == SETS);
    for (int i = 0; i < 2; i++)
        loop_free(crowds[i].loop);
}

/* A worker that goes with lookups out, before or after the lookup thread has gone. */
struct leaver {
    struct thread thread;
    struct stores *stores;
    struct lookup *lookups[20];
};

static void on_leaver_told(void *ctx, const struct lookup_result *result)
{
    (void)result;
    *(struct lookup **)ctx = NULL;
}

static int open_leaver(void *ctx, struct loop *loop, struct error *error)
{
    struct leaver *leaver = ctx;

    (void)error;
    for (int i = 0; i < 20; i++) {
        char user[16];

        snprintf(user, sizeof user, "u%d", i % 15);
        leaver->lookups[i] = lookup_user(leaver->stores, loop, user, SPAN_LIT(""), NULL, LOOKUP_CACHED, on_leaver_told,
                                         &leaver->lookups[i]);
    }
    return 0;
}

static void close_leaver(void *ctx)
{
    struct leaver *leaver = ctx;

    for (int i = 0; i < 20; i++)
        lookup_cancel(leaver->lookups[i]);
    stores_unref(&leaver->stores);
}

static void leave(struct stores *stores, bool is_lookup_first)
{
    struct leaver leavers[3] = {{.stores = NULL}};
    struct error error;

    for (int i = 0; i < 3; i++) {
        leavers[i].stores = stores_ref(stores);
        assert_int_equal(thread_start(&leavers[i].thread, "leaver", open_leaver, close_leaver, &leavers[i], &error), 0);
    }
    if (is_lookup_first)
        lookup_stop();
    for (int i = 0; i < 3; i++) {
        thread_stop(&leavers[i].thread);
        thread_done(&leavers[i].thread);
    }
    if (!is_lookup_first)
        lookup_stop();
    assert_int_equal(lookup_start(&error), 0);
}

static void test_ends_in_any_order(void **state)
{
    (void)state;
    for (int round = 0; round < 40; round++) {
        struct scene scene = {.manner = round & 2 ? HOLD : ANSWER};
        struct store_setup setup = setup_of("people", &records, &scene);
        struct stores *stores;

        setup.concurrency = 20;
        setup.waiting_limit = 20;
        stores = stores_of(setup);
        leave(stores, round & 1);
        stores_unref(&stores);
        WAIT_UNTIL(scene.closes == 1); /* by mail, when the former thread had no time to start it */
        loop_turn(test_loop, false);
    }
}

/* ---- */

static int start(void **state)
{
    struct error error;

    (void)state;
    test_loop = loop_new("test", &error);
    loop_adopt(test_loop);
    return test_loop ? lookup_start(&error) : -1;
}

static int stop(void **state)
{
    (void)state;
    lookup_stop();
    lookup_stop(); /* once more does nothing */
    loop_turn(test_loop, false);
    loop_free(test_loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_ask_for_all_who_wait),
        cmocka_unit_test(test_records_age),
        cmocka_unit_test(test_order_of_stores),
        cmocka_unit_test(test_failures_are_not_kept),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_afresh),
        cmocka_unit_test(test_all_who_look_afresh_get_the_fresh_one),
        cmocka_unit_test(test_purge_overtakes_an_answer),
        cmocka_unit_test(test_purge_by_the_name_of_the_record),
        cmocka_unit_test(test_purges_are_told_to_drivers),
        cmocka_unit_test(test_what_a_store_said_goes_on_with_it),
        cmocka_unit_test(test_a_store_that_changed_knows_nothing),
        cmocka_unit_test(test_another_order_is_gone_by),
        cmocka_unit_test(test_a_purge_reaches_former_and_following_sets),
        cmocka_unit_test(test_the_last_limits_count_for_all),
        cmocka_unit_test(test_endless_purging_is_a_failure),
        cmocka_unit_test(test_unreadable_record_is_a_failure),
        cmocka_unit_test(test_lower_case),
        cmocka_unit_test(test_hanging_store_delays_no_other),
        cmocka_unit_test(test_time_limit),
        cmocka_unit_test(test_bounded_waiting),
        cmocka_unit_test(test_long_queue_of_immediate_answers),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_with_the_answer_on_its_way),
        cmocka_unit_test(test_last_reference_goes_while_asks_are_out),
        cmocka_unit_test(test_end_of_the_thread),
        cmocka_unit_test(test_figures_by_store),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_set_after_set),
        cmocka_unit_test(test_ends_in_any_order),
    };

    clock_inject(&test_clock);
    return cmocka_run_group_tests(tests, start, stop);
}
