/* SPDX-License-Identifier: Apache-2.0
 *
 * Both versions of the PROXY header. Only what means a TCP connection over IPv4 or IPv6 is
 * taken; everything that is not exactly right is broken, because the alternative is to
 * believe a client about its own address.
 */
#include "smtp/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/cidr.h"

#define V1_LIMIT 107 /* with CRLF */
#define V2_HEADER_BYTES 16

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* ---- version 1 ---- */

static int read_port(struct span text, uint16_t *port_out)
{
    uint64_t port;

    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.data[0] == '0') || span_to_u64(text, &port) ||
        port > UINT16_MAX)
        return -1;
    *port_out = (uint16_t)port;
    return 0;
}

/* inet_pton by family: an IPv4 address where TCP6 was said is an error. */
static int read_address(struct span text, int family, struct sockaddr_storage *address_out)
{
    struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
    char copy[INET6_ADDRSTRLEN];
    void *into = family == AF_INET ? (void *)&((struct sockaddr_in *)(void *)&address)->sin_addr
                                   : (void *)&((struct sockaddr_in6 *)(void *)&address)->sin6_addr;

    if (text.len == 0 || text.len >= sizeof copy || memchr(text.data, '\0', text.len))
        return -1;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (inet_pton(family, copy, into) != 1)
        return -1;
    *address_out = address;
    return 0;
}

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)address)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons(port);
}

/* "TCP4 source destination sport dport" */
static int read_v1_words(struct span line, struct smtp_proxy *proxy)
{
    struct span words[5];
    uint16_t ports[2];
    size_t count = 0;
    int family;

    while (count < 5 && span_split(&line, ' ', &words[count]))
        count++;
    if (count != 5 || line.data)
        return -1;
    if (span_eq(words[0], SPAN_LIT("TCP4")))
        family = AF_INET;
    else if (span_eq(words[0], SPAN_LIT("TCP6")))
        family = AF_INET6;
    else
        return -1;
    if (read_address(words[1], family, &proxy->source) || read_address(words[2], family, &proxy->destination) ||
        read_port(words[3], &ports[0]) || read_port(words[4], &ports[1]))
        return -1;
    set_port(&proxy->source, ports[0]);
    set_port(&proxy->destination, ports[1]);
    return 0;
}

static enum smtp_proxy_progress parse_v1(struct span input, struct smtp_proxy *proxy_out, size_t *used_out)
{
    struct smtp_proxy proxy = {0};
    size_t end = span_find(span_head(input, V1_LIMIT), '\n');
    struct span line;

    if (end == V1_LIMIT)
        return SMTP_PROXY_BROKEN;
    if (end == input.len)
        return SMTP_PROXY_MORE;
    if (input.data[end - 1] != '\r')
        return SMTP_PROXY_BROKEN;
    line = span_from(span_head(input, end - 1), 6);
    if (span_eq(line, SPAN_LIT("UNKNOWN")) || span_starts_with(line, SPAN_LIT("UNKNOWN ")))
        proxy.is_local = true;
    else if (read_v1_words(line, &proxy))
        return SMTP_PROXY_BROKEN;
    *proxy_out = proxy;
    *used_out = end + 1;
    return SMTP_PROXY_DONE;
}

/* ---- version 2 ---- */

static void read_v2_inet(const char *at, struct smtp_proxy *proxy)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    struct sockaddr_in destination = {.sin_family = AF_INET};

    memcpy(&source.sin_addr, at, 4);
    memcpy(&destination.sin_addr, at + 4, 4);
    memcpy(&source.sin_port, at + 8, 2);
    memcpy(&destination.sin_port, at + 10, 2);
    memcpy(&proxy->source, &source, sizeof source);
    memcpy(&proxy->destination, &destination, sizeof destination);
}

static void read_v2_inet6(const char *at, struct smtp_proxy *proxy)
{
    struct sockaddr_in6 source = {.sin6_family = AF_INET6};
    struct sockaddr_in6 destination = {.sin6_family = AF_INET6};

    memcpy(&source.sin6_addr, at, 16);
    memcpy(&destination.sin6_addr, at + 16, 16);
    memcpy(&source.sin6_port, at + 32, 2);
    memcpy(&destination.sin6_port, at + 34, 2);
    memcpy(&proxy->source, &source, sizeof source);
    memcpy(&proxy->destination, &destination, sizeof destination);
}

/* `command` 0: LOCAL, 1: PROXY; `family` 0x11: TCP over IPv4, 0x21: over IPv6. What stands
 * behind the addresses are TLVs, which tell us nothing we need. */
static int read_v2_body(unsigned command, unsigned family, struct span body, struct smtp_proxy *proxy)
{
    if (command == 0 || (command == 1 && family == 0)) {
        proxy->is_local = true;
        return 0;
    }
    if (command != 1)
        return -1;
    if (family == 0x11 && body.len >= 12)
        read_v2_inet(body.data, proxy);
    else if (family == 0x21 && body.len >= 36)
        read_v2_inet6(body.data, proxy);
    else
        return -1;
    return 0;
}

static enum smtp_proxy_progress parse_v2(struct span input, struct smtp_proxy *proxy_out, size_t *used_out)
{
    const unsigned char *head = (const unsigned char *)input.data;
    struct smtp_proxy proxy = {0};
    size_t body_bytes;

    if (input.len < V2_HEADER_BYTES)
        return SMTP_PROXY_MORE;
    body_bytes = (size_t)head[14] << 8 | head[15];
    if (head[12] >> 4 != 2 || V2_HEADER_BYTES + body_bytes > SMTP_PROXY_LIMIT)
        return SMTP_PROXY_BROKEN;
    if (input.len < V2_HEADER_BYTES + body_bytes)
        return SMTP_PROXY_MORE;
    if (read_v2_body(head[12] & 0x0F, head[13], span_make(input.data + V2_HEADER_BYTES, body_bytes), &proxy))
        return SMTP_PROXY_BROKEN;
    *proxy_out = proxy;
    *used_out = V2_HEADER_BYTES + body_bytes;
    return SMTP_PROXY_DONE;
}

/* True when `input` is a prefix of `sign`, or the other way round. */
static bool agrees(struct span input, struct span sign)
{
    size_t len = input.len < sign.len ? input.len : sign.len;

    return span_eq(span_head(input, len), span_head(sign, len));
}

enum smtp_proxy_progress smtp_proxy_parse(struct span input, struct smtp_proxy *proxy_out, size_t *used_out)
{
    if (input.len == 0)
        return SMTP_PROXY_MORE;
    if (agrees(input, SPAN_LIT("PROXY ")))
        return input.len < 6 ? SMTP_PROXY_MORE : parse_v1(input, proxy_out, used_out);
    if (agrees(input, span_make(v2_signature, sizeof v2_signature)))
        return parse_v2(input, proxy_out, used_out);
    return SMTP_PROXY_BROKEN;
}
