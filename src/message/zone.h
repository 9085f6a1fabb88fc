/* SPDX-License-Identifier: Apache-2.0
 *
 * The system's time zone files (RFC 8536), read without touching the TZ of the process,
 * which threads share. A zone once read stays for the life of the process.
 */
#ifndef GATEPOST_MESSAGE_ZONE_H
#define GATEPOST_MESSAGE_ZONE_H

#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

struct zone;

/* By IANA name, "America/Phoenix". NULL, with `error` set, when there is no such zone. Any
 * thread. */
const struct zone *zone_find(struct span name, struct error *error);

const char *zone_name(const struct zone *zone);

/* Seconds east of UTC at that moment. */
int32_t zone_offset_s(const struct zone *zone, int64_t utc_s);

#endif
