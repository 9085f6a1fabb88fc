/* SPDX-License-Identifier: Apache-2.0
 *
 * Parsing and matching addresses. Text forms are inet_pton's; nothing shorter
 * ("127.1") is taken.
 */
#include "base/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/digits.h"
#include "base/must.h"

void ip_unmap(struct ip *ip)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    if (ip->family != AF_INET6 || memcmp(ip->bytes, mapped, sizeof mapped) != 0)
        return;
    memmove(ip->bytes, ip->bytes + 12, 4);
    memset(ip->bytes + 4, 0, 12);
    ip->family = AF_INET;
}

int ip_parse(struct span text, struct ip *ip_out)
{
    char copy[INET6_ADDRSTRLEN];
    struct ip ip = {0};

    if (text.len == 0 || text.len >= sizeof copy || memchr(text.data, '\0', text.len))
        return -1;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    ip.family = memchr(text.data, ':', text.len) ? AF_INET6 : AF_INET;
    if (inet_pton(ip.family, copy, ip.bytes) != 1)
        return -1;
    ip_unmap(&ip);
    *ip_out = ip;
    return 0;
}

/* Each message has some: inet_ntop would go through printf. */
static void format_v4(const unsigned char bytes[4], char out[INET6_ADDRSTRLEN])
{
    char text[INET_ADDRSTRLEN];
    char *end = text + sizeof text - 1;
    char *start = end;

    *end = '\0';
    for (size_t i = 4; i-- > 0;) {
        start = digits_before(start, bytes[i], 1);
        if (i > 0)
            *--start = '.';
    }
    memcpy(out, start, (size_t)(end - start) + 1);
}

void ip_format(const struct ip *ip, char out[INET6_ADDRSTRLEN])
{
    if (ip->family == AF_INET)
        format_v4(ip->bytes, out);
    else if (!inet_ntop(ip->family, ip->bytes, out, INET6_ADDRSTRLEN))
        memcpy(out, "?", 2);
}

struct ip ip_of_sockaddr(const struct sockaddr *address)
{
    struct ip ip = {.family = AF_INET};

    if (address->sa_family == AF_INET) {
        memcpy(ip.bytes, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        ip.family = AF_INET6;
        memcpy(ip.bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
        ip_unmap(&ip);
    }
    return ip;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

int cidr_parse(struct span text, struct cidr *cidr_out)
{
    size_t slash = span_find(text, '/');
    struct cidr cidr;
    uint64_t bits;

    if (ip_parse(span_head(text, slash), &cidr.base))
        return -1;
    bits = cidr.base.family == AF_INET ? 32 : 128;
    if (slash < text.len) {
        uint64_t given;

        if (span_to_u64(span_from(text, slash + 1), &given) || given > bits)
            return -1;
        bits = given;
    }
    cidr.prefix_bits = (unsigned char)bits;
    *cidr_out = cidr;
    return 0;
}

bool cidr_contains(const struct cidr *cidr, const struct ip *ip)
{
    size_t whole = cidr->prefix_bits / 8;
    unsigned rest = cidr->prefix_bits % 8;

    if (cidr->base.family != ip->family || memcmp(cidr->base.bytes, ip->bytes, whole) != 0)
        return false;
    return rest == 0 || ((cidr->base.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest)) == 0;
}

void sockaddr_format(const struct sockaddr *address, char out[SOCKADDR_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN];
    struct ip ip;

    if (address->sa_family == AF_UNIX) {
        snprintf(out, SOCKADDR_TEXT_BYTES, "%.60s", ((const struct sockaddr_un *)(const void *)address)->sun_path);
        return;
    }
    ip = ip_of_sockaddr(address);
    ip_format(&ip, host);
    snprintf(out, SOCKADDR_TEXT_BYTES, ip.family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
             (unsigned)sockaddr_port(address));
}

int sockaddr_parse(struct span text, struct sockaddr_storage *address_out, struct error *error)
{
    struct span host;
    struct span port_text;
    uint64_t port;
    struct ip ip;

    if (text.len > 0 && text.data[0] == '[') {
        size_t close = span_find(text, ']');

        host = span_head(span_from(text, 1), close > 0 ? close - 1 : 0);
        port_text = span_from(text, close + 1);
        if (port_text.len == 0 || port_text.data[0] != ':')
            return error_set(error, ERROR_PERM, "'%.*s' is not an address: write [IPv6]:PORT", SPAN_ARG(text));
        port_text = span_from(port_text, 1);
    } else {
        size_t colon = span_find(text, ':');

        host = span_head(text, colon);
        port_text = span_from(text, colon + 1);
    }
    if (ip_parse(host, &ip) || span_to_u64(port_text, &port) || port > 65535)
        return error_set(error, ERROR_PERM, "'%.*s' is not an address: write IPv4:PORT or [IPv6]:PORT", SPAN_ARG(text));
    sockaddr_from_ip(&ip, (uint16_t)port, address_out);
    return 0;
}

socklen_t sockaddr_length(const struct sockaddr *address)
{
    switch (address->sa_family) {
    case AF_INET:
        return sizeof(struct sockaddr_in);
    case AF_INET6:
        return sizeof(struct sockaddr_in6);
    default:
        return sizeof(struct sockaddr_un);
    }
}

uint16_t sockaddr_port(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    if (address->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    return 0;
}

void sockaddr_from_ip(const struct ip *ip, uint16_t port, struct sockaddr_storage *address_out)
{
    memset(address_out, 0, sizeof *address_out);
    if (ip->family == AF_INET) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

        memcpy(&in.sin_addr, ip->bytes, 4);
        memcpy(address_out, &in, sizeof in);
    } else {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

        memcpy(&in6.sin6_addr, ip->bytes, 16);
        memcpy(address_out, &in6, sizeof in6);
    }
}
