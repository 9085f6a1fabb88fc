/* SPDX-License-Identifier: Apache-2.0
 *
 * What DNS answers mean for mail (RFC 5321 section 5.1, RFC 7505). Pure functions of bytes
 * that strangers chose: nothing in a record is trusted, and however many there are, only the
 * best few are kept.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "dns/dns_private.h"

/* ---- names ---- */

static bool is_name_char(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; }

int answer_clean_name(struct span text, char out[DNS_NAME_BYTES])
{
    size_t label = 0;

    if (text.len > 0 && text.data[text.len - 1] == '.')
        text.len--;
    if (text.len == 0 || text.len >= DNS_NAME_BYTES)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.data[i]);

        if (c == '.' ? label == 0 : !is_name_char(c) || label == 63)
            return -1;
        label = c == '.' ? 0 : label + 1;
        out[i] = c;
    }
    out[text.len] = '\0';
    return label > 0 ? 0 : -1;
}

/* A name in wire form (no compression) that fills `wire` exactly; "" is the root. */
static int read_wire_name(struct span wire, char out[DNS_NAME_BYTES])
{
    char text[DNS_NAME_BYTES];
    size_t used = 0;
    size_t at = 0;

    while (at < wire.len && wire.data[at] != 0) {
        size_t label = (unsigned char)wire.data[at];

        if (label > 63 || at + 1 + label >= wire.len || used + label + 1 >= sizeof text)
            return -1;
        if (memchr(wire.data + at + 1, '.', label))
            return -1;
        memcpy(text + used, wire.data + at + 1, label);
        used += label;
        text[used++] = '.';
        at += 1 + label;
    }
    if (at + 1 != wire.len)
        return -1;
    out[0] = '\0';
    return used == 0 ? 0 : answer_clean_name(span_make(text, used), out);
}

int answer_literal(const char *text, struct ip *ip_out)
{
    struct span s = span_of(text);

    if (s.len < 3 || s.data[0] != '[' || s.data[s.len - 1] != ']')
        return -1;
    s = span_make(s.data + 1, s.len - 2);
    if (span_istarts_with(s, SPAN_LIT("ipv6:")))
        s = span_from(s, 5);
    return ip_parse(s, ip_out);
}

/* ---- mail exchangers ---- */

static void remove_host(struct dns_mx *mx, size_t at)
{
    free(mx->hosts[at].name);
    mx->host_count--;
    memmove(&mx->hosts[at], &mx->hosts[at + 1], (mx->host_count - at) * sizeof mx->hosts[0]);
}

static bool goes_before(unsigned preference, const char *name, const struct dns_host *host)
{
    return preference != host->preference ? preference < host->preference : strcmp(name, host->name) < 0;
}

/* The same host twice counts with its better preference. True when it need not be added. */
static bool supersedes(struct dns_mx *mx, const char *name, unsigned preference)
{
    for (size_t i = 0; i < mx->host_count; i++)
        if (strcmp(mx->hosts[i].name, name) == 0) {
            if (mx->hosts[i].preference <= preference)
                return true;
            remove_host(mx, i);
            return false;
        }
    return false;
}

void answer_mx_add_host(struct dns_mx *mx, const char *name, unsigned preference)
{
    size_t at;

    if (supersedes(mx, name, preference))
        return;
    for (at = mx->host_count; at > 0 && goes_before(preference, name, &mx->hosts[at - 1]); at--)
        ;
    if (mx->host_count == DNS_HOSTS_LIMIT) {
        if (at == DNS_HOSTS_LIMIT)
            return;
        remove_host(mx, DNS_HOSTS_LIMIT - 1);
    }
    memmove(&mx->hosts[at + 1], &mx->hosts[at], (mx->host_count - at) * sizeof mx->hosts[0]);
    mx->hosts[at] = (struct dns_host){.name = mem_strdup(name), .preference = preference};
    mx->host_count++;
}

static void read_records(const struct raw_answer *raw, struct dns_mx *mx, bool *has_root_out)
{
    for (size_t i = 0; i < raw->count; i++) {
        struct span wire = span_make(raw->data[i], raw->lengths[i] > 0 ? (size_t)raw->lengths[i] : 0);
        char name[DNS_NAME_BYTES];

        if (wire.len < 3 || read_wire_name(span_from(wire, 2), name))
            continue;
        if (name[0] == '\0')
            *has_root_out = true;
        else
            answer_mx_add_host(mx, name, ((unsigned)(unsigned char)wire.data[0] << 8) | (unsigned char)wire.data[1]);
    }
}

void answer_to_mx(const struct raw_answer *raw, struct dns_mx *mx_out)
{
    bool has_root = false;

    *mx_out = (struct dns_mx){.verdict = DNS_FAILED, .is_secure = raw->is_secure, .ttl_ms = raw->ttl_ms};
    if (raw->verdict == RAW_NO_DOMAIN || raw->verdict == RAW_NO_DATA)
        mx_out->verdict = DNS_NO_DOMAIN;
    if (raw->verdict != RAW_OK)
        return;
    read_records(raw, mx_out, &has_root);
    /* "." beside real hosts breaks RFC 7505; the real hosts are what the domain uses.
     * Records none of which can be read say nothing, so the mail waits. */
    if (mx_out->host_count > 0)
        mx_out->verdict = DNS_OK;
    else if (has_root)
        mx_out->verdict = DNS_NULL_MX;
}

void answer_mx_shuffle(struct dns_mx *mx)
{
    for (size_t first = 0, next; first < mx->host_count; first = next) {
        for (next = first + 1; next < mx->host_count && mx->hosts[next].preference == mx->hosts[first].preference;)
            next++;
        for (size_t left = next - first; left > 1; left--) {
            size_t pick = first + (size_t)random_below(left);
            struct dns_host last = mx->hosts[first + left - 1];

            mx->hosts[first + left - 1] = mx->hosts[pick];
            mx->hosts[pick] = last;
        }
    }
}

void answer_mx_done(struct dns_mx *mx)
{
    for (size_t i = 0; i < mx->host_count; i++)
        free(mx->hosts[i].name);
    free(mx->site_name);
    *mx = (struct dns_mx){0};
}

/* ---- addresses ---- */

static bool read_address(const struct raw_answer *raw, size_t at, size_t bytes, struct ip *ip_out)
{
    if (raw->verdict != RAW_OK || at >= raw->count || raw->lengths[at] != (int)bytes)
        return false;
    *ip_out = (struct ip){.family = bytes == 4 ? AF_INET : AF_INET6};
    memcpy(ip_out->bytes, raw->data[at], bytes);
    ip_unmap(ip_out); /* or blocks of IPv4 that must not be connected to would not hold for it */
    return true;
}

static void add_address(struct dns_addresses *out, const struct raw_answer *raw, size_t at, size_t bytes)
{
    struct ip ip;

    if (out->count == DNS_ADDRESSES_LIMIT || !read_address(raw, at, bytes, &ip))
        return;
    for (size_t i = 0; i < out->count; i++)
        if (ip_equal(&out->ips[i], &ip))
            return;
    out->ips[out->count++] = ip;
}

void answer_to_addresses(const struct raw_answer *a, const struct raw_answer *aaaa, struct dns_addresses *out)
{
    size_t most = a->count > aaaa->count ? a->count : aaaa->count;

    *out = (struct dns_addresses){.is_secure = a->is_secure && aaaa->is_secure,
                                  .ttl_ms = a->ttl_ms < aaaa->ttl_ms ? a->ttl_ms : aaaa->ttl_ms};
    for (size_t i = 0; i < most && out->count < DNS_ADDRESSES_LIMIT; i++) {
        add_address(out, aaaa, i, 16);
        add_address(out, a, i, 4);
    }
    if (out->count > 0)
        out->verdict = DNS_OK;
    else if (a->verdict == RAW_FAILED || aaaa->verdict == RAW_FAILED)
        out->verdict = DNS_FAILED;
    else
        out->verdict = DNS_NO_DOMAIN;
}
