/* SPDX-License-Identifier: Apache-2.0
 *
 * What the faster kind of refusal has to wait: the distance of the medians, whatever single values do.
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

static void the_faster_kind_waits(void **state)
{
    uint64_t owed_us = 0;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        pace_note(&pace, PACE_REFUSED, disturbed(400, i));
        owed_us = pace_note(&pace, PACE_UNKNOWN, disturbed(300, i));
    }
    assert_in_range(owed_us, 80, 125);
    for (unsigned i = 0; i < 5000; i++) { /* the service has changed its mind */
        owed_us = pace_note(&pace, PACE_REFUSED, disturbed(400, i));
        pace_note(&pace, PACE_UNKNOWN, disturbed(500, i));
    }
    assert_in_range(owed_us, 70, 130);
}

static void few_are_no_measure(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(pace_note(&pace, PACE_REFUSED, 400), 0);
        assert_int_equal(pace_note(&pace, PACE_UNKNOWN, 100), 0);
    }
    assert_int_equal(pace_note(&pace, PACE_REFUSED, 400), 0);
    assert_int_not_equal(pace_note(&pace, PACE_UNKNOWN, 100), 0);
}

static void nobody_waits_for_long(void **state)
{
    uint64_t began_us;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        pace_note(&pace, PACE_REFUSED, 60000000);
        assert_in_range(pace_note(&pace, PACE_UNKNOWN, 100), 0, 1000000);
    }
    for (unsigned us = 0; us <= 1000; us += 500) {
        began_us = clock_mono_us();
        pace_wait(us);
        assert_true(clock_mono_us() - began_us >= us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_faster_kind_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(few_are_no_measure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_waits_for_long, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
