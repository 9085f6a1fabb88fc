/* SPDX-License-Identifier: Apache-2.0
 *
 * XCLIENT: a trusted peer tells for whom it speaks. Which attributes are honoured, and
 * from whom, is receive's to say.
 */
#ifndef GATEPOST_SMTP_XCLIENT_H
#define GATEPOST_SMTP_XCLIENT_H

#include "base/cidr.h"
#include "smtp/reply.h"

enum smtp_xclient_attribute {
    SMTP_XCLIENT_NAME,
    SMTP_XCLIENT_ADDR,
    SMTP_XCLIENT_PORT,
    SMTP_XCLIENT_PROTO,
    SMTP_XCLIENT_HELO,
    SMTP_XCLIENT_LOGIN,
    SMTP_XCLIENT_DESTADDR,
    SMTP_XCLIENT_DESTPORT,
    SMTP_XCLIENT_COUNT,
};

#define SMTP_XCLIENT_VALUE_LIMIT 255

struct smtp_xclient {
    struct smtp_xclient_value {
        enum { SMTP_XCLIENT_UNSAID = 0, SMTP_XCLIENT_SAID, SMTP_XCLIENT_UNAVAILABLE, SMTP_XCLIENT_TEMPUNAVAIL } state;
        char text[SMTP_XCLIENT_VALUE_LIMIT + 1]; /* decoded, printable; "" unless SAID */
    } values[SMTP_XCLIENT_COUNT];

    /* parsed from the values that were SAID */
    struct ip addr, destaddr;
    uint16_t port, destport;
};

/* 0, or -1 with `refusal` filled (501 5.5.4). Attributes said twice, unknown or empty are
 * refused: this line changes who the client is. */
int smtp_xclient_parse(struct span args, struct smtp_xclient *xclient_out, struct smtp_reply *refusal)
    __attribute__((warn_unused_result));

#endif
