/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into the daemon: the wall clock is wrong by as much as the test says at the moment,
 * as when somebody sets it. Monotonic time goes on undisturbed, as it does then.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "control.h"

#define US_PER_S 1000000

static int64_t shift_us(void)
{
    struct fault_control *control = fault_control();

    return control ? atomic_load(&control->shift_us) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int status = (int)syscall(SYS_clock_gettime, clock, out);

    if (!status && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t us = (int64_t)out->tv_sec * US_PER_S + out->tv_nsec / 1000 + shift_us();

        out->tv_sec = us / US_PER_S;
        out->tv_nsec = us % US_PER_S * 1000;
    }
    return status;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now))
        return -1;
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now))
        return -1;
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
