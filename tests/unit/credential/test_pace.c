/* SPDX-License-Identifier: Apache-2.0
 *
 * What refusals are made to take: as long as most of the slower kind, whatever single values do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "credential/pace.h"

static struct pace pace;

static int set_up(void **state)
{
    (void)state;
    pace_init(&pace);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pace_done(&pace);
    return 0;
}

/* A spread of 10 % around each, and one in ten that took a hundred times as long. */
static uint64_t disturbed(uint64_t us, unsigned i)
{
    return i % 10 == 0 ? us * 100 : us + us * (i * 7 % 11) / 50 - us / 10;
}

static void both_kinds_take_as_long_as_the_slower(void **state)
{
    uint64_t refused_us = 0, unknown_us = 0;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        refused_us = pace_note(&pace, PACE_REFUSED, disturbed(400, i));
        unknown_us = pace_note(&pace, PACE_UNKNOWN, disturbed(200, i));
    }
    assert_in_range(refused_us, 400, 480);
    assert_in_range(unknown_us, refused_us, refused_us + 1);
    for (unsigned i = 0; i < 5000; i++) { /* the service has changed its mind */
        refused_us = pace_note(&pace, PACE_REFUSED, disturbed(400, i));
        unknown_us = pace_note(&pace, PACE_UNKNOWN, disturbed(800, i));
    }
    assert_in_range(unknown_us, 800, 960);
    assert_in_range(refused_us, unknown_us, unknown_us + 1);
}

static void nobody_waits_for_long(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        pace_note(&pace, PACE_REFUSED, 60000000);
        assert_int_equal(pace_note(&pace, PACE_UNKNOWN, 0), 1000000);
    }
    for (unsigned us = 0; us <= 1000; us += 500) {
        uint64_t began_us = clock_mono_us();

        pace_wait(began_us, us);
        assert_true(clock_mono_us() - began_us >= us);
        pace_wait(began_us, us); /* is over */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_kinds_take_as_long_as_the_slower, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_waits_for_long, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
