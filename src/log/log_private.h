/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share among themselves.
 */
#ifndef GATEPOST_LOG_LOG_PRIVATE_H
#define GATEPOST_LOG_LOG_PRIVATE_H

#include <stddef.h>

#include "base/span.h"

/* One event is one line of at most this, newline included. */
#define DIAG_LINE_BYTES 8192

enum escape_style {
    ESCAPE_TEXT,   /* for a terminal: no control character, no line break, no broken UTF-8 */
    ESCAPE_QUOTED, /* the same between double quotes */
    ESCAPE_JSON,   /* the inside of a JSON string (RFC 8259, section 7) */
};

/* Writes as much of `text` as fits into `room` bytes, in whole characters, and returns how
 * many bytes it wrote. Bytes that are not UTF-8 become \xHH (in JSON \\xHH). */
size_t escape_into(struct span text, enum escape_style style, char *out, size_t room);

#endif
