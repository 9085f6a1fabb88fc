/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding the way: names to addresses, domains to mail exchangers, without blocking.
 * libunbound does the asking and caching; what its answers mean for mail is decided here.
 */
#ifndef GATEPOST_DNS_DNS_H
#define GATEPOST_DNS_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/error.h"
#include "base/span.h"
#include "loop/loop.h"

struct dns; /* a resolver on one loop */

struct dns_config {
    const char *const *servers; /* "ip" or "ip@port"; count 0: /etc/resolv.conf */
    size_t server_count;
    uint64_t timeout_ms; /* one question, all tries; 0: 10 s */
    /* Answers given instead of asking, for tests and demonstrations; or NULL. One record a
     * line: "NAME MX 10 HOST", "NAME A IP", "NAME AAAA IP", "NAME CNAME NAME", "NAME NXDOMAIN",
     * "NAME SERVFAIL", "NAME TIMEOUT". A name that is not there does not exist. */
    const char *zone_text;
};

struct dns *dns_new(struct loop *loop, const struct dns_config *config, struct error *error);
/* Pending questions are dropped. Never from within an answer's callback. */
void dns_free(struct dns *dns);

/* Pending; gone once its answer was told. Answers are told later, never from within the
 * call that asks, and each exactly once. */
struct dns_question;
void dns_cancel(struct dns_question *question); /* NULL is fine; on_done will not be called */

#define DNS_HOSTS_LIMIT 32
#define DNS_ADDRESSES_LIMIT 16

enum dns_verdict {
    DNS_OK,
    DNS_NO_DOMAIN, /* NXDOMAIN, or neither MX nor address records: bounce */
    DNS_NULL_MX,   /* RFC 7505: bounce */
    DNS_FAILED,    /* SERVFAIL, timeout, bogus: defer */
};

struct dns_host {
    char *name; /* lower case, no trailing dot; or "[address]" for a literal */
    unsigned preference;
};

/* Hosts by preference, equal ones in a random order (the site name does not depend on it).
 * Implicit MX (RFC 5321, 5.1) applied; a domain "[address]" is its own only host. */
struct dns_mx {
    enum dns_verdict verdict;
    bool is_secure; /* DNSSEC-validated */
    struct dns_host hosts[DNS_HOSTS_LIMIT];
    size_t host_count;
    char *site_name; /* see dns_site_name; "" without hosts */
    uint64_t ttl_ms;
};

/* `mx` is borrowed for the call and never NULL; copy what is needed. `error` says in a
 * sentence why the verdict is not DNS_OK, and is NULL when it is. */
typedef void dns_mx_fn(void *ctx, const struct dns_mx *mx, const struct error *error);
struct dns_question *dns_find_mx(struct dns *dns, const char *domain, dns_mx_fn *on_done, void *ctx);

struct dns_addresses {
    enum dns_verdict verdict;
    bool is_secure;
    struct ip ips[DNS_ADDRESSES_LIMIT]; /* IPv6 and IPv4 mixed as they came */
    size_t count;
    uint64_t ttl_ms;
};

typedef void dns_addresses_fn(void *ctx, const struct dns_addresses *addresses, const struct error *error);
struct dns_question *dns_find_addresses(struct dns *dns, const char *host, dns_addresses_fn *on_done, void *ctx);

/* The site name of a list of hosts, lower case: what differs is folded label by label,
 * "(a|b).example"; "[address]" counts as one label, without its brackets. At most
 * DNS_HOSTS_LIMIT hosts count. It is a label for people and limits, not an identity: other
 * hosts can fold to the same text (see site.c), so never take a plan from it alone. The
 * caller frees it. */
char *dns_site_name(const char *const *hosts, size_t count) __attribute__((returns_nonnull));

#endif
