/* SPDX-License-Identifier: Apache-2.0
 *
 * The Vault driver against a server with Vault's statuses and bodies: what is a verdict and what is not, and the life
 * of its token: logins for all who wait, renewal, revocation, rotation, and outages that end.
 *
 * Tokens last for an hour, of which a machine that stands still for seconds takes nothing; the hour is passed by moving
 * the clock on. The loop's clock is the system's, so it is that one which is moved.
 */
#include "ask_store.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <uv.h>

#include "../../support/helper.h"
#include "credential/store_vault.h"
#include "credential/template.h"
#include "http/vault_login.h"

#define ROOT "token = 'hvs.root-token-of-the-test'\npath = 'users/{user}'\n"
#define APPROLE "auth = 'approle'\nrole_id = 'relay-role'\nsecret_id = 's3cret-id'\npath = 'users/{user}'\n"

static struct helper vault;

/* A busy machine may make the server slow, which is no failure of its. */
#define PATIENT "timeout = '60s'\n"

static struct test_store open_within(const char *timeout, const char *more)
{
    char toml[2048];

    snprintf(toml, sizeof toml, "address = '%s'\n%s%s", helper_place(&vault, "address"), timeout, more);
    return test_store_open(&store_vault, toml);
}

static struct test_store open_vault(const char *more) { return open_within(PATIENT, more); }

static json_int_t count_of(const char *what)
{
    json_t *counts = helper_tell(&vault, "{\"counts\": true}");
    json_int_t count = json_integer_value(json_object_get(counts, what));

    json_decref(counts);
    return count;
}

static void tell(const char *command) { json_decref(helper_tell(&vault, command)); }

static void on_due(void *ctx) { (void)ctx; }

/* Lets the loop's clock go on, and what is due happen. */
static void pass(struct test_store *store, uint64_t ms)
{
    uint64_t end_ms = clock_mono_ms() + ms;
    struct timer timer;

    timer_init(&timer, store->loop, on_due, NULL);
    while (clock_mono_ms() < end_ms) {
        timer_start(&timer, 10);
        loop_turn(store->loop, true);
    }
    timer_stop(&timer);
}

/* ---- the clock: the real one, so much later ---- */

#define TTL_S 3600            /* of vault.py's tokens */
#define DUE_S (TTL_S / 3 * 2) /* when a token is renewed */
#define FRESH_MS 5000         /* a younger token is not doubted */
#define RETRY_MS 1000         /* after a login that failed */

static atomic_int later_s;

/* Found before the C library's own, by libuv and libcurl too. */
int clock_gettime(clockid_t id, struct timespec *time)
{
    int status = (int)syscall(SYS_clock_gettime, id, time);

    if (!status && (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE))
        time->tv_sec += atomic_load(&later_s);
    return status;
}

static void count_busy_poll(uv_handle_t *handle, void *ctx)
{
    if (uv_handle_get_type(handle) == UV_POLL && uv_is_active(handle))
        ++*(int *)ctx;
}

/* Its socket is watched until the whole answer is there, and has been taken. */
static bool is_request_out(const struct test_store *store)
{
    int busy = 0;

    uv_walk(loop_uv(store->loop), count_busy_poll, &busy);
    return busy > 0;
}

/* A request that is out would have no time left, so its answer is waited for. What Vault has counted is seen to be out;
 * what has only just begun is not. */
static void move_on(struct test_store *store, int seconds)
{
    uint64_t then_ms = loop_now_ms(store->loop);

    while (is_request_out(store))
        loop_turn(store->loop, true);
    atomic_fetch_add(&later_s, seconds);
    loop_turn(store->loop, false);
    assert_true(loop_now_ms(store->loop) - then_ms >= (uint64_t)seconds * 1000); /* it is moved for libuv, too */
}

static void a_secret_is_a_record(void **state)
{
    struct test_store store = open_vault(ROOT);
    struct test_ask ask = ask_store(&store, "ann", NULL);

    (void)state;
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_string_equal(ask.credential->secrets[0].stored, "tiger");
    assert_int_equal(ask.credential->groups.count, 2);
    assert_string_equal(ask.credential->tenants.texts[0], "lions");
    ask_forget(&ask);
    test_store_close(&store);
}

static void the_password_field_has_any_name(void **state)
{
    struct test_store store = open_vault(ROOT "field = 'key'");
    struct test_ask ask;

    (void)state;
    assert_stored(&store, "key", "tiger");
    ask = ask_store(&store, "ann", NULL);
    assert_int_equal(ask.outcome, STORE_FAILED); /* the operator's mistake, not the user's */
    assert_non_null(strstr(ask.error.sentence, "no field key"));
    test_store_close(&store);
}

static void version_1_and_namespaces(void **state)
{
    struct test_store store = open_vault(ROOT "mount = 'kv'\nkv = 1");

    (void)state;
    assert_stored(&store, "ann", "leopard");
    assert_int_equal(ask_outcome(&store, "bob", NULL), STORE_NOT_FOUND);
    test_store_close(&store);
    store = open_vault(ROOT "namespace = 'team'");
    assert_stored(&store, "ann", "panther");
    test_store_close(&store);
    store = open_vault(ROOT "namespace = 'nobody'");
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED);
    test_store_close(&store);
    store = open_vault(ROOT "kv = 1"); /* the mount is of version 2 */
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED);
    test_store_close(&store);
}

static void only_a_verdict_is_a_verdict(void **state)
{
    static const struct {
        const char *user;
        enum store_outcome outcome;
    } cases[] = {
        {"bob", STORE_NOT_FOUND},    {"deleted", STORE_NOT_FOUND},  {"denied", STORE_FAILED},
        {"busy", STORE_FAILED},      {"standby-472", STORE_FAILED}, {"standby-473", STORE_FAILED},
        {"sealed", STORE_FAILED},    {"broken", STORE_FAILED},      {"bad-request", STORE_FAILED},
        {"garbage", STORE_FAILED},   {"not-vault", STORE_FAILED},   {"number", STORE_FAILED},
        {"truncated", STORE_FAILED}, {"endless", STORE_FAILED},     {"redirect", STORE_FAILED},
    };
    struct test_store store = open_vault(ROOT);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_ask ask = ask_store(&store, cases[i].user, NULL);

        if (ask.outcome != cases[i].outcome)
            fail_msg("%s: %d %s", cases[i].user, (int)ask.outcome, ask.error.sentence);
        assert_null(strstr(ask.error.sentence, "hvs."));
        ask_forget(&ask);
        assert_stored(&store, "ann", "tiger"); /* and the next is none the worse for it */
    }
    test_store_close(&store);
}

static void a_server_that_hangs_gives_no_verdict(void **state)
{
    struct test_store store = open_within("timeout = '500ms'\n", ROOT);
    enum store_outcome outcome;

    (void)state;
    assert_int_equal(ask_outcome(&store, "hang", NULL), STORE_FAILED);
    while ((outcome = ask_outcome(&store, "ann", NULL)) == STORE_FAILED)
        ; /* on a busy machine it may be late once more */
    assert_int_equal(outcome, STORE_FOUND);
    test_store_close(&store);
}

static void a_name_that_is_a_way_is_nobodys(void **state)
{
    static const char *const names[] = {"", ".", "..", "../ann", "x/../ann", "x/ann", "a\nb", "a\x7f"};
    struct test_store store = open_vault(ROOT);
    json_int_t reads = count_of("reads");
    char *longest = mem_zalloc(5001);

    (void)state;
    memset(longest, 'a', 5000);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(ask_outcome(&store, names[i], NULL), STORE_NOT_FOUND);
    assert_int_equal(ask_outcome(&store, longest, NULL), STORE_NOT_FOUND);
    assert_int_equal(count_of("reads"), reads);
    tell("{\"put\": [\"secret\", \"users/a b?c#d%2e&{user}\", {\"password\": \"odd\"}]}");
    assert_stored(&store, "a b?c#d%2e&{user}", "odd");
    free(longest);
    test_store_close(&store);
}

static void one_login_for_all_who_wait(void **state)
{
    struct test_store store = open_vault(APPROLE);
    json_int_t logins = count_of("logins");
    struct test_ask asks[50];

    (void)state;
    for (size_t i = 0; i < 50; i++)
        ask_begin(&store, &asks[i], "ann", NULL);
    store.driver->cancel(store.store, &asks[7].ask);
    for (size_t i = 0; i < 50; i++) {
        if (i == 7)
            continue;
        ask_wait(&store, &asks[i]);
        assert_int_equal(asks[i].outcome, STORE_FOUND);
        ask_forget(&asks[i]);
    }
    assert_int_equal(asks[7].calls, 0);
    assert_int_equal(count_of("logins"), logins + 1);
    test_store_close(&store);
}

/* One, and one more for each `pause_ms` that a slow machine took. */
static void assert_logins_since(uint64_t began_ms, uint64_t pause_ms, json_int_t before)
{
    json_int_t logins = count_of("logins") - before;

    assert_in_range(logins, 1, 1 + (clock_mono_ms() - began_ms) / pause_ms);
}

static void a_login_that_is_refused_is_tried_again_later(void **state)
{
    struct test_store store = open_vault(APPROLE);
    uint64_t began_ms = clock_mono_ms();
    json_int_t logins = count_of("logins");
    struct test_ask ask;

    (void)state;
    tell("{\"set\": {\"secret_id\": \"changed\"}}");
    for (int i = 0; i < 20; i++) {
        ask = ask_store(&store, "ann", NULL);
        assert_int_equal(ask.outcome, STORE_FAILED);
        assert_null(strstr(ask.error.sentence, "s3cret-id"));
    }
    assert_logins_since(began_ms, RETRY_MS, logins); /* no storm */
    tell("{\"set\": {\"secret_id\": \"s3cret-id\"}}");
    move_on(&store, 2);
    assert_stored(&store, "ann", "tiger");
    test_store_close(&store);
}

static void a_sealed_vault_recovers(void **state)
{
    struct test_store store = open_vault(APPROLE);

    (void)state;
    tell("{\"set\": {\"sealed\": true}}");
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED);
    tell("{\"set\": {\"sealed\": false}}");
    move_on(&store, 2);
    assert_stored(&store, "ann", "tiger");
    tell("{\"set\": {\"sealed\": true}}");
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED);
    tell("{\"set\": {\"sealed\": false}}");
    assert_stored(&store, "ann", "tiger"); /* the token is still good: at once */
    test_store_close(&store);
}

static void wait_count(struct test_store *store, const char *what, json_int_t least)
{
    uint64_t end_ms = clock_mono_ms() + 60000;

    while (count_of(what) < least) {
        if (clock_mono_ms() > end_ms)
            fail_msg("fewer than %lld %s", (long long)least, what);
        pass(store, 10);
    }
}

/* Three times: each is due only when the one before was granted. */
static void renewed_thrice(struct test_store *store, bool is_asked)
{
    json_int_t renewals = count_of("renewals");

    for (int i = 1; i <= 3; i++) {
        move_on(store, DUE_S);
        if (is_asked)
            assert_stored(store, "ann", "tiger");
        wait_count(store, "renewals", renewals + i);
    }
}

static void a_token_is_renewed_before_it_ends(void **state)
{
    struct test_store store = open_vault(APPROLE);
    json_int_t logins = count_of("logins");

    (void)state;
    assert_stored(&store, "ann", "tiger");
    renewed_thrice(&store, true);
    assert_stored(&store, "ann", "tiger");
    assert_int_equal(count_of("logins"), logins + 1);
    test_store_close(&store);
}

static void what_cannot_be_renewed_is_logged_in_anew(void **state)
{
    struct test_store store;
    json_int_t logins, refused;

    (void)state;
    tell("{\"set\": {\"renewals_left\": 0}}");
    store = open_vault(APPROLE);
    logins = count_of("logins");
    refused = count_of("refused");
    assert_stored(&store, "ann", "tiger");
    move_on(&store, DUE_S);
    assert_stored(&store, "ann", "tiger");
    wait_count(&store, "logins", logins + 2);
    move_on(&store, TTL_S - DUE_S + 1); /* the first one's end */
    assert_stored(&store, "ann", "tiger");
    assert_int_equal(count_of("logins"), logins + 2);
    assert_int_equal(count_of("refused"), refused); /* nobody was ever answered 403 */
    tell("{\"set\": {\"renewals_left\": 1000}}");
    test_store_close(&store);
}

static void a_revoked_token_is_replaced_once(void **state)
{
    struct test_store store;
    uint64_t began_ms;
    json_int_t logins;
    struct test_ask ask;

    (void)state;
    store = open_vault(APPROLE);
    assert_stored(&store, "ann", "tiger");
    move_on(&store, FRESH_MS / 1000 + 1);
    began_ms = clock_mono_ms();
    logins = count_of("logins");
    tell("{\"revoke\": true}");
    assert_stored(&store, "ann", "tiger");
    assert_int_equal(count_of("logins"), logins + 1);
    for (int i = 0; i < 10; i++) {
        ask = ask_store(&store, "denied", NULL); /* the policy does not allow it: that is no reason to log in */
        assert_int_equal(ask.outcome, STORE_FAILED);
        assert_non_null(strstr(ask.error.sentence, "403"));
    }
    assert_logins_since(began_ms, FRESH_MS, logins);
    test_store_close(&store);
}

static void a_token_file_is_read_again(void **state)
{
    struct test_store store;
    char more[1024];

    (void)state;
    tell("{\"grant\": {\"token\": \"hvs.file-one\"}}");
    snprintf(more, sizeof more, "token_file = '%s'\npath = 'users/{user}'", in_dir("token"));
    store = open_vault(more);
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED); /* there is none yet */
    write_file("token", "hvs.file-one\n");
    move_on(&store, 2);
    assert_stored(&store, "ann", "tiger");
    tell("{\"revoke\": true}");
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED);
    tell("{\"grant\": {\"token\": \"hvs.file-two\"}}");
    write_file("token", "hvs.file-two\n");
    assert_stored(&store, "ann", "tiger"); /* a 403 looks at once */
    unlink(in_dir("token"));
    move_on(&store, 2);
    assert_stored(&store, "ann", "tiger"); /* what we have stays good */
    test_store_close(&store);
}

static struct test_store open_with_file(const char *token)
{
    char more[1024];

    snprintf(more, sizeof more, "token_file = '%s'\npath = 'users/{user}'", in_dir("token"));
    write_file("token", token);
    return open_vault(more);
}

static void a_token_of_a_file_is_renewed_before_it_ends(void **state)
{
    json_int_t renewals = count_of("renewals"), refused = count_of("refused");
    struct test_store store;

    (void)state;
    tell("{\"grant\": {\"token\": \"hvs.first\"}}");
    store = open_with_file("hvs.first\n");
    assert_stored(&store, "ann", "tiger");
    wait_count(&store, "renewals", renewals + 1);
    renewed_thrice(&store, true);
    tell("{\"grant\": {\"token\": \"hvs.second\"}}");
    write_file("token", "hvs.second\n"); /* of another length: within a tick of the file system's clock, too */
    renewals = count_of("renewals");
    move_on(&store, 2);
    assert_stored(&store, "ann", "tiger");
    wait_count(&store, "renewals", renewals + 1);
    renewed_thrice(&store, true);
    assert_int_equal(count_of("refused"), refused);
    test_store_close(&store);
}

/* From the start on: a night without logins must not cost the token. */
static void a_token_of_a_file_is_renewed_while_nobody_asks(void **state)
{
    json_int_t renewals = count_of("renewals");
    struct test_store store;

    (void)state;
    tell("{\"grant\": {\"token\": \"hvs.quiet-one\"}}");
    store = open_with_file("hvs.quiet-one");
    wait_count(&store, "renewals", renewals + 1);
    renewed_thrice(&store, false);
    test_store_close(&store);
}

static void a_token_of_a_file_that_is_not_renewable_is_used_as_it_is(void **state)
{
    json_int_t renewals = count_of("renewals");
    struct test_store store;

    (void)state;
    tell("{\"grant\": {\"token\": \"hvs.agents\", \"renewable\": false}}");
    store = open_with_file("hvs.agents");
    wait_count(&store, "renewals", renewals + 1);
    move_on(&store, TTL_S);
    assert_stored(&store, "ann", "tiger");
    assert_int_equal(count_of("renewals"), renewals + 1); /* asked for once */
    test_store_close(&store);
}

/* A renewal of the token before has nothing to say about the one that came meanwhile. */
static void a_renewal_is_dropped_when_the_file_changes(void **state)
{
    json_int_t renewals = count_of("renewals");
    struct test_store store;

    (void)state;
    tell("{\"set\": {\"hang_renewals\": true}}");
    tell("{\"grant\": {\"token\": \"hvs.stuck\"}}");
    store = open_with_file("hvs.stuck");
    wait_count(&store, "renewals", renewals + 1);
    assert_stored(&store, "ann", "tiger"); /* meanwhile */
    tell("{\"set\": {\"hang_renewals\": false}}");
    tell("{\"revoke\": true}");
    tell("{\"grant\": {\"token\": \"hvs.next\"}}");
    write_file("token", "hvs.next");
    assert_stored(&store, "ann", "tiger");
    wait_count(&store, "renewals", renewals + 2);
    test_store_close(&store);
}

static void kubernetes_shows_its_current_token(void **state)
{
    struct test_store store;
    char more[1024];

    (void)state;
    write_file("jwt", "jwt-old");
    snprintf(more, sizeof more, "auth = 'kubernetes'\nrole = 'relay'\njwt_file = '%s'\npath = 'users/{user}'",
             in_dir("jwt"));
    store = open_vault(more);
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED);
    write_file("jwt", "jwt-one\n");
    move_on(&store, 2);
    assert_stored(&store, "ann", "tiger");
    test_store_close(&store);
    snprintf(more, sizeof more, "auth = 'jwt'\nrole = 'relay'\njwt_file = '%s'\npath = 'users/{user}'", in_dir("jwt"));
    store = open_vault(more);
    assert_stored(&store, "ann", "tiger");
    test_store_close(&store);
    snprintf(more, sizeof more, "auth = 'jwt'\nauth_mount = 'nowhere'\nrole = 'relay'\njwt_file = '%s'\n",
             in_dir("jwt"));
    store = open_vault(more);
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED);
    test_store_close(&store);
}

static void a_login_that_hangs_can_be_left(void **state)
{
    struct test_store store = open_vault(APPROLE);
    struct test_ask asks[3];

    (void)state;
    tell("{\"set\": {\"hang_logins\": true}}");
    for (int i = 0; i < 3; i++)
        ask_begin(&store, &asks[i], "ann", NULL);
    pass(&store, 50);
    for (int i = 0; i < 3; i++)
        store.driver->cancel(store.store, &asks[i].ask);
    test_store_close(&store);
    for (int i = 0; i < 3; i++)
        assert_int_equal(asks[i].calls, 0);
    tell("{\"set\": {\"hang_logins\": false}}");
}

static void settings_that_cannot_be(void **state)
{
    static const struct {
        const char *toml, *says;
    } cases[] = {
        {"token = 'x'", "address: must be given"},
        {"address = 'https://v'\n", "token: must be given"},
        {"address = 'http://vault.example'\ntoken = 'x'", "allow_plain"},
        {"address = 'ftp://v'\ntoken = 'x'", "http://"},
        {"address = 'https://u:p@v'\ntoken = 'x'", "user name"},
        {"address = 'https://v'\ntoken = 'x'\npath = 'users'", "{user}"},
        {"address = 'https://v'\ntoken = 'x'\nkv = 3", "kv"},
        {"address = 'https://v'\ntoken = 'x'\ntoken_file = '/x'", "second time"},
        {"address = 'https://v'\nauth = 'approle'", "role_id"},
        {"address = 'https://v'\nauth = 'jwt'\nrole = 'x'", "jwt_file"},
        {"address = 'https://v'\nauth = 'ldap'", "auth"},
        {"address = 'https://v'\ntoken = 'x'\nca_file = '/nowhere/ca.pem'", "ca_file"},
        {"address = 'https://v'\ntoken = 'x'\nshoe = 1", "shoe"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {0};

        assert_null(try_open(&store_vault, cases[i].toml, &error));
        if (!strstr(error.sentence, cases[i].says))
            fail_msg("%s: %s", cases[i].toml, error.sentence);
    }
}

/* ---- pure ---- */

static void leases(void **state)
{
    uint64_t due = 0;

    (void)state;
    assert_int_equal(vault_lease_next(&(struct vault_lease){0}, true, &due), VAULT_STEP_NONE);
    assert_int_equal(vault_lease_next(&(struct vault_lease){100, 3000, 3000, true}, true, &due), VAULT_STEP_RENEW);
    assert_int_equal(due, 2100);
    assert_int_equal(vault_lease_next(&(struct vault_lease){100, 3000, 3000, false}, true, &due), VAULT_STEP_LOGIN);
    assert_int_equal(vault_lease_next(&(struct vault_lease){100, 3000, 3000, false}, false, &due), VAULT_STEP_NONE);
    /* near the token's last day */
    assert_int_equal(vault_lease_next(&(struct vault_lease){100, 1400, 3000, true}, true, &due), VAULT_STEP_LOGIN);
    assert_int_equal(vault_lease_next(&(struct vault_lease){100, 1400, 3000, true}, false, &due), VAULT_STEP_RENEW);
    assert_true(vault_lease_holds(&(struct vault_lease){.granted_ms = 1}, UINT64_MAX));
    assert_true(vault_lease_holds(&(struct vault_lease){.granted_ms = 1, .lease_ms = 10}, 10));
    assert_false(vault_lease_holds(&(struct vault_lease){.granted_ms = 1, .lease_ms = 10}, 11));
}

static void answers_to_logins(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum vault_login_outcome outcome;
    } cases[] = {
        {200, "{\"auth\":{\"client_token\":\"hvs.x\",\"lease_duration\":60,\"renewable\":true}}", VAULT_GRANTED},
        {200, "{\"auth\":{\"client_token\":\"hvs.x\",\"lease_duration\":0}}", VAULT_GRANTED},
        {200, "{\"auth\":{\"client_token\":\"\",\"lease_duration\":60}}", VAULT_NO_ANSWER},
        {200, "{\"auth\":{\"client_token\":\"a\\r\\nX: y\",\"lease_duration\":60}}", VAULT_NO_ANSWER},
        {200, "{\"auth\":{\"client_token\":\"a b\",\"lease_duration\":60}}", VAULT_NO_ANSWER},
        {200, "{\"auth\":{\"client_token\":5,\"lease_duration\":60}}", VAULT_NO_ANSWER},
        {200, "{\"auth\":{\"client_token\":\"x\",\"lease_duration\":-1}}", VAULT_NO_ANSWER},
        {200, "{\"auth\":{\"client_token\":\"x\",\"lease_duration\":\"1h\"}}", VAULT_NO_ANSWER},
        {200, "{\"auth\":{\"client_token\":\"x\",\"lease_duration\":9223372036854775807}}", VAULT_NO_ANSWER},
        {200, "{\"auth\":null}", VAULT_NO_ANSWER},
        {200, "[]", VAULT_NO_ANSWER},
        {200, "", VAULT_NO_ANSWER},
        {204, "", VAULT_NO_ANSWER},
        {307, "", VAULT_NO_ANSWER},
        {400, "{\"errors\":[\"invalid role or secret ID\"]}", VAULT_REFUSED},
        {403, "{\"errors\":[\"permission denied\"]}", VAULT_REFUSED},
        {404, "{\"errors\":[]}", VAULT_NO_ANSWER},
        {429, "", VAULT_NO_ANSWER},
        {473, "", VAULT_NO_ANSWER},
        {500, "", VAULT_NO_ANSWER},
        {503, "{\"errors\":[\"Vault is sealed\"]}", VAULT_NO_ANSWER},
    };
    const struct vault_account account = {.address = "https://v", .method = VAULT_APPROLE};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_response response = {.status = cases[i].status};
        struct vault_grant grant = {0};
        struct error error = {0};

        buf_init(&response.body, 4096);
        assert_int_equal(buf_append(&response.body, cases[i].body, strlen(cases[i].body)), 0);
        if (vault_login_read(&account, &response, &grant, &error) != cases[i].outcome)
            fail_msg("%d %s", cases[i].status, cases[i].body);
        assert_true((cases[i].outcome == VAULT_GRANTED) == !error.sentence[0]);
        free(grant.token);
        buf_done(&response.body);
    }
}

static void logins_are_written(void **state)
{
    static const struct {
        struct vault_account account;
        const char *jwt, *url, *body; /* NULL: there is no such request */
    } cases[] = {
        {{.address = "https://v/", .method = VAULT_APPROLE, .role = "r\"", .secret_id = "s"},
         "",
         "https://v/v1/auth/approle/login",
         "{\"role_id\":\"r\\\"\",\"secret_id\":\"s\"}"},
        {{.address = "https://v", .method = VAULT_APPROLE, .mount = "a/b c", .role = "r"},
         "",
         "https://v/v1/auth/a/b%20c/login",
         "{\"role_id\":\"r\"}"},
        {{.address = "https://v", .method = VAULT_KUBERNETES, .role = "r"},
         "j.w.t",
         "https://v/v1/auth/kubernetes/login",
         "{\"role\":\"r\",\"jwt\":\"j.w.t\"}"},
        {{.address = "https://v", .method = VAULT_JWT, .role = "r"}, "\xff", NULL, NULL},
        {{.address = "https://v", .method = VAULT_JWT, .mount = "..", .role = "r"}, "j", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {0};
        struct buf url, body;
        int status;

        buf_init(&url, 4096);
        buf_init(&body, 4096);
        status = vault_login_write(&cases[i].account, span_of(cases[i].jwt), &url, &body, &error);
        assert_int_equal(status, cases[i].url ? 0 : -1);
        if (cases[i].url) {
            assert_string_equal(buf_cstr(&url), cases[i].url);
            assert_string_equal(buf_cstr(&body), cases[i].body);
        }
        buf_done(&url);
        buf_done(&body);
    }
}

static int begin(void **state)
{
    helper_start(&vault, "vault.py");
    return make_dir(state);
}

static int end(void **state)
{
    helper_stop(&vault);
    return remove_dir(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_is_a_record),
        cmocka_unit_test(the_password_field_has_any_name),
        cmocka_unit_test(version_1_and_namespaces),
        cmocka_unit_test(only_a_verdict_is_a_verdict),
        cmocka_unit_test(a_server_that_hangs_gives_no_verdict),
        cmocka_unit_test(a_name_that_is_a_way_is_nobodys),
        cmocka_unit_test(one_login_for_all_who_wait),
        cmocka_unit_test(a_login_that_is_refused_is_tried_again_later),
        cmocka_unit_test(a_sealed_vault_recovers),
        cmocka_unit_test(a_token_is_renewed_before_it_ends),
        cmocka_unit_test(what_cannot_be_renewed_is_logged_in_anew),
        cmocka_unit_test(a_revoked_token_is_replaced_once),
        cmocka_unit_test(a_token_file_is_read_again),
        cmocka_unit_test(a_token_of_a_file_is_renewed_before_it_ends),
        cmocka_unit_test(a_token_of_a_file_is_renewed_while_nobody_asks),
        cmocka_unit_test(a_token_of_a_file_that_is_not_renewable_is_used_as_it_is),
        cmocka_unit_test(a_renewal_is_dropped_when_the_file_changes),
        cmocka_unit_test(kubernetes_shows_its_current_token),
        cmocka_unit_test(a_login_that_hangs_can_be_left),
        cmocka_unit_test(settings_that_cannot_be),
        cmocka_unit_test(leases),
        cmocka_unit_test(answers_to_logins),
        cmocka_unit_test(logins_are_written),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
