/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting from many threads, the text that Prometheus reads, and that docs/metrics.md
 * tells of every name in the table.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "metrics/metrics.h"

static void *count_many(void *arg)
{
    for (int i = 0; i < 10000; i++)
        metrics_count(METRIC_SMTPD_MESSAGES);
    metrics_add(METRIC_SMTPD_CONNECTIONS, 5);
    metrics_add(METRIC_SMTPD_CONNECTIONS, -4);
    return arg;
}

static void threads_are_summed_and_leave_their_counts(void **state)
{
    int64_t messages = metrics_get(METRIC_SMTPD_MESSAGES), open = metrics_get(METRIC_SMTPD_CONNECTIONS);
    pthread_t threads[8];

    (void)state;
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    for (int i = 0; i < 100; i++)
        assert_true(metrics_get(METRIC_SMTPD_MESSAGES) - messages <= 80000);
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metrics_get(METRIC_SMTPD_MESSAGES) - messages, 80000);
    assert_int_equal(metrics_get(METRIC_SMTPD_CONNECTIONS) - open, 8);
}

static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;

    for (; (text = strstr(text, part)); text++)
        count++;
    return count;
}

static void collect(void *ctx, struct buf *out)
{
    assert_int_equal(buf_appendf(out, "queue_depth{queue=\""), 0);
    assert_int_equal(metrics_escape(span_of(ctx), out), 0);
    assert_int_equal(buf_appendf(out, "\"} 7\n"), 0);
}

static void the_exposition_has_one_help_per_name(void **state)
{
    struct buf out;
    char queue[] = "a\"b\\c\nd";
    const char *text;

    (void)state;
    metrics_count(METRIC_AUTH_OK);
    metrics_add_collector(collect, queue);
    buf_init(&out, 1 << 20);
    assert_int_equal(metrics_write(&out), 0);
    metrics_remove_collector(collect, queue);
    text = buf_cstr(&out);
    assert_int_equal(occurrences(text, "# TYPE gatepost_auth_total counter\n"), 1);
    assert_int_equal(occurrences(text, "# HELP connection_count "), 1);
    assert_int_equal(occurrences(text, "gatepost_auth_total{result=\"ok\"} 1\n"), 1);
    assert_int_equal(occurrences(text, "queue_depth{queue=\"a\\\"b\\\\c\\nd\"} 7\n"), 1);
    buf_clear(&out);
    assert_int_equal(metrics_write(&out), 0);
    assert_int_equal(occurrences(buf_cstr(&out), "queue_depth"), 0);
    buf_done(&out);
}

static void *observe(void *arg)
{
    metrics_observe_us(HISTOGRAM_AUTH_OK, 100); /* the bound itself is in */
    metrics_observe_us(HISTOGRAM_AUTH_OK, 101);
    metrics_observe_us(HISTOGRAM_AUTH_OK, 61000000); /* over the last bound */
    metrics_observe_us(HISTOGRAM_STORE_LOOKUP, 1500000);
    return arg;
}

static void buckets_are_cumulative(void **state)
{
    static const char *const lines[] = {
        "# TYPE gatepost_auth_seconds histogram\n",
        "gatepost_auth_seconds_bucket{result=\"ok\",le=\"0.0001\"} 2\n",
        "gatepost_auth_seconds_bucket{result=\"ok\",le=\"0.00025\"} 4\n",
        "gatepost_auth_seconds_bucket{result=\"ok\",le=\"60\"} 4\n",
        "gatepost_auth_seconds_bucket{result=\"ok\",le=\"+Inf\"} 6\n",
        "gatepost_auth_seconds_sum{result=\"ok\"} 122.000402\n",
        "gatepost_auth_seconds_count{result=\"ok\"} 6\n",
        "gatepost_auth_seconds_count{result=\"refused\"} 0\n",
        "gatepost_store_lookup_seconds_bucket{le=\"1\"} 0\n",
        "gatepost_store_lookup_seconds_bucket{le=\"2.5\"} 2\n",
        "gatepost_store_lookup_seconds_sum 3\n",
        "gatepost_store_lookup_seconds_count 2\n",
    };
    pthread_t thread;
    struct buf out;

    (void)state;
    observe(NULL);
    assert_int_equal(pthread_create(&thread, NULL, observe, NULL), 0);
    pthread_join(thread, NULL);
    buf_init(&out, 1 << 20);
    assert_int_equal(metrics_write(&out), 0);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (occurrences(buf_cstr(&out), lines[i]) != 1)
            fail_msg("not once: %s", lines[i]);
    buf_done(&out);
}

static void a_full_buffer_is_an_error(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 100);
    assert_int_equal(metrics_write(&out), -1);
    buf_done(&out);
}

struct row {
    const char *kind, *exposition, *help;
};

#define ROW(name, kind, exposition, help) {#kind, exposition, help},
#define HISTOGRAM_ROW(name, exposition, help) {"histogram", exposition, help},
static const struct row rows[] = {METRICS_TABLE(ROW) HISTOGRAMS_TABLE(HISTOGRAM_ROW)};

/* The lines that tools/gen-metrics-doc makes, one per row. */
static void the_docs_agree_with_the_table(void **state)
{
    const char *root = getenv("GATEPOST_SOURCE_DIR");
    static char doc[1 << 18];
    char path[4096];
    size_t len, documented;
    FILE *file;

    (void)state;
    if (!root)
        skip();
    snprintf(path, sizeof path, "%s/docs/metrics.md", root);
    file = fopen(path, "r");
    assert_non_null(file);
    len = fread(doc, 1, sizeof doc - 1, file);
    fclose(file);
    doc[len] = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[1024];

        snprintf(line, sizeof line, "| `%s` | %s | %s |\n", rows[i].exposition, rows[i].kind, rows[i].help);
        if (!strstr(doc, line))
            fail_msg("docs/metrics.md lacks: %sRun tools/gen-metrics-doc", line);
    }
    documented = occurrences(doc, "\n| `");
    assert_int_equal(documented, sizeof rows / sizeof *rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_are_summed_and_leave_their_counts),
        cmocka_unit_test(the_exposition_has_one_help_per_name),
        cmocka_unit_test(buckets_are_cumulative),
        cmocka_unit_test(a_full_buffer_is_an_error),
        cmocka_unit_test(the_docs_agree_with_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
