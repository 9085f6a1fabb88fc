/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl's filters, and reading a log that is being written, rotated and recovered.
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "ctl/ctl.h"
#include "ctl/log_filter.h"
#include "ctl/log_reader.h"
#include "log/log_private.h"
#include "../log/support.h"

/* ---- filters ---- */

static bool matches(struct log_filter filter, const char *json)
{
    json_t *record = json_loads(json, 0, NULL);
    bool result;

    assert_non_null(record);
    result = log_filter_matches(&filter, record);
    json_decref(record);
    return result;
}

static void filters(void **state)
{
    const char *one =
        "{\"type\":\"Delivery\",\"sender\":\"a@x.example\",\"recipient\":\"B@Y.example\",\"timestamp\":100,"
        "\"queue\":\"camp:acme@y.example\",\"meta\":{}}";
    const char *list =
        "{\"type\":\"Reception\",\"recipient\":[\"b@y.example\",\"c@z.example\"],\"queue\":\"y.example\","
        "\"meta\":{\"tenant\":\"other\"}}";

    (void)state;
    assert_true(matches((struct log_filter){0}, one));
    assert_true(matches((struct log_filter){.types = "Bounce,delivery"}, one));
    assert_false(matches((struct log_filter){.types = "Bounce"}, one));
    assert_true(matches((struct log_filter){.recipient = "b@y.example"}, one));
    assert_true(matches((struct log_filter){.recipient = "*@y.example"}, one));
    assert_false(matches((struct log_filter){.recipient = "y.example"}, one));
    assert_true(matches((struct log_filter){.recipient = "c@*"}, list));
    assert_false(matches((struct log_filter){.recipient = "d@*"}, list));
    assert_true(matches((struct log_filter){.sender = "A@x.example"}, one));
    assert_false(matches((struct log_filter){.sender = "*"}, list));
    assert_true(matches((struct log_filter){.tenant = "acme"}, one));
    assert_true(matches((struct log_filter){.tenant = "other"}, list));
    assert_false(matches((struct log_filter){.tenant = "acme"}, list));
    assert_true(matches((struct log_filter){.since = 100}, one));
    assert_false(matches((struct log_filter){.since = 101}, one));
    assert_false(matches((struct log_filter){0}, "{\"no\":\"type\"}"));
    assert_false(matches((struct log_filter){0}, "[1]"));
    assert_false(matches((struct log_filter){.sender = "x", .recipient = "y", .tenant = "z"},
                         "{\"type\":7,\"sender\":[],\"recipient\":{},\"queue\":null,\"meta\":[]}"));
}

static void times(void **state)
{
    struct error error;
    int64_t since;

    (void)state;
    assert_int_equal(log_filter_since("1970-01-02", 0, &since, &error), 0);
    assert_int_equal(since, 86400);
    assert_int_equal(log_filter_since("1970-01-01T01:00:00Z", 0, &since, &error), 0);
    assert_int_equal(since, 3600);
    assert_int_equal(log_filter_since("1h30m", 10000, &since, &error), 0);
    assert_int_equal(since, 10000 - 5400);
    assert_int_equal(log_filter_since("1700000000", 1800000000, &since, &error), 0);
    assert_int_equal(since, 1700000000);
    assert_int_equal(log_filter_since("yesterday", 0, &since, &error), -1);
    assert_non_null(strstr(error.sentence, "yesterday"));
    assert_true(log_filter_types_are_known("Delivery,bounce", &error));
    assert_false(log_filter_types_are_known("Delivery,Bouncy", &error));
    assert_non_null(strstr(error.sentence, "Bouncy"));
}

/* ---- reading ---- */

static char seen[4096];

static void on_line(void *ctx, struct span line)
{
    size_t len = strlen(seen);

    (void)ctx;
    snprintf(seen + len, sizeof seen - len, "%.*s ", SPAN_ARG(line));
}

static void expect_lines(struct log_reader *reader, const char *expected)
{
    struct error error;

    *seen = '\0';
    assert_int_equal(log_reader_read(reader, on_line, NULL, &error), 0);
    assert_string_equal(seen, expected);
}

static struct segment *open_segment(void)
{
    struct segment_options options = {support_dir, "", "", 0};
    struct error error;
    struct segment *segment = segment_open(&options, &error);

    assert_non_null(segment);
    return segment;
}

static void write_lines(struct segment *segment, const char *lines)
{
    struct error error;

    assert_int_equal(log_segment_add(segment, span_of(lines), &error), 0);
    assert_int_equal(segment_flush(segment, &error), 0);
}

static void lines_are_followed_over_a_rotation(void **state)
{
    struct segment *first = open_segment(), *second;
    struct error error;
    struct log_reader *reader = log_reader_new(support_dir, 0, &error);

    (void)state;
    assert_non_null(reader);
    expect_lines(reader, "");
    write_lines(first, "one\ntwo\n");
    expect_lines(reader, "one two ");
    expect_lines(reader, "");
    write_lines(first, "three\n");
    second = open_segment();
    write_lines(second, "five\n");
    assert_int_equal(log_segment_add(first, SPAN_LIT("four\n"), &error), 0);
    assert_int_equal(segment_finish(first, &error), 0);
    expect_lines(reader, "three four five ");
    log_reader_wait(reader); /* the changes so far */
    write_lines(second, "six\n");
    log_reader_wait(reader);
    expect_lines(reader, "six ");
    segment_finish(second, &error);
    expect_lines(reader, "");
    log_reader_free(reader);
}

static void old_segments_and_strangers_are_passed_over(void **state)
{
    struct segment *segment = open_segment();
    struct error error;
    struct log_reader *reader;
    char path[512];
    FILE *file;

    (void)state;
    write_lines(segment, "old\n");
    segment_finish(segment, &error);
    snprintf(path, sizeof path, "%s/notes.txt", support_dir);
    file = fopen(path, "w");
    fputs("not a segment", file);
    fclose(file);
    reader = log_reader_new(support_dir, INT64_C(4000000000), &error);
    expect_lines(reader, "");
    log_reader_free(reader);
    reader = log_reader_new(support_dir, 1, &error);
    expect_lines(reader, "old ");
    log_reader_free(reader);
    assert_null(log_reader_new("/nonexistent/dir", 0, &error));
    assert_non_null(strstr(error.sentence, "/nonexistent/dir"));
}

static void no_daemon_is_an_error_that_names_the_endpoint(void **state)
{
    struct error error;
    long status = 0;

    (void)state;
    assert_null(ctl_fetch("http://127.0.0.1:1/", "/x", NULL, &status, &error));
    assert_non_null(strstr(error.sentence, "http://127.0.0.1:1"));
    setenv("GATEPOST_ENDPOINT", "http://example", 1);
    assert_string_equal(ctl_endpoint(NULL), "http://example");
    assert_string_equal(ctl_endpoint("http://other"), "http://other");
    unsetenv("GATEPOST_ENDPOINT");
    assert_string_equal(ctl_endpoint(NULL), "http://127.0.0.1:8000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters),
        cmocka_unit_test(times),
        cmocka_unit_test_setup_teardown(lines_are_followed_over_a_rotation, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(old_segments_and_strangers_are_passed_over, make_dir, remove_dir),
        cmocka_unit_test(no_daemon_is_an_error_that_names_the_endpoint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
