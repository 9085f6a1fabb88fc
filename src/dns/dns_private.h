/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share. A question (what mail wants to know) is made of one to
 * three look-ups (what DNS can be asked); a look-up ends in a raw answer, which answer.c
 * turns into meaning.
 */
#ifndef GATEPOST_DNS_PRIVATE_H
#define GATEPOST_DNS_PRIVATE_H

#include "base/list.h"
#include "dns/dns.h"

enum dns_type { DNS_TYPE_A = 1, DNS_TYPE_CNAME = 5, DNS_TYPE_MX = 15, DNS_TYPE_AAAA = 28 };

enum raw_verdict {
    RAW_OK,
    RAW_NO_DOMAIN, /* NXDOMAIN */
    RAW_NO_DATA,   /* the name exists, without records of this type */
    RAW_FAILED,    /* SERVFAIL, REFUSED, bogus, or no answer at all */
};

/* One look-up's answer: record data in wire form, uncompressed. Borrowed. */
struct raw_answer {
    enum raw_verdict verdict;
    bool is_secure;
    uint64_t ttl_ms;
    char *const *data; /* `count` items */
    const int *lengths;
    size_t count;
    const char *reason; /* for RAW_FAILED: a few words, static or borrowed */
};

/* ---- answer.c: raw answers to meaning; pure ---- */

/* Hosts in order of (preference, name), the best DNS_HOSTS_LIMIT of them, each name once.
 * What is not a host name is left out. Free with answer_mx_done. */
void answer_to_mx(const struct raw_answer *raw, struct dns_mx *mx_out);
void answer_mx_add_host(struct dns_mx *mx, const char *name, unsigned preference);
/* Puts hosts of equal preference in a random order, after the site name is made. */
void answer_mx_shuffle(struct dns_mx *mx);
void answer_mx_done(struct dns_mx *mx);

/* Both families, alternating, IPv6 first. */
void answer_to_addresses(const struct raw_answer *a, const struct raw_answer *aaaa, struct dns_addresses *out);

/* A name as DNS would have it: lower case, no final dot, labels of 1 to 63 letters, digits,
 * '-' and '_', at most 253 octets. */
#define DNS_NAME_BYTES 254
int answer_clean_name(struct span text, char out[DNS_NAME_BYTES]) __attribute__((warn_unused_result));

/* "[127.0.0.1]", "[IPv6:::1]" or "[::1]". */
int answer_literal(const char *text, struct ip *ip_out) __attribute__((warn_unused_result));

/* ---- zone.c: answers given instead of asked for ---- */

struct zone;

/* NULL with `error` naming the line when the text is wrong. */
struct zone *zone_new(const char *text, struct error *error);
void zone_free(struct zone *zone);
/* False: no answer will come (TIMEOUT). What `answer_out` points to belongs to the zone. */
bool zone_answer(const struct zone *zone, const char *name, enum dns_type type, struct raw_answer *answer_out);

/* ---- resolver.c: look-ups ---- */

struct lookup;
/* Never called from within dns_lookup_start. */
typedef void lookup_fn(struct lookup *lookup, const struct raw_answer *raw);

struct lookup {
    struct dns *dns;
    lookup_fn *on_answer;
    bool asked; /* the resolver knows it as async_id */
    int async_id;
    struct deferred later; /* an answer that is there at once is told later */
    struct raw_answer ready;
};

void dns_lookup_start(struct lookup *lookup, struct dns *dns, const char *name, enum dns_type type,
                      lookup_fn *on_answer);
void dns_lookup_stop(struct lookup *lookup); /* also right for one that never started */

struct loop *resolver_loop(const struct dns *dns);
uint64_t resolver_timeout_ms(const struct dns *dns);
void resolver_adopt(struct dns *dns, struct list_node *question);
void resolver_forget(struct dns *dns, struct list_node *question);

/* ---- question.c ---- */

void question_drop(struct list_node *node); /* with its resolver */

#endif
