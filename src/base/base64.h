/* SPDX-License-Identifier: Apache-2.0
 *
 * Base64 of RFC 4648, section 4: padded, strict (no line breaks, no stray bits),
 * as SASL over SMTP requires (RFC 4954, section 4).
 */
#ifndef GATEPOST_BASE_BASE64_H
#define GATEPOST_BASE_BASE64_H

#include "base/buf.h"
#include "base/span.h"

/* Appends the decoded bytes. -1 when `text` is not base64 or `out` is full; what
 * `out` held is then unchanged. */
int base64_decode(struct span text, struct buf *out) __attribute__((warn_unused_result));
int base64_encode(struct span bytes, struct buf *out) __attribute__((warn_unused_result));

/* What one character of the alphabet stands for, 0 to 63; -1 when it is none. */
int base64_value(char c);

/* Lower-case hexadecimal. */
int hex_encode(struct span bytes, struct buf *out) __attribute__((warn_unused_result));

#endif
