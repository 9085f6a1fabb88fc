/* SPDX-License-Identifier: Apache-2.0
 *
 * Who an Authentication-Results field says it is from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "receive/text_check.h"

static const struct {
    const char *name;
    const char *value;
    bool forged;
} cases[] = {
    {"Return-Path", " <a@b>", true},
    {"RETURN-path ", "", true},
    {"X-Return-Path", "", false},
    {"\xEF\xBB\xBFReturn-Path", "", true},
    {"\tReturn\x01-Path\xC2\xA0", "", true},
    {" Authentication-Results", " mx.test; spf=pass", true},
    {"Authentication-Results", " mx.test; spf=pass", true},
    {"authentication-RESULTS", "MX.TEST;none", true},
    {"Authentication-Results", " mx.test. 1; none", true},
    {"Authentication-Results", "\r\n\tmx.test;\r\n spf=pass", true},
    {"Authentication-Results", " (a (nested \\) one)) mx.test; x", true},
    {"Authentication-Results", " \"mx.test\"; x", true},
    {"Authentication-Results", " \"m\\x.test\"; x", true},
    {"Authentication-Results", " mx.test(comment); x", true},
    {"Authentication-Results", " other.test; x", false},
    {"Authentication-Results", " mx.test.evil; x", false},
    {"Authentication-Results", " (unclosed mx.test", true},
    {"Authentication-Results", " \"unclosed", true},
    {"Authentication-Results", "", true},
    {"ARC-Authentication-Results", " i=1; mx.test; x", false},
};

static void forged_fields_are_told_from_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct header header = {.name = span_of(cases[i].name), .value = span_of(cases[i].value), .has_colon = true};

        if (text_is_forged(&header, "mx.test") != cases[i].forged)
            fail_msg("'%s:%s'", cases[i].name, cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forged_fields_are_told_from_others)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
