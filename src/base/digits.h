/* SPDX-License-Identifier: Apache-2.0
 *
 * Decimal digits without printf. Records, replies and dates are made for each message, and hold dozens of small
 * numbers: printf was a tenth of what they cost.
 */
#ifndef GATEPOST_BASE_DIGITS_H
#define GATEPOST_BASE_DIGITS_H

#include <stdint.h>

#define DIGITS_MOST 20 /* of a uint64_t */

/* Writes `value` so that it ends before `end`, with zeros in front up to `least` digits. Returns where it begins. */
static inline char *digits_before(char *end, uint64_t value, int least)
{
    for (; value > 0 || least > 0; value /= 10, least--)
        *--end = (char)('0' + value % 10);
    return end;
}

#endif
