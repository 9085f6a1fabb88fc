/* SPDX-License-Identifier: Apache-2.0
 *
 * The PROXY header that a balancer puts before the client's own bytes, versions 1 (text)
 * and 2 (binary). Whether the peer may send one is for receive to know.
 */
#ifndef GATEPOST_SMTP_PROXY_H
#define GATEPOST_SMTP_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/span.h"

/* A header that is not complete after so many bytes never will be. */
#define SMTP_PROXY_LIMIT 4096

enum smtp_proxy_progress {
    SMTP_PROXY_MORE,
    SMTP_PROXY_DONE,
    SMTP_PROXY_BROKEN, /* close: whoever this is, it is not the balancer we were told of */
};

struct smtp_proxy {
    bool is_local; /* the balancer speaks for itself, or does not know: the socket's own
                      addresses stand, the two below are not set */
    struct sockaddr_storage source;
    struct sockaddr_storage destination;
};

/* Looks at the start of `input`; keeps no state, so it is asked again with more bytes. With
 * DONE, `*used_out` bytes were the header; the rest is the client's. */
enum smtp_proxy_progress smtp_proxy_parse(struct span input, struct smtp_proxy *proxy_out, size_t *used_out);

#endif
