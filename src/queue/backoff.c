/* SPDX-License-Identifier: Apache-2.0
 *
 * Five percent either way, and never over the cap.
 */
#include "queue/backoff.h"

#define LONGEST_MS (365ULL * 86400000ULL) /* keeps the doubling from overflowing */

uint64_t backoff_delay_ms(const struct route_queue_config *config, unsigned attempts, uint64_t dice)
{
    uint64_t cap = config->max_retry_interval_ms ? config->max_retry_interval_ms : LONGEST_MS;
    uint64_t delay = config->retry_interval_ms;
    uint64_t spread;

    for (unsigned n = 1; n < attempts && delay < cap; n++)
        delay *= 2;
    if (delay > cap)
        delay = cap;
    spread = delay / 10;
    delay = delay - spread / 2 + spread * (dice % BACKOFF_DICE) / (BACKOFF_DICE - 1);
    return delay > cap ? cap : delay;
}

bool backoff_is_expired(const struct route_queue_config *config, int64_t created_ms, int64_t at_ms)
{
    return at_ms > created_ms && (uint64_t)(at_ms - created_ms) >= config->max_age_ms;
}
