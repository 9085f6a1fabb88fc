/* SPDX-License-Identifier: Apache-2.0
 *
 * libunbound on our loop: one resolver context per loop, with its own thread and cache; its
 * answers come through a pipe that we poll. Forwarders are the configured servers or those
 * of /etc/resolv.conf; without any it asks from the root down. No trust anchor is set here,
 * so no answer is called secure unless the context was given one.
 *
 * The awkward truth: a forwarder is believed. Whoever controls it controls where mail goes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unbound.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"
#include "base/must.h"
#include "dns/dns_private.h"

#define DEFAULT_TIMEOUT_MS 10000
#define CLASS_IN 1
#define RCODE_NXDOMAIN 3
#define RESOLV_CONF "/etc/resolv.conf"

struct dns {
    /* fixed after start */
    struct loop *loop;
    uint64_t timeout_ms;
    struct zone *zone; /* when set, nothing is asked and there is no context */
    struct ub_ctx *context;
    uv_poll_t *poll;

    struct list questions;
};

/* ---- set-up ---- */

static int check(int status, struct error *error, const char *doing)
{
    return status ? error_set(error, ERROR_TEMP, "%s: %s", doing, ub_strerror(status)) : 0;
}

static int set_options(struct ub_ctx *context, struct error *error)
{
    static const char *const options[][2] = {
        {"do-not-query-localhost:", "no"}, /* a resolver on this machine is the usual case */
        {"num-queries-per-thread:", "4096"},
    };

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (check(ub_ctx_set_option(context, options[i][0], options[i][1]), error, "cannot set up the resolver"))
            return -1;
    return check(ub_ctx_async(context, 1), error, "cannot set up the resolver");
}

static int set_servers(struct ub_ctx *context, const struct dns_config *config, struct error *error)
{
    for (size_t i = 0; i < config->server_count; i++)
        if (ub_ctx_set_fwd(context, config->servers[i]))
            return error_set(error, ERROR_PERM, "'%s' is not the address of a name server: write IP or IP@PORT",
                             config->servers[i]);
    if (config->server_count == 0 && access(RESOLV_CONF, R_OK) == 0 && ub_ctx_resolvconf(context, RESOLV_CONF))
        return error_set(error, ERROR_PERM, "cannot use the name servers of " RESOLV_CONF);
    if (access("/etc/hosts", R_OK) == 0 && ub_ctx_hosts(context, NULL))
        return error_set(error, ERROR_PERM, "cannot read /etc/hosts");
    return 0;
}

/* Whoever names servers may serve private zones under names that are reserved for tests;
 * the library would answer those itself. Finishes the set-up. */
static int open_reserved_zones(struct ub_ctx *context, const struct dns_config *config, struct error *error)
{
    if (config->server_count == 0)
        return 0;
    return check(ub_ctx_zone_add(context, "test.", "transparent"), error, "cannot set up the resolver");
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct dns *dns = poll->data;

    (void)status;
    (void)events;
    ub_process(dns->context);
}

static int watch(struct dns *dns, struct error *error)
{
    int status;

    dns->poll = mem_zalloc(sizeof *dns->poll);
    dns->poll->data = dns;
    status = uv_poll_init(loop_uv(dns->loop), dns->poll, ub_fd(dns->context));
    if (!status)
        status = uv_poll_start(dns->poll, UV_READABLE, on_poll);
    if (!status)
        return 0;
    free(dns->poll);
    dns->poll = NULL;
    return error_set_errno(error, ERROR_TEMP, -status, "cannot watch the resolver");
}

static int open_context(struct dns *dns, const struct dns_config *config, struct error *error)
{
    dns->context = ub_ctx_create();
    if (!dns->context)
        return error_set(error, ERROR_TEMP, "cannot make a resolver");
    if (set_options(dns->context, error) || set_servers(dns->context, config, error) ||
        open_reserved_zones(dns->context, config, error))
        return -1;
    return watch(dns, error);
}

struct dns *dns_new(struct loop *loop, const struct dns_config *config, struct error *error)
{
    struct dns *dns = mem_zalloc(sizeof *dns);
    int status = 0;

    dns->loop = loop;
    dns->timeout_ms = config->timeout_ms ? config->timeout_ms : DEFAULT_TIMEOUT_MS;
    list_init(&dns->questions);
    if (config->zone_text) {
        dns->zone = zone_new(config->zone_text, error);
        status = dns->zone ? 0 : -1;
    } else {
        status = open_context(dns, config, error);
    }
    if (status) {
        dns_free(dns);
        return NULL;
    }
    return dns;
}

static void on_poll_closed(uv_handle_t *handle) { free(handle); }

void dns_free(struct dns *dns)
{
    if (!dns)
        return;
    while (!list_is_empty(&dns->questions))
        question_drop(list_first(&dns->questions));
    if (dns->poll)
        uv_close((uv_handle_t *)dns->poll, on_poll_closed);
    if (dns->context)
        ub_ctx_delete(dns->context);
    zone_free(dns->zone);
    free(dns);
}

struct loop *resolver_loop(const struct dns *dns) { return dns->loop; }

uint64_t resolver_timeout_ms(const struct dns *dns) { return dns->timeout_ms; }

void resolver_adopt(struct dns *dns, struct list_node *question) { list_push_back(&dns->questions, question); }

void resolver_forget(struct dns *dns, struct list_node *question) { list_remove(&dns->questions, question); }

/* ---- look-ups ---- */

static const char *reason_of(int status, const struct ub_result *result)
{
    if (status)
        return ub_strerror(status);
    if (result->bogus)
        return result->why_bogus ? result->why_bogus : "the answer's signatures are wrong";
    if (result->rcode == 2)
        return "the name servers failed (SERVFAIL)";
    return result->rcode == 5 ? "the name servers refused to answer" : "the name servers gave no usable answer";
}

static enum raw_verdict verdict_of(int status, const struct ub_result *result)
{
    if (status || result->bogus || (result->rcode != 0 && result->rcode != RCODE_NXDOMAIN))
        return RAW_FAILED;
    if (result->nxdomain)
        return RAW_NO_DOMAIN;
    return result->havedata ? RAW_OK : RAW_NO_DATA;
}

static void read_result(int status, const struct ub_result *result, struct raw_answer *raw_out)
{
    *raw_out = (struct raw_answer){.verdict = verdict_of(status, result)};
    if (raw_out->verdict == RAW_FAILED) {
        raw_out->reason = reason_of(status, result);
        return;
    }
    raw_out->is_secure = result->secure;
    raw_out->ttl_ms = result->ttl > 0 ? (uint64_t)result->ttl * 1000 : 0;
    if (raw_out->verdict != RAW_OK)
        return;
    raw_out->data = result->data;
    raw_out->lengths = result->len;
    while (result->data[raw_out->count])
        raw_out->count++;
}

static void on_resolved(void *ctx, int status, struct ub_result *result)
{
    struct lookup *lookup = ctx;
    struct raw_answer raw;

    lookup->asked = false;
    read_result(status, result, &raw);
    lookup->on_answer(lookup, &raw);
    ub_resolve_free(result);
}

static void on_later(struct deferred *deferred)
{
    struct lookup *lookup = CONTAINER_OF(deferred, struct lookup, later);

    lookup->on_answer(lookup, &lookup->ready);
}

void dns_lookup_start(struct lookup *lookup, struct dns *dns, const char *name, enum dns_type type,
                      lookup_fn *on_answer)
{
    int status;

    *lookup = (struct lookup){.dns = dns, .on_answer = on_answer};
    list_node_init(&lookup->later.node);
    lookup->later.run = on_later;
    if (dns->zone) {
        if (zone_answer(dns->zone, name, type, &lookup->ready))
            loop_defer(dns->loop, &lookup->later);
        return;
    }
    status = ub_resolve_async(dns->context, name, (int)type, CLASS_IN, lookup, on_resolved, &lookup->async_id);
    lookup->asked = status == 0;
    if (status) {
        lookup->ready = (struct raw_answer){.verdict = RAW_FAILED, .reason = ub_strerror(status)};
        loop_defer(dns->loop, &lookup->later);
    }
}

void dns_lookup_stop(struct lookup *lookup)
{
    if (!lookup->dns)
        return;
    loop_undefer(lookup->dns->loop, &lookup->later);
    if (lookup->asked)
        ub_cancel(lookup->dns->context, lookup->async_id);
    lookup->asked = false;
}
