/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU's CRC instruction has a latency of three cycles and can start one per cycle, so
 * long runs go in three lanes. A lane's result is carried over the lanes behind it by a
 * table: appending a fixed number of zero bytes is a linear map of the 32 bits.
 */
#include "base/crc32c.h"

#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* bit-reversed */
#define LANE_BYTES 512

static uint32_t byte_table[256];
static uint32_t (*update)(uint32_t state, const unsigned char *data, size_t len);

static uint32_t update_portable(uint32_t state, const unsigned char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        state = byte_table[(state ^ data[i]) & 0xff] ^ (state >> 8);
    return state;
}

static void make_byte_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t state = i;

        for (int bit = 0; bit < 8; bit++)
            state = (state >> 1) ^ (state & 1 ? POLYNOMIAL : 0);
        byte_table[i] = state;
    }
}

#if defined(__x86_64__)
#include <nmmintrin.h>

static uint32_t lane_table[4][256]; /* the state after LANE_BYTES zero bytes, by byte of the state */

static void make_lane_table(void)
{
    static const unsigned char zeros[LANE_BYTES];
    uint32_t columns[32];

    for (int bit = 0; bit < 32; bit++)
        columns[bit] = update_portable(1u << bit, zeros, sizeof zeros);
    for (int byte = 0; byte < 4; byte++)
        for (unsigned value = 0; value < 256; value++)
            for (int bit = 0; bit < 8; bit++)
                if (value >> bit & 1)
                    lane_table[byte][value] ^= columns[byte * 8 + bit];
}

static uint32_t over_lane(uint32_t state)
{
    return lane_table[0][state & 0xff] ^ lane_table[1][state >> 8 & 0xff] ^ lane_table[2][state >> 16 & 0xff] ^
           lane_table[3][state >> 24];
}

static uint64_t word_at(const unsigned char *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof word);
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t update_three_lanes(uint32_t state, const unsigned char *data)
{
    uint64_t a = state, b = 0, c = 0;

    for (size_t i = 0; i < LANE_BYTES; i += 8) {
        a = _mm_crc32_u64(a, word_at(data + i));
        b = _mm_crc32_u64(b, word_at(data + LANE_BYTES + i));
        c = _mm_crc32_u64(c, word_at(data + 2 * LANE_BYTES + i));
    }
    return over_lane(over_lane((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t update_sse42(uint32_t state, const unsigned char *data, size_t len)
{
    uint64_t wide;

    for (; len >= 3 * LANE_BYTES; data += 3 * LANE_BYTES, len -= 3 * LANE_BYTES)
        state = update_three_lanes(state, data);
    wide = state;
    for (; len >= 8; data += 8, len -= 8)
        wide = _mm_crc32_u64(wide, word_at(data));
    state = (uint32_t)wide;
    for (; len; data++, len--)
        state = _mm_crc32_u8(state, *data);
    return state;
}
#endif

__attribute__((constructor)) static void choose(void)
{
    make_byte_table();
    update = update_portable;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        make_lane_table();
        update = update_sse42;
    }
#endif
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len) { return ~update(~crc, data, len); }

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len) { return ~update_portable(~crc, data, len); }
