/* SPDX-License-Identifier: Apache-2.0
 *
 * Moments as text: RFC 3339 from policies and headers, RFC 5322 into headers. All in
 * milliseconds of wall time since 1970-01-01 UTC.
 */
#ifndef GATEPOST_MESSAGE_TIMESTAMP_H
#define GATEPOST_MESSAGE_TIMESTAMP_H

#include <stdint.h>

#include "base/span.h"

/* "2023-03-01T17:00:00-08:00", with fractions of seconds if any. 0 or -1. */
int timestamp_parse_rfc3339(struct span text, int64_t *ms_out) __attribute__((warn_unused_result));

#define TIMESTAMP_RFC3339_BYTES 96 /* more than any int in each place would need */
void timestamp_format_rfc3339(int64_t ms, char out[TIMESTAMP_RFC3339_BYTES]);

#define TIMESTAMP_RFC5322_BYTES 48
/* "Wed, 01 Mar 2023 17:00:00 +0000": in UTC, since where we are is nobody's business. */
void timestamp_format_rfc5322(int64_t ms, char out[TIMESTAMP_RFC5322_BYTES]);

#endif
