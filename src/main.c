/* SPDX-License-Identifier: Apache-2.0
 *
 * gatepostd: from the command line to a running relay, and back. The order is the point:
 * privileges go before the policy is read, the policy's init runs before anything is opened,
 * and stopping undoes it all in reverse.
 */
#include <curl/curl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <uv.h>

#include "admin/admin.h"
#include "auth_test.h"
#include "base/mem.h"
#include "base/must.h"
#include "desk/desk.h"
#include "gate/gate.h"
#include "log/diag.h"
#include "log/segment.h"
#include "loop/jobs.h"
#include "lua_path.h"
#include "options.h"
#include "password/pool.h"
#include "policy/await.h"
#include "policy/modules/modules.h"
#include "policy/modules/sqlite_pool.h"
#include "policy/monitor.h"
#include "process.h"
#include "relay.h"
#include "script.h"
#include "setup.h"
#include "tally/tally.h"

#define JOB_THREADS 4
#define JOB_QUEUE_LIMIT 1024
#define DRAIN_LOOK_MS 10
#define SAVE_EVERY_MS 60000

/* The process: what main owns. */
struct house {
    const struct options *options;
    struct loop *loop;
    struct jobs *jobs;
    struct policy *policy;
    struct policy_vm *vm;
    struct policy_monitor *monitor;
    struct setup *setup;
    struct relay *relay;
    struct desk *desk;
    struct admin *admin;
    char *lua_path;

    uv_signal_t signals[3];
    bool is_closing; /* signals mean nothing any more */
    struct timer drain_look, save_turn;
    struct job save;
    uint64_t drain_until_ms;
    int stops_asked;
};

/* ---- what is kept in files beside the mail ---- */

static void run_save(struct job *job)
{
    (void)job;
    gate_save();
}

static void on_saved(struct job *job)
{
    struct house *house = CONTAINER_OF(job, struct house, save);

    timer_start(&house->save_turn, SAVE_EVERY_MS);
}

static void save_in_turn(void *ctx)
{
    struct house *house = ctx;

    house->save = (struct job){.run = run_save, .done = on_saved};
    if (jobs_submit(house->jobs, &house->save, NULL))
        timer_start(&house->save_turn, SAVE_EVERY_MS);
}

/* ---- signals ---- */

static void look_whether_drained(void *ctx)
{
    struct house *house = ctx;

    if (relay_is_quiet(house->relay)) {
        loop_stop(house->loop);
    } else if (loop_now_ms(house->loop) >= house->drain_until_ms) {
        diag(DIAG_WARN, NULL,
             "stopping: not everything in flight ended within %u s and is cut; mail stays in the spool",
             house->options->drain_seconds);
        loop_stop(house->loop);
    } else {
        timer_start(&house->drain_look, DRAIN_LOOK_MS);
    }
}

static void on_stop_signal(uv_signal_t *handle, int number)
{
    struct house *house = handle->data;

    (void)number;
    if (house->is_closing)
        return;
    if (house->stops_asked++ > 0) {
        diag(DIAG_WARN, NULL, "stopping at once");
        loop_stop(house->loop);
        return;
    }
    diag(DIAG_INFO, NULL, "stopping: no new mail; waiting up to %u s for what is in flight",
         house->options->drain_seconds);
    sd_notify(0, "STOPPING=1");
    relay_drain(house->relay);
    house->drain_until_ms = loop_now_ms(house->loop) + house->options->drain_seconds * 1000ULL;
    timer_start(&house->drain_look, DRAIN_LOOK_MS);
}

static void on_reload_signal(uv_signal_t *handle, int number)
{
    struct house *house = handle->data;

    (void)number;
    if (house->is_closing)
        return;
    policy_bump_epoch(house->policy);
    setup_reload_certificates(house->setup);
    /* last: what begins after this line goes by the new ones */
    diag(DIAG_INFO, NULL, "reloading: policy, data files and certificates");
}

static const int signal_numbers[] = {SIGINT, SIGTERM, SIGHUP};

static void watch_signals(struct house *house)
{
    for (size_t i = 0; i < sizeof signal_numbers / sizeof signal_numbers[0]; i++) {
        uv_signal_init(loop_uv(house->loop), &house->signals[i]);
        house->signals[i].data = house;
        uv_signal_start(&house->signals[i], signal_numbers[i] == SIGHUP ? on_reload_signal : on_stop_signal,
                        signal_numbers[i]);
    }
}

/* Blocked first: libuv puts the default back, which would end us, and all other threads are gone. */
static void unwatch_signals(struct house *house)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (size_t i = 0; i < sizeof signal_numbers / sizeof signal_numbers[0]; i++) {
        if (!house->signals[i].data)
            continue;
        uv_close((uv_handle_t *)&house->signals[i], NULL);
        signal(signal_numbers[i], SIG_IGN);
    }
}

/* ---- opening and closing ---- */

/* Signals are caught to the last: by default they would end us in the middle of this. */
static void close_house(struct house *house)
{
    house->is_closing = true;
    timer_stop(&house->drain_look);
    timer_stop(&house->save_turn);
    policy_monitor_free(house->monitor);
    admin_free(house->admin);
    desk_stop(house->desk);
    relay_stop(house->relay);
    log_close();
    policy_vm_free(house->vm);
    setup_free(house->setup);
    policy_free(house->policy);
    gate_stop();
    password_pool_stop();
    tally_stop();
    jobs_free(house->jobs);
    sqlite_pool_done();
    unwatch_signals(house);
    loop_free(house->loop);
    free(house->lua_path);
    curl_global_cleanup();
}

static size_t core_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (size_t)count : 1;
}

static int open_policy(struct house *house, struct error *error)
{
    struct policy_options options = {
        .path = house->options->policy,
        .add_modules = modules_open,
    };

    options.lua_path = house->lua_path = lua_path_find();
    house->loop = loop_new("main", error);
    if (!house->loop)
        return -1;
    loop_adopt(house->loop);
    timer_init(&house->drain_look, house->loop, look_whether_drained, house);
    timer_init(&house->save_turn, house->loop, save_in_turn, house);
    house->jobs = jobs_new("jobs", JOB_THREADS, JOB_QUEUE_LIMIT, error);
    if (!house->jobs)
        return -1;
    await_set_jobs(house->jobs);
    if (tally_start(error) || password_pool_start(error) || gate_start(error))
        return -1;
    if (house->options->rules) /* no policy has a part in it */
        return 0;
    house->policy = policy_new(&options, error);
    if (!house->policy)
        return -1;
    house->vm = policy_vm_new(house->policy, house->loop, error);
    return house->vm ? 0 : -1;
}

static int describe_queues(void *ctx, size_t most, struct buf *json_out)
{
    struct house *house = ctx;

    return relay_describe_queues(house->relay, most, json_out);
}

static bool is_live(void *ctx)
{
    struct house *house = ctx;

    return relay_accepts(house->relay);
}

static void bump_epoch(void *ctx)
{
    struct house *house = ctx;

    policy_bump_epoch(house->policy);
}

static json_t *ask_desk(void *ctx, const char *verb, const json_t *question, struct error *error)
{
    struct house *house = ctx;

    return desk_ask(house->desk, verb, question, error);
}

/* ---- what the desk needs of the house ---- */

static struct receive_params *listener_at(void *ctx, size_t i, const struct sockaddr **bound_out)
{
    const struct house *house = ctx;

    return setup_listener_at(house->setup, i, bound_out);
}

static int let_go(void *ctx, uint64_t *messages_out, struct error *error)
{
    struct house *house = ctx;

    return relay_let_go(house->relay, messages_out, error);
}

static int open_desk(struct house *house, struct error *error)
{
    static const struct desk_ops ops = {.listener_at = listener_at, .let_go = let_go};

    house->desk = desk_start(&ops, house, error);
    return house->desk ? 0 : -1;
}

static int open_admin(struct house *house, struct error *error)
{
    static const struct admin_ops ops = {
        .describe_queues = describe_queues,
        .is_live = is_live,
        .bump_config_epoch = bump_epoch,
        .ask_auth = ask_desk,
    };

    if (open_desk(house, error))
        return -1;
    house->admin = admin_new(&ops, house, error);
    if (!house->admin)
        return -1;
    for (size_t i = 0; i < house->setup->http_listener_count; i++)
        if (admin_listen(house->admin, house->setup->http_listeners[i], error))
            return -1;
    return 0;
}

static int open_house(struct house *house, struct error *error)
{
    size_t workers = house->options->workers ? house->options->workers : core_count();
    bool validates = house->options->action == OPTIONS_VALIDATE;

    house->setup = setup_new(workers, validates ? SETUP_TO_VALIDATE : SETUP_TO_RUN);
    if (setup_run_init(house->setup, house->vm, error))
        return -1;
    if (validates)
        return 0;
    house->relay = relay_start(house->policy, house->setup, error);
    return house->relay ? open_admin(house, error) : -1;
}

static int run(struct house *house, struct error *error)
{
    if (house->options->action == OPTIONS_SCRIPT)
        return script_run(house->vm, house->options->script_args, house->options->script_arg_count, error);
    if (house->options->action == OPTIONS_AUTH_TEST)
        return auth_test_run(house->options->rules, house->vm, error);
    if (open_house(house, error))
        return -1;
    if (house->options->action == OPTIONS_VALIDATE) {
        printf("%s: fine\n", house->options->policy);
        return 0;
    }
    watch_signals(house);
    house->monitor = policy_monitor_new(house->policy, house->loop, POLICY_MONITOR_INTERVAL_MS);
    timer_start(&house->save_turn, SAVE_EVERY_MS);
    diag(DIAG_INFO, NULL, "initialization complete");
    sd_notify(0, "READY=1"); /* does nothing when no service manager asked for it */
    loop_run(house->loop);
    diag(DIAG_INFO, NULL, "stopped");
    return 0;
}

static void *zalloc_for_library(size_t count, size_t bytes) { return mem_zalloc(count * bytes); }

/* Where memory is gone. Of jansson's, a string that could not be made would read as a value that is not there: a client
 * without a login. libuv aborts, and does not say why. */
static void tell_libraries_to_die_with_words(void)
{
    json_set_alloc_funcs(mem_alloc_for_library, free);
    uv_replace_allocator(mem_alloc_for_library, mem_realloc, zalloc_for_library, free);
}

int main(int argc, char **argv)
{
    struct options options;
    struct house house = {.options = &options};
    struct error error = {0};
    int status = -1;

    tell_libraries_to_die_with_words();
    if (options_parse(argc, argv, &options, &error)) {
        fprintf(stderr, "gatepostd: %s\n", error.sentence);
        return 2;
    }
    if (options.action == OPTIONS_HELP || options.action == OPTIONS_VERSION) {
        (options.action == OPTIONS_HELP ? options_print_help : options_print_version)();
        return 0;
    }
    diag_set_format(options.diag_format);
    process_harden();
    process_keep_memory();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (!process_become(options.user, &error) && !open_policy(&house, &error))
        status = run(&house, &error);
    if (status)
        diag(DIAG_ERROR, NULL, "%s", error.sentence);
    close_house(&house);
    return status ? 1 : 0;
}
