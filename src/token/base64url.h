/* SPDX-License-Identifier: Apache-2.0
 *
 * Base64 with the alphabet that URLs can carry, without padding (RFC 4648, section 5, as RFC 7515,
 * section 2 uses it). Strict: no other character, no stray bits behind the last octet.
 */
#ifndef GATEPOST_TOKEN_BASE64URL_H
#define GATEPOST_TOKEN_BASE64URL_H

#include "base/buf.h"
#include "base/span.h"

/* Appends the decoded bytes. -1 when `text` is not base64url or `out` is full; what `out` held is then unchanged. */
int base64url_decode(struct span text, struct buf *out) __attribute__((warn_unused_result));

#endif
