/* SPDX-License-Identifier: Apache-2.0
 *
 * See pace.h. A median is followed rather than computed: each value moves it a little to its own side.
 */
#include "credential/pace.h"

#include <time.h>

#include "base/clock.h"

#define LEAST_SEEN 8
#define COARSE_SEEN 64 /* until then it moves in large steps */
#define COARSE_STEP 0.05
#define FINE_STEP 0.005
#define MOST_US 1000000
#define SPIN_US 200 /* a sleep is not that exact */

void pace_init(struct pace *pace)
{
    *pace = (struct pace){.seen = {0}};
    pthread_mutex_init(&pace->lock, NULL);
}

void pace_done(struct pace *pace) { pthread_mutex_destroy(&pace->lock); }

static void follow(double *median, unsigned *seen, double value)
{
    double step = *median * (*seen < COARSE_SEEN ? COARSE_STEP : FINE_STEP);

    if (!*seen)
        *median = value;
    else if (value > *median)
        *median += step;
    else if (value < *median)
        *median -= step;
    if (*seen < COARSE_SEEN)
        ++*seen;
}

uint64_t pace_note(struct pace *pace, enum pace_kind kind, uint64_t took_us)
{
    enum pace_kind other = kind == PACE_REFUSED ? PACE_UNKNOWN : PACE_REFUSED;
    double owed_us;

    pthread_mutex_lock(&pace->lock);
    follow(&pace->median_us[kind], &pace->seen[kind], (double)took_us);
    owed_us = pace->median_us[other] - pace->median_us[kind];
    if (pace->seen[kind] < LEAST_SEEN || pace->seen[other] < LEAST_SEEN || owed_us < 0)
        owed_us = 0;
    pthread_mutex_unlock(&pace->lock);
    return owed_us < MOST_US ? (uint64_t)owed_us : MOST_US;
}

void pace_wait(uint64_t us)
{
    uint64_t until_us = clock_mono_us() + us;

    if (us > SPIN_US)
        nanosleep(&(struct timespec){.tv_sec = (time_t)((us - SPIN_US) / 1000000),
                                     .tv_nsec = (long)((us - SPIN_US) % 1000000 * 1000)},
                  NULL);
    while (clock_mono_us() < until_us)
        continue;
}
