/* SPDX-License-Identifier: Apache-2.0
 *
 * clock_gettime behind a door that tests can turn.
 */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static const struct clock_source *injected;

void clock_inject(const struct clock_source *source) { injected = source; }

uint64_t clock_mono_us(void)
{
    struct timespec now;

    if (injected)
        return injected->mono_us();
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
    struct timespec now;

    if (injected)
        return injected->wall_us();
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

uint64_t clock_mono_ms(void) { return clock_mono_us() / 1000; }

int64_t clock_wall_ms(void) { return clock_wall_us() / 1000; }
