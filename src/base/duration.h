/* SPDX-License-Identifier: Apache-2.0
 *
 * Durations as operators write them: "5 minutes", "1h30m", "2 days 4s", or a bare
 * number of seconds. Units: ns us ms s m h d w month(s) y, and their long names.
 */
#ifndef GATEPOST_BASE_DURATION_H
#define GATEPOST_BASE_DURATION_H

#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

int duration_parse(struct span text, uint64_t *milliseconds_out, struct error *error)
    __attribute__((warn_unused_result));

#endif
