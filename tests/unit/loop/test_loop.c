/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers, mail between threads, jobs, and sockets over a socket pair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cidr.h"
#include "base/clock.h"
#include "base/must.h"
#include "loop/jobs.h"
#include "loop/listener.h"
#include "loop/loop.h"
#include "loop/socket.h"

static int order[8];
static int order_count;

static void note(void *ctx) { order[order_count++] = *(int *)ctx; }

static void timers_fire_in_order_and_stop(void **state)
{
    struct loop *loop = loop_new("test", NULL);
    static int one = 1, two = 2, three = 3;
    struct timer a, b, c;

    (void)state;
    order_count = 0;
    timer_init(&a, loop, note, &one);
    timer_init(&b, loop, note, &two);
    timer_init(&c, loop, note, &three);
    timer_start(&c, 6);
    timer_start(&a, 2);
    timer_start(&b, 4);
    timer_stop(&b);
    while (order_count < 2)
        loop_turn(loop, true);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 3);
    assert_false(timer_is_running(&a));
    loop_free(loop);
}

/* It used to wait for a descriptor after the timer had run. */
static void a_timer_alone_ends_a_turn(void **state)
{
    struct loop *loop = loop_new("test", NULL);
    static int one = 1;
    struct timer timer;

    (void)state;
    order_count = 0;
    timer_init(&timer, loop, note, &one);
    timer_start(&timer, 0);
    loop_turn(loop, true);
    assert_int_equal(order_count, 1);
    loop_free(loop);
}

struct counted_mail {
    struct mail mail;
    struct loop *loop;
    int *sum;
    int wanted;
};

static void on_counted(struct mail *mail)
{
    struct counted_mail *counted = CONTAINER_OF(mail, struct counted_mail, mail);

    if (++*counted->sum == counted->wanted)
        loop_stop(counted->loop);
    free(counted);
}

struct sender {
    struct loop *to;
    int *sum;
};

static void *send_many(void *arg)
{
    struct sender *sender = arg;

    for (int i = 0; i < 10000; i++) {
        struct counted_mail *counted = calloc(1, sizeof *counted);

        MUST(counted);
        *counted =
            (struct counted_mail){.mail.deliver = on_counted, .loop = sender->to, .sum = sender->sum, .wanted = 40000};
        loop_post(sender->to, &counted->mail);
    }
    return NULL;
}

static void mail_from_four_threads_all_arrives(void **state)
{
    struct loop *loop = loop_new("test", NULL);
    pthread_t threads[4];
    int sum = 0;
    struct sender sender = {loop, &sum};

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &sender), 0);
    loop_run(loop);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(sum, 40000);
    loop_free(loop);
}

struct test_job {
    struct job job;
    struct jobs_case *test;
    int *done;
};

struct jobs_case {
    struct loop *loop;
    struct jobs *jobs;
    struct test_job job[4];
    int pipe[2];
    sem_t begun;
    int done;
    struct timer start;
};

/* Says that it has begun, and ends with a byte from the pipe. */
static void run_job(struct job *job)
{
    struct jobs_case *test = CONTAINER_OF(job, struct test_job, job)->test;
    char byte;

    sem_post(&test->begun);
    MUST(read(test->pipe[0], &byte, 1) == 1);
}

static void job_done(struct job *job) { ++*CONTAINER_OF(job, struct test_job, job)->done; }

static struct test_job waits_for_a_byte(struct jobs_case *test, int *done)
{
    return (struct test_job){.job = {.run = run_job, .done = job_done}, .test = test, .done = done};
}

/* Begins with `start`, from within a turn, and ends when so many are done. */
static void run_jobs_case(struct jobs_case *test, timer_fn *start, int most)
{
    assert_int_equal(pipe(test->pipe), 0);
    assert_int_equal(sem_init(&test->begun, 0, 0), 0);
    timer_init(&test->start, test->loop, start, test);
    timer_start(&test->start, 0);
    while (test->done < most)
        loop_turn(test->loop, true);
    jobs_free(test->jobs);
    loop_free(test->loop);
    sem_destroy(&test->begun);
    close(test->pipe[0]);
    close(test->pipe[1]);
}

static void fill_jobs(void *ctx)
{
    struct jobs_case *test = ctx;
    struct error error;

    /* one runs (blocked on the pipe) or waits, two wait, and then it is full */
    for (int i = 0; i < 4; i++)
        test->job[i] = waits_for_a_byte(test, &test->done);
    assert_int_equal(jobs_submit(test->jobs, &test->job[0].job, &error), 0);
    sem_wait(&test->begun);
    assert_int_equal(jobs_submit(test->jobs, &test->job[1].job, &error), 0);
    assert_int_equal(jobs_submit(test->jobs, &test->job[2].job, &error), 0);
    assert_int_equal(jobs_submit(test->jobs, &test->job[3].job, &error), -1);
    assert_int_equal(error.kind, ERROR_AGAIN);
    assert_int_equal(write(test->pipe[1], "abc", 3), 3);
}

static void jobs_refuse_when_their_queue_is_full(void **state)
{
    struct jobs_case test = {.loop = loop_new("test", NULL), .jobs = jobs_new("test", 1, 2, NULL)};

    (void)state;
    run_jobs_case(&test, fill_jobs, 3);
}

/* ---- owners take turns ---- */

struct turns_case {
    struct jobs_case jobs;
    struct owned_job {
        struct job job;
        struct turns_case *test;
        char name;
    } owned[5];
    int blocked;
    char order[8]; /* in which they came home; upper case: without having run */
};

static void run_owned(struct job *job) { (void)job; }

static void owned_done(struct job *job)
{
    struct owned_job *mine = CONTAINER_OF(job, struct owned_job, job);

    mine->test->order[mine->test->jobs.done++] = (char)(job->expired ? mine->name - 'a' + 'A' : mine->name);
}

static int submit_owned(struct turns_case *test, size_t at, uint64_t owner)
{
    test->owned[at] = (struct owned_job){
        .job = {.owner = owner, .run = run_owned, .done = owned_done}, .test = test, .name = (char)('a' + at)};
    return jobs_submit(test->jobs.jobs, &test->owned[at].job, NULL);
}

static void crowd(void *ctx)
{
    struct turns_case *test = CONTAINER_OF(ctx, struct turns_case, jobs);

    test->jobs.job[0] = waits_for_a_byte(&test->jobs, &test->blocked);
    assert_int_equal(jobs_submit(test->jobs.jobs, &test->jobs.job[0].job, NULL), 0);
    sem_wait(&test->jobs.begun);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(submit_owned(test, i, 7), 0);
    assert_int_equal(submit_owned(test, 3, 8), 0); /* takes the place of the crowd's last, and goes before its second */
    assert_int_equal(submit_owned(test, 4, 7), -1); /* the crowd has no more places */
    assert_int_equal(jobs_waiting(test->jobs.jobs), 3);
    assert_int_equal(write(test->jobs.pipe[1], "x", 1), 1);
}

static void owners_of_jobs_take_turns(void **state)
{
    struct turns_case test = {.jobs = {.loop = loop_new("test", NULL), .jobs = jobs_new("test", 1, 3, NULL)}};

    (void)state;
    run_jobs_case(&test.jobs, crowd, 4);
    assert_string_equal(test.order, "Cadb");
}

/* ---- a job that waits too long ---- */

static atomic_uint_fast64_t test_now_us;

static uint64_t test_mono_us(void) { return atomic_load(&test_now_us); }

static int64_t test_wall_us(void) { return 0; }

static void wait_too_long(void *ctx)
{
    struct jobs_case *test = ctx;
    struct error error;

    for (int i = 0; i < 2; i++)
        test->job[i] = waits_for_a_byte(test, &test->done);
    assert_int_equal(jobs_submit(test->jobs, &test->job[0].job, &error), 0);
    sem_wait(&test->begun);
    assert_int_equal(jobs_submit(test->jobs, &test->job[1].job, &error), 0);
    atomic_fetch_add(&test_now_us, 1001 * 1000);
    assert_int_equal(write(test->pipe[1], "a", 1), 1);
}

/* The one that waited comes back without having run: it would still be reading the pipe. */
static void jobs_that_waited_too_long_are_not_run(void **state)
{
    const struct jobs_options options = {.name = "test", .threads = 1, .queue_limit = 2, .wait_limit_ms = 1000};
    struct jobs_case test;

    (void)state;
    clock_inject(&(struct clock_source){.mono_us = test_mono_us, .wall_us = test_wall_us});
    test = (struct jobs_case){.loop = loop_new("test", NULL), .jobs = jobs_new_with(&options, NULL)};
    run_jobs_case(&test, wait_too_long, 2);
    assert_false(test.job[0].job.expired);
    assert_true(test.job[1].job.expired);
    clock_inject(NULL);
}

/* ---- how many work at once ---- */

static void fill_limited(void *ctx)
{
    struct jobs_case *test = ctx;
    struct error error;

    jobs_limit(test->jobs, 1, 2, 0);
    for (int i = 0; i < 3; i++) {
        test->job[i] = waits_for_a_byte(test, &test->done);
        assert_int_equal(jobs_submit(test->jobs, &test->job[i].job, &error), i < 2 ? 0 : -1);
        if (i == 0)
            sem_wait(&test->begun);
        jobs_limit(test->jobs, 1, 1, 0);
    }
    /* three idle threads, one job at work: the other waits until it may */
    assert_int_equal(jobs_waiting(test->jobs), 1);
    jobs_limit(test->jobs, 4, 2, 0);
    sem_wait(&test->begun);
    assert_int_equal(write(test->pipe[1], "ab", 2), 2);
}

static void jobs_work_at_most_so_many_at_once(void **state)
{
    struct jobs_case test = {.loop = loop_new("test", NULL), .jobs = jobs_new("test", 4, 2, NULL)};

    (void)state;
    run_jobs_case(&test, fill_limited, 2);
}

struct end {
    struct socket *socket;
    char got[65536 * 8];
    size_t got_len;
    bool ended;
    bool drained;
};

static void end_readable(void *ctx)
{
    struct end *end = ctx;

    for (;;) {
        ssize_t got = socket_read(end->socket, end->got + end->got_len, sizeof end->got - end->got_len);

        if (got <= 0) {
            if (got != SOCKET_WAIT) {
                end->ended = true;
                socket_close(end->socket);
                end->socket = NULL;
            }
            return;
        }
        end->got_len += (size_t)got;
    }
}

static void end_drained(void *ctx) { ((struct end *)ctx)->drained = true; }

static const struct socket_handler end_handler = {end_readable, end_drained};

static void sockets_keep_what_the_peer_does_not_take_yet(void **state)
{
    struct loop *loop = loop_new("test", NULL);
    static struct end a, b;
    static char data[400000];
    int pair[2];

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    a.socket = socket_new(loop, pair[0], &end_handler, &a, NULL);
    b.socket = socket_new(loop, pair[1], &end_handler, &b, NULL);
    assert_int_equal(socket_write(a.socket, data, sizeof data), 0);
    socket_set_write_limit(b.socket, 10);
    assert_int_equal(socket_write(b.socket, data, 11), -1);
    while (!a.drained || b.got_len < sizeof data)
        loop_turn(loop, true);
    assert_memory_equal(b.got, data, sizeof data);
    socket_close_after_write(a.socket, 1000);
    while (!b.ended)
        loop_turn(loop, true);
    loop_free(loop);
}

/* Many small pieces in one turn: the ceiling is for what the peer does not take, which in the end is met. */
static void the_ceiling_counts_what_is_not_taken(void **state)
{
    struct loop *loop = loop_new("test", NULL);
    static struct end end;
    static char data[300];
    size_t written = 0;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    end.socket = socket_new(loop, pair[0], &end_handler, &end, NULL);
    socket_set_write_limit(end.socket, 1000);
    for (int i = 0; i < 20; i++)
        assert_int_equal(socket_write(end.socket, data, sizeof data), 0);
    while (!socket_write(end.socket, data, sizeof data))
        assert_true((written += sizeof data) < (64 << 20));
    assert_true(socket_unsent_bytes(end.socket) <= 1000);
    close(pair[1]);
    socket_close(end.socket);
    loop_free(loop);
}

/* It once waited for an event that never comes behind an error, and the session lived on until its timeout. */
static void a_reset_behind_the_last_bytes_is_noticed(void **state)
{
    struct loop *loop = loop_new("test", NULL);
    static struct end end;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(write(pair[1], "unread", 6), 6);
    assert_int_equal(write(pair[0], "last", 4), 4);
    close(pair[0]); /* with something unread: a reset */
    end.socket = socket_new(loop, pair[1], &end_handler, &end, NULL);
    while (!end.ended)
        loop_turn(loop, true);
    assert_int_equal(end.got_len, 4);
    loop_free(loop);
}

static int accepted_fd = -1;

static void on_accept(void *ctx, int fd, const struct sockaddr *peer)
{
    (void)ctx;
    (void)peer;
    accepted_fd = fd;
}

static void listener_reports_its_real_port(void **state)
{
    struct loop *loop = loop_new("test", NULL);
    struct sockaddr_storage any, bound;
    struct listener *listener;
    static struct end client;
    int fd;

    (void)state;
    assert_int_equal(sockaddr_parse(SPAN_LIT("127.0.0.1:0"), &any, NULL), 0);
    fd = listener_bind((struct sockaddr *)&any, &bound, NULL);
    assert_true(fd >= 0);
    assert_int_not_equal(sockaddr_port((struct sockaddr *)&bound), 0);
    listener = listener_new(loop, fd, on_accept, NULL, NULL, NULL);
    client.socket = socket_connect(loop, (struct sockaddr *)&bound, NULL, &end_handler, &client, NULL);
    while (accepted_fd < 0 || !client.drained)
        loop_turn(loop, true);
    close(accepted_fd);
    while (!client.ended)
        loop_turn(loop, true);
    listener_free(listener);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_and_stop),
        cmocka_unit_test(a_timer_alone_ends_a_turn),
        cmocka_unit_test(mail_from_four_threads_all_arrives),
        cmocka_unit_test(jobs_refuse_when_their_queue_is_full),
        cmocka_unit_test(owners_of_jobs_take_turns),
        cmocka_unit_test(jobs_that_waited_too_long_are_not_run),
        cmocka_unit_test(jobs_work_at_most_so_many_at_once),
        cmocka_unit_test(sockets_keep_what_the_peer_does_not_take_yet),
        cmocka_unit_test(the_ceiling_counts_what_is_not_taken),
        cmocka_unit_test(a_reset_behind_the_last_bytes_is_noticed),
        cmocka_unit_test(listener_reports_its_real_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
