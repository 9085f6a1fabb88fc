/* SPDX-License-Identifier: Apache-2.0
 *
 * Rates: "100/minute" as operators write them, and a token-less limiter (GCRA) that
 * needs 8 bytes of state per key.
 */
#ifndef GATEPOST_BASE_RATE_H
#define GATEPOST_BASE_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

struct rate_spec {
    uint64_t limit;     /* events */
    uint64_t period_us; /* per this time */
    uint64_t burst;     /* how many may come at once; at least 1 */
    bool local;         /* "local:" prefix: never shared between nodes */
};

/* "[local:]N/PERIOD[,max_burst=M]": N may hold '_' and ','-free digits; PERIOD is a
 * unit ("s", "minute"), or a duration ("5 minutes"). burst defaults to N. */
int rate_spec_parse(struct span text, struct rate_spec *spec_out, struct error *error)
    __attribute__((warn_unused_result));

struct rate {
    uint64_t full_at_us; /* the theoretical arrival time of GCRA */
};

/* Takes `cost` events at `now_us` (monotonic). True when allowed; otherwise nothing
 * is taken and `*retry_after_us_out` says when it would be. */
bool rate_take(struct rate *rate, const struct rate_spec *spec, uint64_t cost, uint64_t now_us,
               uint64_t *retry_after_us_out);

#endif
