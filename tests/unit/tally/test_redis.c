/* SPDX-License-Identifier: Apache-2.0
 *
 * Against a real Redis: the same answers as memory, one limit over two instances, and every way in which Redis can fail
 * to be there.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* the order is cmocka's wish */
#include <cmocka.h>

#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>

#include "base/mem.h"
#include "base/secret.h"
#include "clock.h"
#include "metrics/metrics.h"
#include "redis_server.h"
#include "tls/tls.h"

static struct redis_server server;
static struct loop *loop;

/* Patient: on a busy machine anybody may be kept waiting, and a call that took too long is answered here. */
static struct tally_options options_here(void)
{
    return (struct tally_options){
        .redis = server.path, .prefix = "te[s]t*", .secret = "common", .entries = 10000, .timeout_ms = 60000};
}

/* The change is another thread's, and tells nobody. One that does not come is left to the time limit of the program. */
static void wait_reason(struct tally *tally, bool is_used, const char *reason)
{
    struct tally_status status;

    for (;;) {
        tally_status(tally, &status);
        if (status.redis_is_used == is_used && strstr(status.reason, reason))
            return;
        nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    }
}

static void wait_for(struct tally *tally, bool is_used) { wait_reason(tally, is_used, ""); }

static struct tally *connected(const struct tally_options *options)
{
    struct error error;
    struct tally *tally = tally_new(options, &error);

    assert_non_null(tally);
    wait_for(tally, true);
    return tally;
}

static int set_up(void **state)
{
    struct error error;

    (void)state;
    memset(&server, 0, sizeof server);
    redis_server_start(&server);
    loop = loop_new("test", &error);
    return loop ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    clock_inject(NULL);
    redis_server_stop(&server);
    loop_free(loop);
    return 0;
}

static struct test_answer count_one(struct tally *tally, const char *name, double amount)
{
    struct tally_key key = test_key("fail", name);
    struct tally_op op = {.kind = TALLY_COUNT, .key = &key, .amount = amount, .time_ms = 1000 * DAY};

    return test_run(tally, loop, &op, 1);
}

/* ---- the same answers ---- */

struct random_op {
    struct tally_key key;
    char member[8];
};

static unsigned pick(unsigned *seed, unsigned below) { return (unsigned)rand_r(seed) % below; }

static void make_op(unsigned *seed, size_t index, struct random_op *random, struct tally_op *op)
{
    static const double limits[] = {0, 3, 5, 20};
    unsigned number = pick(seed, 5);
    char name[8];

    snprintf(name, sizeof name, "k*[%u", number);
    snprintf(random->member, sizeof random->member, "m%u", pick(seed, 12));
    random->key = test_key("mixed", name);
    *op = (struct tally_op){.kind = (enum tally_kind)pick(seed, TALLY_FORGET + (pick(seed, 4) == 0)),
                            .key = &random->key,
                            .member = span_of(random->member),
                            .limit = limits[pick(seed, 4)],
                            .time_ms = 60 * SECOND * (1 + number % 2),
                            .most = 8,
                            .keep = pick(seed, 2)};
    op->amount = (double)pick(seed, 70) / 10 - (op->kind == TALLY_TAKE || op->kind == TALLY_COUNT ? 2 : 0);
    if (index && pick(seed, 3) == 0)
        op->if_new = (uint8_t)(1 + pick(seed, (unsigned)index));
}

static void assert_same(const struct test_answer *a, const struct test_answer *b, size_t count, int step)
{
    assert_int_equal(a->refused_by, b->refused_by);
    for (size_t i = 0; i < count; i++) {
        const struct tally_result *x = &a->results[i];
        const struct tally_result *y = &b->results[i];

        if (fabs(x->value - y->value) > 1e-9 * fmax(1, fabs(x->value)) || x->was_there != y->was_there ||
            x->is_capped != y->is_capped || x->left_ms > y->left_ms + 1 || y->left_ms > x->left_ms + 1)
            fail_msg("step %d, operation %zu: %.17g %d %d %llu, not %.17g %d %d %llu", step, i, y->value, y->was_there,
                     y->is_capped, (unsigned long long)y->left_ms, x->value, x->was_there, x->is_capped,
                     (unsigned long long)x->left_ms);
    }
}

static void memory_and_redis_answer_alike(void **state)
{
    struct tally_options options = options_here();
    struct tally *here;
    struct tally *there;
    unsigned seed = 4;

    (void)state;
    clock_inject(&test_clock);
    here = tally_new(&(struct tally_options){.secret = "common"}, NULL);
    there = tally_new(NULL, NULL);
    assert_int_equal(tally_configure_own_clock(there, &options, NULL), 0);
    wait_for(there, true);
    for (int step = 0; step < 3000; step++) {
        struct random_op randoms[6];
        struct tally_op ops[6];
        size_t count = 1 + pick(&seed, 6);
        struct test_answer a, b;

        for (size_t i = 0; i < count; i++)
            make_op(&seed, i, &randoms[i], &ops[i]);
        a = test_run(here, loop, ops, count);
        b = test_run(there, loop, ops, count);
        assert_false(b.is_local);
        assert_same(&a, &b, count, step);
        test_pass(pick(&seed, 8) ? pick(&seed, 3000) : pick(&seed, 200000));
    }
    tally_free(here);
    tally_free(there);
}

/* ---- two nodes ---- */

static void two_instances_keep_one_limit(void **state)
{
    struct tally_options options = options_here();
    struct tally *nodes[2] = {connected(&options), connected(&options)};
    struct tally_key key = test_key("messages.day", "ada");
    struct tally_op take = {.kind = TALLY_TAKE, .key = &key, .amount = 1, .limit = 50, .time_ms = 365 * DAY};
    struct tally_op join = {.kind = TALLY_JOIN, .key = &key, .member = SPAN_LIT("same"), .time_ms = HOUR};
    int taken = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        struct test_answer answer = test_run(nodes[i % 2], loop, &take, 1);

        assert_false(answer.is_local);
        taken += answer.refused_by < 0;
    }
    assert_int_equal(taken, 50);
    assert_false(test_run(nodes[0], loop, &join, 1).results[0].was_there);
    assert_true(test_run(nodes[1], loop, &join, 1).results[0].was_there); /* digests are keyed alike */
    tally_free(nodes[0]);
    tally_free(nodes[1]);
}

static const struct span any = {NULL, 0};

static void on_listed(void *ctx, const struct tally_list *list) { *(struct tally_list *)ctx = *list; }

static struct tally_list list_of(struct tally *tally, const struct tally_key *prefix, struct span last, bool remove)
{
    const struct tally_filter filter = {.prefix = prefix, .last = last, .limit = 1000, .remove = remove};
    struct tally_list list = {.count = SIZE_MAX};

    if (tally_list(tally, loop, &filter, on_listed, &list))
        while (list.count == SIZE_MAX)
            loop_turn(loop, true);
    return list;
}

static void an_unlock_on_one_node_is_one_on_all(void **state)
{
    struct tally_options options = options_here();
    struct tally *nodes[2] = {connected(&options), connected(&options)};
    struct tally_key prefix = test_key("fail", "a*");
    struct tally_list list;

    (void)state;
    for (int i = 0; i < 10; i++)
        count_one(nodes[i % 2], "a*", 1);
    count_one(nodes[0], "ab", 1); /* a name is not a pattern */
    assert_int_equal(list_of(nodes[0], &prefix, any, false).count, 1);
    list = list_of(nodes[1], &prefix, any, true);
    assert_int_equal(list.removed, 1);
    assert_false(list.is_local);
    assert_int_equal((int)count_one(nodes[0], "a*", 1).results[0].value, 1);
    redis_server_kill(&server);
    wait_for(nodes[0], false);
    assert_true(count_one(nodes[0], "a*", 0).results[0].value <= 1.001); /* nor does its memory bring them back */
    tally_free(nodes[0]);
    tally_free(nodes[1]);
}

/* More of them than calls may be on their way, among others that begin or end like them. */
static void what_ends_alike_is_removed_together(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally = connected(&options);
    struct tally_key key, kind;
    struct tally_op op = {.kind = TALLY_COUNT, .key = &key, .amount = 1, .time_ms = 1000 * DAY};
    struct tally_list list;
    char name[16];

    (void)state;
    tally_key_init(&kind, "pair");
    for (int i = 0; i < 6000; i++) {
        snprintf(name, sizeof name, "u%d", i);
        key = test_key(i % 3 == 2 ? "other" : "pair", name);
        tally_key_add(&key, i % 3 == 1 ? SPAN_LIT("1::2") : SPAN_LIT("[1::2]*"));
        test_run(tally, loop, &op, 1);
    }
    assert_int_equal(list_of(tally, &kind, SPAN_LIT("2"), false).count, 0);
    assert_int_equal(list_of(tally, &kind, SPAN_LIT("1::2"), false).count, 1000); /* and there is more */
    list = list_of(tally, &kind, SPAN_LIT("[1::2]*"), true);
    assert_int_equal(list.removed, 2000);
    assert_true(list.is_complete && !list.is_local);
    list = list_of(tally, &kind, SPAN_LIT("1::2"), true);
    assert_int_equal(list.removed, 2000);
    assert_int_equal(list_of(tally, &kind, any, false).count, 0);
    tally_key_init(&kind, "other");
    assert_int_equal(list_of(tally, &kind, any, true).removed, 2000);
    redis_server_kill(&server);
    wait_for(tally, false);
    tally_key_init(&kind, "pair");
    assert_int_equal(list_of(tally, &kind, any, false).count, 0); /* nor is it in memory */
    tally_free(tally);
}

/* ---- Redis is not there ---- */

static void killed_and_restarted_empty_it_learns_what_was_known(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally = connected(&options);
    struct tally_key key = test_key("held", "eve");
    struct tally_op mark = {.kind = TALLY_MARK, .key = &key, .amount = 5, .time_ms = 1000 * DAY};
    struct test_answer answer;

    (void)state;
    for (int i = 1; i <= 7; i++)
        assert_true(fabs(count_one(tally, "eve", 1).results[0].value - i) < 0.001);
    test_run(tally, loop, &mark, 1);
    redis_server_kill(&server);
    wait_for(tally, false);
    assert_int_equal(metrics_get(METRIC_TALLY_REDIS_USED), 0);
    answer = count_one(tally, "eve", 1);
    assert_true(answer.is_local);
    assert_true(fabs(answer.results[0].value - 8) < 0.001);
    redis_server_start(&server);
    wait_for(tally, true);
    assert_int_equal(metrics_get(METRIC_TALLY_REDIS_USED), 1);
    answer = count_one(tally, "eve", 1);
    assert_false(answer.is_local);
    assert_true(fabs(answer.results[0].value - 9) < 0.001);
    mark.kind = TALLY_IS_MARKED;
    assert_true(test_run(tally, loop, &mark, 1).results[0].was_there);
    tally_free(tally);
}

static void flushed_while_in_use_it_is_noticed(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally = connected(&options);

    (void)state;
    count_one(tally, "eve", 7);
    redis_server_say(&server, "FLUSHALL");
    assert_true(count_one(tally, "eve", 1).is_local);
    wait_for(tally, true);
    assert_true(fabs(count_one(tally, "eve", 0).results[0].value - 8) < 0.001);
    tally_free(tally);
}

/* The signal alone would leave it time for an answer. */
static void stop_server(void)
{
    kill(server.pid, SIGSTOP);
    assert_int_equal(waitpid(server.pid, NULL, WUNTRACED), server.pid);
}

static void stopped_it_costs_one_time_limit(void **state)
{
    struct tally_options options = options_here();
    struct tally_options hasty = options;
    struct tally *tally;
    struct test_answer answer;

    (void)state;
    hasty.timeout_ms = 200;
    tally = connected(&hasty);
    count_one(tally, "eve", 2);
    stop_server();
    answer = count_one(tally, "eve", 1);
    assert_true(answer.is_local);
    assert_true(fabs(answer.results[0].value - 3) < 0.001);
    wait_for(tally, false);
    for (int i = 0; i < 1000; i++)
        assert_true(count_one(tally, "eve", 0).is_local); /* at once */
    kill(server.pid, SIGCONT);
    assert_int_equal(tally_configure(tally, &options, NULL), 0);
    wait_for(tally, true);
    assert_false(count_one(tally, "eve", 1).is_local);
    tally_free(tally);
}

static void full_it_is_left_until_it_has_room(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally = connected(&options);

    (void)state;
    redis_server_say(&server, "CONFIG SET maxmemory 1");
    assert_true(count_one(tally, "eve", 1).is_local);
    wait_reason(tally, false, "OOM");
    redis_server_say(&server, "CONFIG SET maxmemory 0");
    wait_for(tally, true);
    assert_false(count_one(tally, "eve", 1).is_local);
    tally_free(tally);
}

static void read_only_it_is_left(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally = connected(&options);

    (void)state;
    redis_server_say(&server, "REPLICAOF 127.0.0.1 1");
    assert_true(count_one(tally, "eve", 1).is_local);
    wait_reason(tally, false, "READONLY");
    redis_server_say(&server, "REPLICAOF NO ONE");
    wait_for(tally, true);
    tally_free(tally);
}

static void without_its_script_it_gets_it_again(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally = connected(&options);

    (void)state;
    redis_server_say(&server, "SCRIPT FLUSH");
    for (int i = 0; i < 3; i++)
        assert_false(count_one(tally, "eve", 1).is_local);
    tally_free(tally);
}

static void a_user_and_password_are_given(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally;

    (void)state;
    redis_server_say(&server, "ACL SETUSER gate on >sesame ~te\\[s\\]t\\*:* +@all -@dangerous");
    options.user = "gate";
    options.password = "wrong";
    options.db = 3;
    tally = tally_new(&options, NULL);
    assert_true(count_one(tally, "eve", 1).is_local);
    wait_reason(tally, false, "WRONGPASS");
    options.password = "sesame";
    assert_int_equal(tally_configure(tally, &options, NULL), 0);
    wait_for(tally, true);
    assert_true(fabs(count_one(tally, "eve", 1).results[0].value - 2) < 0.001); /* told what was counted before */
    tally_free(tally);
}

static void what_was_marked_meanwhile_is_told(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally = connected(&options);
    struct tally *other = connected(&options);
    struct tally_key key = test_key("held", "eve");
    struct tally_op mark = {.kind = TALLY_MARK, .key = &key, .amount = 5, .time_ms = DAY};

    (void)state;
    redis_server_say(&server, "CONFIG SET maxmemory 1");
    assert_true(test_run(tally, loop, &mark, 1).is_local);
    wait_for(tally, false); /* the answer comes before the loss is noted */
    redis_server_say(&server, "CONFIG SET maxmemory 0");
    wait_for(tally, true);
    mark.kind = TALLY_IS_MARKED;
    assert_true(test_run(other, loop, &mark, 1).results[0].was_there);
    tally_free(tally);
    tally_free(other);
}

static void a_reload_tells_nothing_twice(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally = connected(&options);

    (void)state;
    count_one(tally, "eve", 5);
    assert_int_equal(tally_configure(tally, &options, NULL), 0);
    wait_for(tally, true);
    assert_true(fabs(count_one(tally, "eve", 0).results[0].value - 5) < 0.001);
    tally_free(tally);
}

/* Taken here while it was away, and given back when it is there again: what it has is somebody else's. */
static void what_is_done_here_is_nothing_to_it(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally = connected(&options);
    struct tally_key key = test_key("messages.day", "ada");
    struct tally_op take = {.kind = TALLY_TAKE, .key = &key, .amount = 5, .limit = 9, .time_ms = 365 * DAY};
    struct test_answer answer;

    (void)state;
    assert_false(test_run(tally, loop, &take, 1).is_local);
    take.amount = -3;
    tally_run_here(tally, &take, 1);
    take.amount = 0;
    answer = test_run(tally, loop, &take, 1);
    assert_false(answer.is_local);
    assert_true(fabs(answer.results[0].value - 5) < 0.01);
    redis_server_kill(&server);
    wait_for(tally, false);
    answer = test_run(tally, loop, &take, 1);
    assert_true(answer.is_local && fabs(answer.results[0].value - 2) < 0.01);
    tally_free(tally);
}

static void addresses_that_cannot_be_are_refused(void **state)
{
    static const char *const wrong[] = {"", "nowhere", "host:", "host:0", "host:70000", ":6379"};
    struct error error;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_null(tally_new(&(struct tally_options){.redis = wrong[i]}, &error));
}

static void a_call_may_be_cancelled_or_left(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally = connected(&options);
    struct tally_key key = test_key("fail", "eve");
    struct tally_op op = {.kind = TALLY_COUNT, .key = &key, .amount = 1, .time_ms = 1000 * DAY};
    struct test_answer answer = {0};

    (void)state;
    for (int i = 0; i < 100; i++)
        tally_cancel(tally, tally_run(tally, loop, &op, 1, test_on_done, &answer));
    for (int i = 0; i < 100; i++)
        assert_null(tally_run(tally, NULL, &op, 1, NULL, NULL));
    assert_true(fabs(count_one(tally, "eve", 0).results[0].value - 200) < 0.001);
    assert_int_equal(answer.calls, 0);
    stop_server();
    for (int i = 0; i < 100; i++)
        tally_run(tally, loop, &op, 1, test_on_done, &answer);
    assert_int_equal(tally_configure(tally, &(struct tally_options){0}, NULL), 0); /* Redis is given up */
    while (answer.calls < 100)
        loop_turn(loop, true);
    assert_true(fabs(count_one(tally, "eve", 0).results[0].value - 300) < 0.001);
    tally_free(tally);
}

static void one_that_is_too_many_is_answered_here(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally;
    struct tally_key key = test_key("fail", "eve");
    struct tally_op op = {.kind = TALLY_COUNT, .key = &key, .amount = 1, .time_ms = DAY};
    struct test_answer answer = {0};

    (void)state;
    options.in_flight_limit = 10;
    tally = connected(&options);
    stop_server();
    for (int i = 0; i < 15; i++)
        tally_run(tally, loop, &op, 1, test_on_done, &answer);
    assert_int_equal(answer.calls, 5);
    assert_true(answer.is_local);
    kill(server.pid, SIGCONT);
    while (answer.calls < 15)
        loop_turn(loop, true);
    tally_free(tally);
}

/* ---- TLS, and an address that is a name ---- */

static char *write_file(const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", server.dir, name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

/* The claims of tests/support/ports.py, whose servers run beside this. Held until the process ends, so never closed. */
static bool claim_port(unsigned port)
{
    const char *dir = getenv("TMPDIR");
    char *path = mem_printf("%s/gatepost-test-port-%u", dir ? dir : "/tmp", port);
    int claim = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    free(path);
    if (claim < 0)
        return false;
    if (!flock(claim, LOCK_EX | LOCK_NB))
        return true;
    close(claim);
    return false;
}

static bool is_free(unsigned port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_bound = !bind(fd, (struct sockaddr *)&address, sizeof address);

    close(fd);
    return is_bound;
}

/* Below what the kernel deals out to connections, so that nobody's connection takes it before the server binds. */
static unsigned free_port(void)
{
    for (unsigned port = 20000 + (unsigned)getpid() % 10000; port < 32000; port++)
        if (claim_port(port) && is_free(port)) /* in this order: a probe keeps the claimant's server out */
            return port;
    fail_msg("no port is free");
    return 0;
}

static void only_the_right_certificate_is_spoken_to(void **state)
{
    struct tally_options options = options_here();
    char *certificate, *key, *stranger, *stranger_key;
    char port[8], address[32];
    struct tally *tally;

    (void)state;
    assert_int_equal(tls_make_self_signed("localhost", 2, &certificate, &key, NULL), 0);
    assert_int_equal(tls_make_self_signed("localhost", 2, &stranger, &stranger_key, NULL), 0);
    snprintf(port, sizeof port, "%u", free_port());
    snprintf(address, sizeof address, "localhost:%s", port);
    redis_server_kill(&server);
    char *paths[] = {write_file("certificate", certificate), write_file("key", key)};
    server.options = (const char *[]){"--tls-port",
                                      port,
                                      "--tls-cert-file",
                                      paths[0],
                                      "--tls-key-file",
                                      paths[1],
                                      "--tls-ca-cert-file",
                                      paths[0],
                                      "--bind",
                                      "127.0.0.1",
                                      "--tls-auth-clients",
                                      "no",
                                      NULL};
    redis_server_start(&server);
    options.redis = address;
    options.use_tls = true;
    options.ca_pem = stranger;
    tally = tally_new(&options, NULL);
    assert_non_null(tally);
    wait_reason(tally, false, "ertificate");
    options.ca_pem = certificate;
    assert_int_equal(tally_configure(tally, &options, NULL), 0);
    wait_for(tally, true);
    assert_false(count_one(tally, "eve", 1).is_local);
    tally_free(tally);
    for (int i = 0; i < 2; i++) {
        unlink(paths[i]);
        free(paths[i]);
    }
    free(certificate);
    free(stranger);
    secret_free(key);
    secret_free(stranger_key);
}

#define SENDERS 4
#define SENDS 200

static void *send_many(void *ctx)
{
    struct error error;
    struct loop *own = loop_new("sender", &error);
    struct tally_key key = test_key("fail", "all");
    struct tally_op op = {.kind = TALLY_COUNT, .key = &key, .amount = 1, .time_ms = 1000 * DAY};

    for (int i = 0; i < SENDS; i++)
        test_run(ctx, own, &op, 1);
    loop_free(own);
    return NULL;
}

static void threads_share_the_connection(void **state)
{
    struct tally_options options = options_here();
    struct tally *tally;
    pthread_t threads[SENDERS];

    (void)state;
    tally = connected(&options);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, tally), 0);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(fabs(count_one(tally, "all", 0).results[0].value - SENDERS * SENDS) < 0.01);
    tally_free(tally);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memory_and_redis_answer_alike),
        TEST(two_instances_keep_one_limit),
        TEST(what_ends_alike_is_removed_together),
        TEST(an_unlock_on_one_node_is_one_on_all),
        TEST(killed_and_restarted_empty_it_learns_what_was_known),
        TEST(flushed_while_in_use_it_is_noticed),
        TEST(stopped_it_costs_one_time_limit),
        TEST(full_it_is_left_until_it_has_room),
        TEST(read_only_it_is_left),
        TEST(without_its_script_it_gets_it_again),
        TEST(a_user_and_password_are_given),
        TEST(what_was_marked_meanwhile_is_told),
        TEST(a_reload_tells_nothing_twice),
        TEST(what_is_done_here_is_nothing_to_it),
        TEST(addresses_that_cannot_be_are_refused),
        TEST(a_call_may_be_cancelled_or_left),
        TEST(one_that_is_too_many_is_answered_here),
        TEST(only_the_right_certificate_is_spoken_to),
        TEST(threads_share_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
