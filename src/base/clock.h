/* SPDX-License-Identifier: Apache-2.0
 *
 * The two clocks. Monotonic time orders and times; wall time is only for people,
 * for records, and for what must outlive a restart. Tests put their own in place.
 */
#ifndef GATEPOST_BASE_CLOCK_H
#define GATEPOST_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
int64_t clock_wall_ms(void); /* since 1970-01-01 UTC */
int64_t clock_wall_us(void);

struct clock_source {
    uint64_t (*mono_us)(void);
    int64_t (*wall_us)(void);
};

/* NULL puts the real clocks back. For tests, before threads start. */
void clock_inject(const struct clock_source *source);

#endif
