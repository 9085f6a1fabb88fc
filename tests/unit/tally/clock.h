/* SPDX-License-Identifier: Apache-2.0
 *
 * A clock that the test turns, and operations spelled short. In a header because test programs are one file each.
 */
#ifndef GATEPOST_TESTS_TALLY_CLOCK_H
#define GATEPOST_TESTS_TALLY_CLOCK_H

#include <stdatomic.h>

#include "base/clock.h"
#include "tally/tally_private.h"

#define SECOND 1000ULL
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

static _Atomic uint64_t test_now_us = 1000 * DAY * 1000;

static inline uint64_t test_mono_us(void) { return test_now_us; }
static inline int64_t test_wall_us(void) { return (int64_t)test_now_us; }
static const struct clock_source test_clock = {.mono_us = test_mono_us, .wall_us = test_wall_us};

static inline void test_pass(uint64_t ms) { test_now_us += ms * 1000; }

static inline struct tally_key test_key(const char *kind, const char *part)
{
    struct tally_key key;

    tally_key_init(&key, kind);
    tally_key_add(&key, span_of(part));
    return key;
}

/* What an answer said, kept beyond it. */
struct test_answer {
    int calls;
    bool is_local;
    int refused_by;
    struct tally_result results[TALLY_OPS_MOST];
};

static inline void test_on_done(void *ctx, const struct tally_answer *answer)
{
    struct test_answer *kept = ctx;

    kept->calls++;
    kept->is_local = answer->is_local;
    kept->refused_by = answer->refused_by;
    memcpy(kept->results, answer->results, answer->count * sizeof *answer->results);
}

/* Runs and waits, turning `loop` when it must. */
static inline struct test_answer test_run(struct tally *tally, struct loop *loop, const struct tally_op *ops,
                                          size_t count)
{
    struct test_answer answer = {0};

    if (tally_run(tally, loop, ops, count, test_on_done, &answer))
        while (!answer.calls)
            loop_turn(loop, true);
    return answer;
}

#endif
