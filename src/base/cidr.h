/* SPDX-License-Identifier: Apache-2.0
 *
 * IP addresses and CIDR blocks (RFC 4632, RFC 4291). IPv4-mapped IPv6 addresses are
 * taken as the IPv4 address they carry, so that one rule covers both spellings.
 */
#ifndef GATEPOST_BASE_CIDR_H
#define GATEPOST_BASE_CIDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/span.h"

struct ip {
    unsigned char family; /* AF_INET or AF_INET6 */
    unsigned char bytes[16];
};

struct cidr {
    struct ip base;
    unsigned char prefix_bits;
};

/* "ip", "[ip]" are not equal here: brackets belong to whoever parses the context. */
int ip_parse(struct span text, struct ip *ip_out) __attribute__((warn_unused_result));
void ip_format(const struct ip *ip, char out[INET6_ADDRSTRLEN]);
struct ip ip_of_sockaddr(const struct sockaddr *address);
/* ::ffff:192.0.2.1 becomes 192.0.2.1. */
void ip_unmap(struct ip *ip);
bool ip_equal(const struct ip *a, const struct ip *b);

/* "ip" (a full-length prefix) or "ip/bits". */
int cidr_parse(struct span text, struct cidr *cidr_out) __attribute__((warn_unused_result));
bool cidr_contains(const struct cidr *cidr, const struct ip *ip);

#define SOCKADDR_TEXT_BYTES 64

/* "ip:port" or "[ip6]:port"; for a unix socket its path, cut. */
void sockaddr_format(const struct sockaddr *address, char out[SOCKADDR_TEXT_BYTES]);

/* "ip:port", "[ip6]:port". */
int sockaddr_parse(struct span text, struct sockaddr_storage *address_out, struct error *error)
    __attribute__((warn_unused_result));
socklen_t sockaddr_length(const struct sockaddr *address);
uint16_t sockaddr_port(const struct sockaddr *address);
void sockaddr_from_ip(const struct ip *ip, uint16_t port, struct sockaddr_storage *address_out);

#endif
