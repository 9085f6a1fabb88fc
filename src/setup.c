/* SPDX-License-Identifier: Apache-2.0
 *
 * Running the policy's init, and collecting what it asks for.
 */
#include "setup.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cidr.h"
#include "base/mem.h"
#include "base/must.h"
#include "log/diag.h"
#include "loop/listener.h"
#include "policy/modules/house.h"

#define LISTENERS_MOST 64

struct setup *setup_new(size_t worker_count, enum setup_purpose purpose)
{
    struct setup *setup = mem_zalloc(sizeof *setup);

    setup->worker_count = worker_count;
    setup->purpose = purpose;
    return setup;
}

static bool opens(const struct setup *setup) { return setup->purpose == SETUP_TO_RUN; }

static void listener_done(struct setup_listener *listener, size_t worker_count)
{
    for (size_t i = 0; listener->fds && i < worker_count; i++)
        if (listener->fds[i] >= 0)
            close(listener->fds[i]);
    free(listener->fds);
    receive_params_unref(&listener->params);
    receive_share_unref(&listener->share);
}

void setup_free(struct setup *setup)
{
    if (!setup)
        return;
    for (size_t i = 0; i < setup->listener_count; i++)
        listener_done(&setup->listeners[i], setup->worker_count);
    for (size_t i = 0; i < setup->http_listener_count; i++)
        admin_params_free(setup->http_listeners[i]);
    for (size_t i = 0; i < setup->name_server_count; i++)
        free(setup->name_servers[i]);
    free(setup->listeners);
    free(setup->http_listeners);
    free(setup->name_servers);
    free(setup->spool_name);
    free(setup->spool_path);
    free(setup->zone_text);
    free(setup);
}

/* ---- kumo.start_esmtp_listener ---- */

static int bind_for_workers(struct setup *setup, struct setup_listener *listener, struct error *error)
{
    const struct sockaddr *address = (const struct sockaddr *)&listener->params->listen;

    for (size_t i = 0; i < setup->worker_count; i++) {
        /* the first finds the port when none was given; the others share it */
        listener->fds[i] = listener_bind(address, &listener->bound, error);
        if (listener->fds[i] < 0)
            return -1;
        address = (const struct sockaddr *)&listener->bound;
    }
    return 0;
}

static int start_esmtp_listener(void *ctx, struct receive_params *params, struct error *error)
{
    struct setup *setup = ctx;
    struct setup_listener listener = {
        .params = receive_params_ref(params), .share = receive_share_new(), .bound = params->listen};

    if (setup->listener_count == LISTENERS_MOST) {
        listener_done(&listener, setup->worker_count);
        return error_set(error, ERROR_PERM, "more than %d listeners", LISTENERS_MOST);
    }
    listener.fds = mem_alloc(setup->worker_count * sizeof *listener.fds);
    memset(listener.fds, 0xff, setup->worker_count * sizeof *listener.fds);
    if (opens(setup) && bind_for_workers(setup, &listener, error)) {
        listener_done(&listener, setup->worker_count);
        return -1;
    }
    setup->listeners = mem_realloc(setup->listeners, (setup->listener_count + 1) * sizeof *setup->listeners);
    setup->listeners[setup->listener_count++] = listener;
    return 0;
}

/* ---- kumo.define_spool ---- */

/* Gatepost keeps a message's metadata beside its body, in one log and under one sync: the spool
 * named `data` is that log, and `meta` is taken and not used. */
static int define_spool(void *ctx, const struct spool_config *config, struct error *error)
{
    struct setup *setup = ctx;

    if (!strcmp(config->name, "meta"))
        return 0;
    if (strcmp(config->name, "data") != 0)
        return error_set(error, ERROR_PERM, "kumo.define_spool: the name '%s' is neither 'data' nor 'meta'",
                         config->name);
    if (setup->spool.path)
        return error_set(error, ERROR_PERM, "kumo.define_spool: the spool 'data' is defined twice");
    setup->spool = *config;
    setup->spool.name = setup->spool_name = mem_strdup(config->name);
    setup->spool.path = setup->spool_path = mem_strdup(config->path);
    if (!config->flush)
        diag(DIAG_WARN, NULL, "spool '%s' is defined with flush = false: accepted mail is lost when the machine fails",
             config->name);
    return 0;
}

/* ---- kumo.configure_local_logs ---- */

static int configure_local_logs(void *ctx, const struct log_config *config, struct error *error)
{
    struct setup *setup = ctx;

    return opens(setup) ? log_open(config, error) : 0;
}

/* ---- kumo.aaa.configure_acct_log ---- */

static int configure_acct_log(void *ctx, const struct log_config *config, struct error *error)
{
    struct setup *setup = ctx;

    if (setup->has_acct_log)
        return error_set(error, ERROR_PERM, "the accounting log is configured twice");
    setup->has_acct_log = true;
    return opens(setup) ? log_open(config, error) : 0;
}

/* ---- kumo.start_http_listener ---- */

static int start_http_listener(void *ctx, const struct admin_params *params, struct error *error)
{
    struct setup *setup = ctx;

    (void)error;
    setup->http_listeners =
        mem_realloc(setup->http_listeners, (setup->http_listener_count + 1) * sizeof(struct admin_params *));
    setup->http_listeners[setup->http_listener_count++] = admin_params_copy(params);
    return 0;
}

/* ---- kumo.dns.configure_resolver ---- */

/* "ip:port" as policies write it, in the form that dns/ takes: "ip@port". */
static char *name_server(const char *text)
{
    struct sockaddr_storage address;
    char host[INET6_ADDRSTRLEN];
    struct ip ip;

    if (sockaddr_parse(span_of(text), &address, NULL))
        return mem_strdup(text); /* a plain address */
    ip = ip_of_sockaddr((const struct sockaddr *)&address);
    ip_format(&ip, host);
    return mem_printf("%s@%u", host, (unsigned)sockaddr_port((const struct sockaddr *)&address));
}

static int configure_resolver(void *ctx, const char *const *servers, size_t count, const char *zone_text,
                              struct error *error)
{
    struct setup *setup = ctx;

    if (setup->name_server_count || setup->zone_text)
        return error_set(error, ERROR_PERM, "the resolver is configured twice");
    setup->name_servers = mem_zalloc((count + 1) * sizeof(char *));
    for (size_t i = 0; i < count; i++)
        setup->name_servers[setup->name_server_count++] = name_server(servers[i]);
    setup->zone_text = zone_text ? mem_strdup(zone_text) : NULL;
    return 0;
}

/* ---- kumo.validation_failed ---- */

static void validation_failed(void *ctx)
{
    struct setup *setup = ctx;

    setup->validation_failed = true;
}

static const struct house_ops house = {
    .start_esmtp_listener = start_esmtp_listener,
    .start_http_listener = start_http_listener,
    .define_spool = define_spool,
    .configure_local_logs = configure_local_logs,
    .configure_acct_log = configure_acct_log,
    .configure_resolver = configure_resolver,
    .validation_failed = validation_failed,
};

struct receive_params *setup_listener_at(const struct setup *setup, size_t i, const struct sockaddr **bound_out)
{
    if (i >= setup->listener_count)
        return NULL;
    *bound_out = (const struct sockaddr *)&setup->listeners[i].bound;
    return setup->listeners[i].params;
}

void setup_reload_certificates(struct setup *setup)
{
    struct error error;

    for (size_t i = 0; i < setup->listener_count; i++)
        if (receive_params_reload_tls(setup->listeners[i].params, &error))
            diag_error(NULL, &error, "certificates were not reloaded; the former ones go on serving");
}

/* ---- running init ---- */

struct waiting {
    bool done;
    struct policy_result result;
};

static void on_done(void *ctx, const struct policy_result *result)
{
    struct waiting *waiting = ctx;

    waiting->result = *result;
    waiting->done = true;
}

static int push_nothing(lua_State *L, void *ctx)
{
    (void)L;
    (void)ctx;
    return 0;
}

/* Calls one event and waits for its end, its waits included. */
static int run_event(struct policy_vm *vm, enum policy_event event, struct error *error)
{
    struct waiting waiting = {0};

    if (!policy_handles(vm, event))
        return 0;
    policy_call(vm, event, push_nothing, on_done, &waiting);
    while (!waiting.done)
        loop_turn(policy_vm_loop(vm), true);
    if (waiting.result.outcome == POLICY_FAILED) {
        if (error)
            *error = waiting.result.error;
        return -1;
    }
    if (waiting.result.outcome == POLICY_REJECTED || waiting.result.outcome == POLICY_DISCONNECT)
        return error_set(error, ERROR_PERM, "kumo.reject has nobody to answer at start: %d %s",
                         waiting.result.reply.code, waiting.result.reply.text);
    return 0;
}

int setup_run_init(struct setup *setup, struct policy_vm *vm, struct error *error)
{
    struct house_owner owner = {.ops = &house, .ctx = setup};
    int status;

    policy_vm_set_owner(vm, &owner);
    status = run_event(vm, POLICY_EVENT_PRE_INIT, error);
    if (!status)
        status = run_event(vm, POLICY_EVENT_INIT, error);
    if (!status && setup->purpose == SETUP_TO_VALIDATE)
        status = run_event(vm, POLICY_EVENT_VALIDATE_CONFIG, error);
    policy_vm_set_owner(vm, NULL);
    if (!status && setup->purpose == SETUP_TO_VALIDATE && setup->validation_failed)
        return error_set(error, ERROR_PERM, "the configuration is not valid, as said above");
    if (!status && opens(setup) && !setup->spool.path)
        return error_set(error, ERROR_PERM,
                         "the policy defines no spool: call kumo.define_spool { name = 'data', path = ... } in "
                         "kumo.on('init', ...)");
    return status;
}
