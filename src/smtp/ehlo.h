/* SPDX-License-Identifier: Apache-2.0
 *
 * What a server said it can do, from its reply to EHLO.
 */
#ifndef GATEPOST_SMTP_EHLO_H
#define GATEPOST_SMTP_EHLO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct smtp_capabilities {
    bool pipelining;
    bool size;
    uint64_t size_limit; /* 0: none stated */
    bool eightbitmime;
    bool smtputf8;
    bool starttls;
    bool chunking;
    bool enhancedstatuscodes;
    bool dsn;
    char auth[256]; /* mechanisms in capitals, separated by spaces; "" when not offered */
};

/* `reply` is the whole reply as it stood on the wire: its lines do not fit the text of a
 * struct smtp_reply. It must have been parsed (smtp/reply.h) and be a success. */
void smtp_capabilities_parse(struct span reply, struct smtp_capabilities *capabilities_out);

/* `mechanism` in capitals. */
bool smtp_capabilities_has_auth(const struct smtp_capabilities *capabilities, struct span mechanism);

#endif
