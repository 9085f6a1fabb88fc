/* SPDX-License-Identifier: Apache-2.0
 *
 * Comparing, trimming and splitting borrowed bytes.
 */
#include "base/span.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/mem.h"

bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool span_ieq(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    return true;
}

bool span_starts_with(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_eq(span_head(s, prefix.len), prefix);
}

bool span_istarts_with(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_ieq(span_head(s, prefix.len), prefix);
}

bool span_ends_with(struct span s, struct span suffix)
{
    return s.len >= suffix.len && span_eq(span_from(s, s.len - suffix.len), suffix);
}

bool span_iends_with(struct span s, struct span suffix)
{
    return s.len >= suffix.len && span_ieq(span_from(s, s.len - suffix.len), suffix);
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

struct span span_trim(struct span s)
{
    while (s.len > 0 && is_space(s.data[0]))
        s = span_from(s, 1);
    while (s.len > 0 && is_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

size_t span_find(struct span s, char c)
{
    const char *at = s.len ? memchr(s.data, c, s.len) : NULL;

    return at ? (size_t)(at - s.data) : s.len;
}

bool span_split(struct span *rest, char sep, struct span *part_out)
{
    size_t at;

    if (!rest->data)
        return false;
    at = span_find(*rest, sep);
    *part_out = span_head(*rest, at);
    if (at == rest->len)
        *rest = (struct span){NULL, 0};
    else
        *rest = span_from(*rest, at + 1);
    return true;
}

int span_to_u64(struct span s, uint64_t *value_out)
{
    uint64_t value = 0;

    if (s.len == 0)
        return -1;
    for (size_t i = 0; i < s.len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)s.data[i] - '0';

        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return -1;
        value = value * 10 + digit;
    }
    *value_out = value;
    return 0;
}

static bool is_plain(char c) { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; }

#define EACH(byte) (0x0101010101010101ULL * (byte))
#define HIGH_BITS EACH(0x80)

/* The usual trick with a borrow per byte: the high bit is set where a byte is below `least` (bytes below 0x80 only). */
static uint64_t below(uint64_t word, unsigned char least) { return (word - EACH(least)) & ~word & HIGH_BITS; }

/* True when all eight are plain; a false may be wrong behind a byte that is not, which ends the run anyway. */
static bool are_plain(const char *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return !((word & HIGH_BITS) | below(word, ' ') | below(word ^ EACH('"'), 1) | below(word ^ EACH('\\'), 1) |
             below(word ^ EACH(0x7f), 1));
}

size_t span_plain_run(struct span s)
{
    size_t len = 0;

    while (len + 8 <= s.len && are_plain(s.data + len))
        len += 8;
    while (len < s.len && is_plain(s.data[len]))
        len++;
    return len;
}

#ifdef __SSE2__
/* Whole messages are looked at on their way in and out. */
static size_t ascii_blocks(struct span s)
{
    size_t i = 0;

    for (; i + 64 <= s.len; i += 64) {
        const __m128i *block = (const __m128i *)(const void *)(s.data + i);
        __m128i all = _mm_or_si128(_mm_or_si128(_mm_loadu_si128(block), _mm_loadu_si128(block + 1)),
                                   _mm_or_si128(_mm_loadu_si128(block + 2), _mm_loadu_si128(block + 3)));

        if (_mm_movemask_epi8(all))
            break;
    }
    return i;
}
#else
static size_t ascii_blocks(struct span s)
{
    (void)s;
    return 0;
}
#endif

bool span_is_ascii(struct span s)
{
    size_t i = ascii_blocks(s);

    for (; i + 8 <= s.len; i += 8) {
        uint64_t word;

        memcpy(&word, s.data + i, 8);
        if (word & 0x8080808080808080ULL)
            return false;
    }
    for (; i < s.len; i++)
        if ((unsigned char)s.data[i] >= 0x80)
            return false;
    return true;
}

size_t span_utf8_char(struct span s)
{
    unsigned char lead = (unsigned char)s.data[0];
    size_t len = lead < 0x80                    ? 1
                 : lead >= 0xC2 && lead <= 0xDF ? 2
                 : (lead & 0xF0) == 0xE0        ? 3
                 : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                : 0;

    if (len == 0 || len > s.len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if (((unsigned char)s.data[i] & 0xC0) != 0x80)
            return 0;
    if (len >= 3) {
        unsigned char second = (unsigned char)s.data[1];

        if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) || (lead == 0xF0 && second < 0x90) ||
            (lead == 0xF4 && second > 0x8F))
            return 0;
    }
    return len;
}

bool span_is_utf8(struct span s)
{
    while (s.len > 0) {
        size_t len = span_utf8_char(s);

        if (len == 0)
            return false;
        s = span_from(s, len);
    }
    return true;
}

char *span_dup(struct span s) { return mem_strndup(s.data ? s.data : "", s.len); }

char *span_dup_lower(struct span s)
{
    char *copy = span_dup(s);

    for (char *c = copy; *c; c++)
        *c = ascii_lower(*c);
    return copy;
}
