/* SPDX-License-Identifier: Apache-2.0
 *
 * See pace.h. Both kinds sleep, and until the same moment, so that what a busy machine does to a sleep it does to both.
 * It is the third quartile of the last ones, which a few that were much slower do not move.
 */
#include "credential/pace.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define MOST_US 1000000

void pace_init(struct pace *pace)
{
    *pace = (struct pace){.noted = {0}};
    pthread_mutex_init(&pace->lock, NULL);
}

void pace_done(struct pace *pace) { pthread_mutex_destroy(&pace->lock); }

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t quartile_of(const struct pace *pace, enum pace_kind kind)
{
    size_t count = pace->noted[kind] < PACE_SEEN ? pace->noted[kind] : PACE_SEEN;
    uint64_t ranked[PACE_SEEN];

    if (!count)
        return 0;
    memcpy(ranked, pace->took_us[kind], count * sizeof *ranked);
    qsort(ranked, count, sizeof *ranked, compare);
    return ranked[(count - 1) * 3 / 4];
}

uint64_t pace_note(struct pace *pace, enum pace_kind kind, uint64_t took_us)
{
    uint64_t refused_us, unknown_us, us;

    pthread_mutex_lock(&pace->lock);
    pace->took_us[kind][pace->noted[kind]++ % PACE_SEEN] = took_us;
    refused_us = quartile_of(pace, PACE_REFUSED);
    unknown_us = quartile_of(pace, PACE_UNKNOWN);
    pthread_mutex_unlock(&pace->lock);
    us = refused_us > unknown_us ? refused_us : unknown_us;
    return us < MOST_US ? us : MOST_US;
}

void pace_wait(uint64_t began_us, uint64_t us)
{
    uint64_t now_us = clock_mono_us(), left_us = began_us + us > now_us ? began_us + us - now_us : 0;

    if (left_us)
        nanosleep(
            &(struct timespec){.tv_sec = (time_t)(left_us / 1000000), .tv_nsec = (long)(left_us % 1000000 * 1000)},
            NULL);
}
