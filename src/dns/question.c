/* SPDX-License-Identifier: Apache-2.0
 *
 * What mail asks: who takes mail for a domain, and where a host is. Each question is a few
 * look-ups under one time limit, and its answer is always told later, never from within the
 * call that asked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "dns/dns_private.h"

/* An address look-up's answer, kept until its sister has answered too. */
struct kept_answer {
    bool is_there;
    struct raw_answer raw;
    char bytes[DNS_ADDRESSES_LIMIT][16];
    char *data[DNS_ADDRESSES_LIMIT];
    int lengths[DNS_ADDRESSES_LIMIT];
};

struct dns_question {
    struct list_node node; /* in its resolver's list */
    struct dns *dns;
    struct timer timeout;
    struct deferred later; /* for what needs no look-up */
    char name[DNS_NAME_BYTES];

    /* who asked; one of the two */
    dns_mx_fn *on_mx;
    dns_addresses_fn *on_addresses;
    void *ctx;

    struct lookup mx_lookup, a_lookup, aaaa_lookup;
    struct kept_answer a, aaaa;
    struct dns_mx mx;
    struct dns_addresses addresses;
    char reason[128]; /* why a look-up failed */
};

/* ---- life ---- */

static void on_timeout(void *ctx);
static void on_later(struct deferred *deferred);

static struct dns_question *question_new(struct dns *dns, void *ctx)
{
    struct dns_question *question = mem_zalloc(sizeof *question);

    question->dns = dns;
    question->ctx = ctx;
    question->later.run = on_later;
    list_node_init(&question->later.node);
    timer_init(&question->timeout, resolver_loop(dns), on_timeout, question);
    resolver_adopt(dns, &question->node);
    return question;
}

static void question_free(struct dns_question *question)
{
    timer_stop(&question->timeout);
    loop_undefer(resolver_loop(question->dns), &question->later);
    dns_lookup_stop(&question->mx_lookup);
    dns_lookup_stop(&question->a_lookup);
    dns_lookup_stop(&question->aaaa_lookup);
    resolver_forget(question->dns, &question->node);
    answer_mx_done(&question->mx);
    free(question);
}

void dns_cancel(struct dns_question *question)
{
    if (question)
        question_free(question);
}

void question_drop(struct list_node *node) { question_free(CONTAINER_OF(node, struct dns_question, node)); }

/* ---- telling ---- */

static void describe(const struct dns_question *question, enum dns_verdict verdict, struct error *error)
{
    switch (verdict) {
    case DNS_NO_DOMAIN:
        error_set(error, ERROR_PERM, "%s does not exist, or has no %s records", question->name,
                  question->on_mx ? "MX or address" : "address");
        break;
    case DNS_NULL_MX:
        error_set(error, ERROR_PERM, "%s accepts no mail (null MX)", question->name);
        break;
    default:
        error_set(error, ERROR_TEMP, "looking up %s failed: %s", question->name,
                  question->reason[0] ? question->reason : "the records make no sense");
    }
}

static void finish_mx(struct dns_question *question)
{
    struct dns_mx *mx = &question->mx;
    const char *names[DNS_HOSTS_LIMIT];
    struct error error = {0};

    for (size_t i = 0; i < mx->host_count; i++)
        names[i] = mx->hosts[i].name;
    mx->site_name = dns_site_name(names, mx->host_count);
    answer_mx_shuffle(mx);
    if (mx->verdict != DNS_OK)
        describe(question, mx->verdict, &error);
    question->on_mx(question->ctx, mx, mx->verdict == DNS_OK ? NULL : &error);
}

/* Tells whoever asked; the question is gone after. */
static void finish(struct dns_question *question)
{
    struct error error = {0};

    /* out of reach of everything that could end it twice, while the callback runs */
    timer_stop(&question->timeout);
    if (question->on_mx) {
        finish_mx(question);
    } else {
        if (question->addresses.verdict != DNS_OK)
            describe(question, question->addresses.verdict, &error);
        question->on_addresses(question->ctx, &question->addresses,
                               question->addresses.verdict == DNS_OK ? NULL : &error);
    }
    question_free(question);
}

static void on_later(struct deferred *deferred) { finish(CONTAINER_OF(deferred, struct dns_question, later)); }

static void on_timeout(void *ctx)
{
    struct dns_question *question = ctx;

    answer_mx_done(&question->mx);
    question->mx.verdict = DNS_FAILED;
    question->addresses = (struct dns_addresses){.verdict = DNS_FAILED};
    snprintf(question->reason, sizeof question->reason, "no answer in time");
    finish(question);
}

static void keep_reason(struct dns_question *question, const struct raw_answer *raw)
{
    if (raw->verdict == RAW_FAILED)
        snprintf(question->reason, sizeof question->reason, "%s", raw->reason);
}

/* ---- addresses ---- */

static void keep(struct kept_answer *kept, const struct raw_answer *raw)
{
    kept->is_there = true;
    kept->raw = *raw;
    kept->raw.count = 0;
    for (size_t i = 0; i < raw->count && kept->raw.count < DNS_ADDRESSES_LIMIT; i++) {
        size_t at = kept->raw.count;

        if (raw->lengths[i] < 0 || raw->lengths[i] > (int)sizeof kept->bytes[at])
            continue;
        memcpy(kept->bytes[at], raw->data[i], (size_t)raw->lengths[i]);
        kept->data[at] = kept->bytes[at];
        kept->lengths[at] = raw->lengths[i];
        kept->raw.count++;
    }
    kept->raw.data = kept->data;
    kept->raw.lengths = kept->lengths;
}

/* No MX, but an address: the domain is its own mail exchanger (RFC 5321, section 5.1). */
static void use_implicit_mx(struct dns_question *question)
{
    struct dns_mx *mx = &question->mx;

    mx->verdict = question->addresses.verdict;
    mx->is_secure = mx->is_secure && question->addresses.is_secure;
    if (question->addresses.ttl_ms < mx->ttl_ms)
        mx->ttl_ms = question->addresses.ttl_ms;
    if (mx->verdict == DNS_OK)
        answer_mx_add_host(mx, question->name, 0);
}

static void take_address_answer(struct dns_question *question, struct kept_answer *kept, const struct raw_answer *raw)
{
    keep(kept, raw);
    keep_reason(question, raw);
    if (!question->a.is_there || !question->aaaa.is_there)
        return;
    answer_to_addresses(&question->a.raw, &question->aaaa.raw, &question->addresses);
    if (question->on_mx)
        use_implicit_mx(question);
    finish(question);
}

static void on_a(struct lookup *lookup, const struct raw_answer *raw)
{
    struct dns_question *question = CONTAINER_OF(lookup, struct dns_question, a_lookup);

    take_address_answer(question, &question->a, raw);
}

static void on_aaaa(struct lookup *lookup, const struct raw_answer *raw)
{
    struct dns_question *question = CONTAINER_OF(lookup, struct dns_question, aaaa_lookup);

    take_address_answer(question, &question->aaaa, raw);
}

static void ask_addresses(struct dns_question *question)
{
    dns_lookup_start(&question->a_lookup, question->dns, question->name, DNS_TYPE_A, on_a);
    dns_lookup_start(&question->aaaa_lookup, question->dns, question->name, DNS_TYPE_AAAA, on_aaaa);
}

/* ---- mail exchangers ---- */

static void on_mx(struct lookup *lookup, const struct raw_answer *raw)
{
    struct dns_question *question = CONTAINER_OF(lookup, struct dns_question, mx_lookup);

    keep_reason(question, raw);
    answer_to_mx(raw, &question->mx);
    if (raw->verdict == RAW_NO_DATA)
        ask_addresses(question);
    else
        finish(question);
}

/* A literal or an impossible name is answered without asking. True when it is a name. */
static bool take_name(struct dns_question *question, const char *text)
{
    if (answer_clean_name(span_of(text), question->name) == 0) {
        timer_start(&question->timeout, resolver_timeout_ms(question->dns));
        return true;
    }
    snprintf(question->name, sizeof question->name, "%s", text);
    loop_defer(resolver_loop(question->dns), &question->later);
    return false;
}

struct dns_question *dns_find_mx(struct dns *dns, const char *domain, dns_mx_fn *on_done, void *ctx)
{
    struct dns_question *question = question_new(dns, ctx);
    char host[INET6_ADDRSTRLEN + 2] = "[";
    struct ip ip;

    question->on_mx = on_done;
    question->mx.verdict = DNS_NO_DOMAIN;
    if (answer_literal(domain, &ip) == 0) {
        ip_format(&ip, host + 1);
        strncat(host, "]", sizeof host - strlen(host) - 1);
        question->mx.verdict = DNS_OK;
        question->mx.ttl_ms = UINT64_MAX;
        answer_mx_add_host(&question->mx, host, 0);
    }
    if (take_name(question, domain))
        dns_lookup_start(&question->mx_lookup, dns, question->name, DNS_TYPE_MX, on_mx);
    return question;
}

struct dns_question *dns_find_addresses(struct dns *dns, const char *host, dns_addresses_fn *on_done, void *ctx)
{
    struct dns_question *question = question_new(dns, ctx);

    question->on_addresses = on_done;
    question->addresses.verdict = DNS_NO_DOMAIN;
    if (answer_literal(host, &question->addresses.ips[0]) == 0) {
        question->addresses.verdict = DNS_OK;
        question->addresses.count = 1;
        question->addresses.ttl_ms = UINT64_MAX;
    }
    if (take_name(question, host))
        ask_addresses(question);
    return question;
}
