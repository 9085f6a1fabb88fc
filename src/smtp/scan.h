/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding the next byte that matters in message text: CR, LF or NUL. Both directions of
 * DATA spend their time here, so it looks at 16 bytes at a time where the CPU can.
 */
#ifndef GATEPOST_SMTP_SCAN_H
#define GATEPOST_SMTP_SCAN_H

#include <stddef.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The first CR, LF or NUL at or after `at`, or `end`. */
static inline const char *smtp_scan(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i cr = _mm_set1_epi8('\r');
    const __m128i lf = _mm_set1_epi8('\n');

    for (; end - at >= 16; at += 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i hits = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(block, cr), _mm_cmpeq_epi8(block, lf)),
                                    _mm_cmpeq_epi8(block, _mm_setzero_si128()));
        unsigned mask = (unsigned)_mm_movemask_epi8(hits);

        if (mask)
            return at + __builtin_ctz(mask);
    }
#endif
    while (at < end && *at != '\r' && *at != '\n' && *at != '\0')
        at++;
    return at;
}

#endif
