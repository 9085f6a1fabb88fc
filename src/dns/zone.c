/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers given instead of asked for, from a few lines of text: for tests and for the
 * demonstration, which must not depend on anybody's DNS. A name that is not in the text
 * does not exist; nothing is ever asked.
 *
 *     example.com     MX    10 mx.example.com
 *     mx.example.com  A     127.0.0.1
 *     www.example.com CNAME mx.example.com
 *     gone.example    NXDOMAIN
 *     broken.example  SERVFAIL
 *     slow.example    TIMEOUT
 */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "dns/dns_private.h"

#define RECORDS_PER_NAME 4096
#define CNAME_LIMIT 8
#define TTL_MS 60000

/* The records of one type, in the form the resolver's answers have. */
struct zone_set {
    char **data;
    int *lengths;
    size_t count;
};

struct zone_name {
    struct zone_set a, aaaa, mx;
    char *cname;
    bool no_domain, fails, silent;
};

struct zone {
    struct map names;
};

/* ---- reading ---- */

static int add_record(struct zone_set *set, const void *data, size_t len)
{
    if (set->count == RECORDS_PER_NAME)
        return -1;
    set->data = mem_realloc(set->data, (set->count + 1) * sizeof *set->data);
    set->lengths = mem_realloc(set->lengths, (set->count + 1) * sizeof *set->lengths);
    set->data[set->count] = mem_alloc(len);
    memcpy(set->data[set->count], data, len);
    set->lengths[set->count++] = (int)len;
    return 0;
}

/* "mx.example" as "\2mx\7example\0"; "." as "\0". The wire length, or 0. */
static size_t write_wire_name(struct span text, char out[DNS_NAME_BYTES + 2])
{
    char clean[DNS_NAME_BYTES];
    struct span rest;
    struct span label;
    size_t len = 0;

    if (!span_eq(text, SPAN_LIT("."))) {
        if (answer_clean_name(text, clean))
            return 0;
        rest = span_of(clean);
        while (span_split(&rest, '.', &label)) {
            out[len++] = (char)label.len;
            memcpy(out + len, label.data, label.len);
            len += label.len;
        }
    }
    out[len] = '\0';
    return len + 1;
}

static int add_mx(struct zone_name *name, struct span preference, struct span host)
{
    char wire[2 + DNS_NAME_BYTES + 2];
    size_t len = write_wire_name(host, wire + 2);
    uint64_t value;

    if (len == 0 || span_to_u64(preference, &value) || value > 65535)
        return -1;
    wire[0] = (char)(value >> 8);
    wire[1] = (char)(value & 0xff);
    return add_record(&name->mx, wire, len + 2);
}

static int add_address(struct zone_name *name, struct span text, unsigned char family)
{
    struct ip ip;

    if (ip_parse(text, &ip) || ip.family != family)
        return -1;
    return family == AF_INET ? add_record(&name->a, ip.bytes, 4) : add_record(&name->aaaa, ip.bytes, 16);
}

static int add_cname(struct zone_name *name, struct span target)
{
    char clean[DNS_NAME_BYTES];

    if (name->cname || answer_clean_name(target, clean))
        return -1;
    name->cname = mem_strdup(clean);
    return 0;
}

static struct zone_name *name_of(struct zone *zone, const char *text)
{
    struct zone_name *name = map_find(&zone->names, span_of(text));

    if (!name) {
        name = mem_zalloc(sizeof *name);
        map_put(&zone->names, span_of(text), name);
    }
    return name;
}

#define WORDS 4

static size_t split_words(struct span line, struct span words[WORDS])
{
    size_t count = 0;
    size_t at = 0;

    while (at < line.len) {
        size_t start = at;

        while (at < line.len && line.data[at] != ' ' && line.data[at] != '\t' && line.data[at] != '\r')
            at++;
        if (at > start && count < WORDS)
            words[count] = span_make(line.data + start, at - start);
        count += at > start;
        at++;
    }
    return count;
}

static int read_words(struct zone_name *name, const struct span *words, size_t count)
{
    struct span type = words[1];

    if (count == 4 && span_ieq(type, SPAN_LIT("MX")))
        return add_mx(name, words[2], words[3]);
    if (count == 3 && span_ieq(type, SPAN_LIT("A")))
        return add_address(name, words[2], AF_INET);
    if (count == 3 && span_ieq(type, SPAN_LIT("AAAA")))
        return add_address(name, words[2], AF_INET6);
    if (count == 3 && span_ieq(type, SPAN_LIT("CNAME")))
        return add_cname(name, words[2]);
    if (count == 2 && span_ieq(type, SPAN_LIT("NXDOMAIN")))
        name->no_domain = true;
    else if (count == 2 && span_ieq(type, SPAN_LIT("SERVFAIL")))
        name->fails = true;
    else if (count == 2 && span_ieq(type, SPAN_LIT("TIMEOUT")))
        name->silent = true;
    else
        return -1;
    return 0;
}

static int read_line(struct zone *zone, struct span line)
{
    struct span words[WORDS];
    size_t count = split_words(span_head(line, span_find(line, '#')), words);
    char name[DNS_NAME_BYTES];

    if (count == 0)
        return 0;
    if (count < 2 || answer_clean_name(words[0], name))
        return -1;
    return read_words(name_of(zone, name), words, count);
}

struct zone *zone_new(const char *text, struct error *error)
{
    struct zone *zone = mem_zalloc(sizeof *zone);
    struct span rest = span_of(text);
    struct span line;
    int number = 0;

    map_init(&zone->names);
    while (span_split(&rest, '\n', &line)) {
        number++;
        if (read_line(zone, line)) {
            error_set(error, ERROR_PERM, "line %d of the given DNS answers is not understood: '%.*s'", number,
                      SPAN_ARG(line));
            zone_free(zone);
            return NULL;
        }
    }
    return zone;
}

static void free_set(struct zone_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->data[i]);
    free(set->data);
    free(set->lengths);
}

static void free_name(void *value)
{
    struct zone_name *name = value;

    free_set(&name->a);
    free_set(&name->aaaa);
    free_set(&name->mx);
    free(name->cname);
    free(name);
}

void zone_free(struct zone *zone)
{
    if (!zone)
        return;
    map_done(&zone->names, free_name);
    free(zone);
}

/* ---- answering ---- */

static const struct zone_set *set_of(const struct zone_name *name, enum dns_type type)
{
    switch (type) {
    case DNS_TYPE_A:
        return &name->a;
    case DNS_TYPE_AAAA:
        return &name->aaaa;
    default:
        return &name->mx;
    }
}

static const struct zone_name *follow(const struct zone *zone, const char *text)
{
    const struct zone_name *name = map_find(&zone->names, span_of(text));

    for (int i = 0; name && name->cname && i < CNAME_LIMIT; i++)
        name = map_find(&zone->names, span_of(name->cname));
    return name;
}

bool zone_answer(const struct zone *zone, const char *text, enum dns_type type, struct raw_answer *answer_out)
{
    const struct zone_name *name = follow(zone, text);
    const struct zone_set *set;

    *answer_out = (struct raw_answer){.verdict = RAW_NO_DOMAIN, .ttl_ms = TTL_MS};
    if (!name || name->no_domain)
        return true;
    if (name->fails || name->cname) { /* a name still pointing on is a CNAME loop */
        answer_out->verdict = RAW_FAILED;
        answer_out->reason = "the name servers failed (SERVFAIL)";
        return true;
    }
    set = set_of(name, type);
    answer_out->verdict = set->count > 0 ? RAW_OK : RAW_NO_DATA;
    answer_out->data = set->data;
    answer_out->lengths = set->lengths;
    answer_out->count = set->count;
    return !name->silent;
}
