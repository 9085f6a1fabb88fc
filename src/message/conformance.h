/* SPDX-License-Identifier: Apache-2.0
 *
 * Is a message as RFC 5322 and MIME want it, and making it so where policy asks for that.
 * Fixing rewrites: a signature over what was there is void afterwards.
 */
#ifndef GATEPOST_MESSAGE_CONFORMANCE_H
#define GATEPOST_MESSAGE_CONFORMANCE_H

#include "message/message.h"

enum {
    CONFORMANCE_MISSING_COLON_VALUE = 1 << 0,
    CONFORMANCE_NON_CANONICAL_LINE_ENDINGS = 1 << 1,
    CONFORMANCE_NAME_ENDS_WITH_SPACE = 1 << 2,
    CONFORMANCE_LINE_TOO_LONG = 1 << 3, /* a body line of more than 78 octets */
    CONFORMANCE_NEEDS_TRANSFER_ENCODING = 1 << 4,
    CONFORMANCE_MISSING_DATE_HEADER = 1 << 5,
    CONFORMANCE_MISSING_MESSAGE_ID_HEADER = 1 << 6,
    CONFORMANCE_MISSING_MIME_VERSION = 1 << 7,
    CONFORMANCE_INVALID_MIME_HEADERS = 1 << 8,
};

/* "A|B", "" is none. -1 names the label that is unknown. */
int conformance_parse(struct span labels, unsigned *flags_out, struct error *error) __attribute__((warn_unused_result));
int conformance_format(unsigned flags, struct buf *out) __attribute__((warn_unused_result));

/* What is wrong with the message. -1 when its headers cannot be read at all. */
int conformance_check(struct span message, unsigned *flags_out, struct error *error)
    __attribute__((warn_unused_result));

/* Appends the message with `issues` (what conformance_check found) put right. `id` and
 * `hostname` make a Message-ID where one is missing. Text that is not valid UTF-8 and names no
 * charset loses what cannot be read. */
int conformance_fix(struct span message, unsigned issues, const char *id, const char *hostname, int64_t now_ms,
                    struct buf *out, struct error *error) __attribute__((warn_unused_result));

#endif
