/* SPDX-License-Identifier: Apache-2.0
 *
 * Logins by mechanism, result and reason. Most of the table stays empty, so only what has happened is shown. One table
 * for all threads: beside a login, an atomic addition costs nothing.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "metrics/metrics.h"
#include "receive/auth_attempt.h"

static atomic_uint_fast64_t attempts[AUTH_MECHANISMS_MOST][AUTH_REASON_COUNT];
static pthread_once_t announced = PTHREAD_ONCE_INIT;

const char *auth_outcome_word(enum auth_reason reason)
{
    static const char *const words[] = {
        [AUTH_OUTCOME_OK] = "ok",
        [AUTH_OUTCOME_REFUSED] = "refused",
        [AUTH_OUTCOME_ERROR] = "error",
        [AUTH_OUTCOME_CANCELLED] = "cancelled",
    };

    return words[auth_reason_outcome(reason)];
}

static int write_attempts(size_t mechanism, enum auth_reason reason, struct buf *out)
{
    uint64_t count = atomic_load_explicit(&attempts[mechanism][reason], memory_order_relaxed);

    if (!count)
        return 0;
    return buf_appendf(out, "gatepost_auth_attempts_total{mechanism=\"%s\",result=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                       auth_mechanism_name(auth_mechanism_at(mechanism)), auth_outcome_word(reason),
                       auth_reason_name(reason), count);
}

static int write_all(struct buf *out)
{
    if (buf_appendf(out, "# HELP gatepost_auth_attempts_total login attempts by their end\n"
                         "# TYPE gatepost_auth_attempts_total counter\n"))
        return -1;
    for (size_t mechanism = 0; auth_mechanism_at(mechanism); mechanism++)
        for (int reason = 0; reason < AUTH_REASON_COUNT; reason++)
            if (write_attempts(mechanism, (enum auth_reason)reason, out))
                return -1;
    return 0;
}

/* A scrape without room for it is left with what fits. */
static void collect(void *ctx, struct buf *out)
{
    size_t len = buf_len(out);

    (void)ctx;
    if (write_all(out))
        buf_truncate(out, len);
}

static void announce(void) { metrics_add_collector(collect, NULL); }

void auth_count(const struct auth_mechanism *mechanism, enum auth_reason reason, uint64_t took_us)
{
    static const enum metric totals[] = {
        [AUTH_OUTCOME_OK] = METRIC_AUTH_OK,
        [AUTH_OUTCOME_REFUSED] = METRIC_AUTH_REFUSED,
        [AUTH_OUTCOME_ERROR] = METRIC_AUTH_ERROR,
        [AUTH_OUTCOME_CANCELLED] = METRIC_AUTH_CANCELLED,
    };
    static const enum histogram times[] = {
        [AUTH_OUTCOME_OK] = HISTOGRAM_AUTH_OK,
        [AUTH_OUTCOME_REFUSED] = HISTOGRAM_AUTH_REFUSED,
        [AUTH_OUTCOME_ERROR] = HISTOGRAM_AUTH_ERROR,
        [AUTH_OUTCOME_CANCELLED] = HISTOGRAM_AUTH_CANCELLED,
    };
    enum auth_outcome outcome = auth_reason_outcome(reason);

    pthread_once(&announced, announce);
    atomic_fetch_add_explicit(&attempts[auth_mechanism_index(mechanism)][reason], 1, memory_order_relaxed);
    metrics_count(totals[outcome]);
    metrics_observe_us(times[outcome], took_us);
}
