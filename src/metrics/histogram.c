/* SPDX-License-Identifier: Apache-2.0
 *
 * Histograms of durations as Prometheus reads them: each bucket counts what took as long as its bound or less, so that
 * the buckets of several processes can be added. All have the same bounds: from a tenth of a millisecond, which a
 * cached answer takes, to a minute, at which everything here has given up.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/span.h"
#include "metrics/metrics_private.h"

const uint64_t metrics_bounds_us[METRICS_BOUNDS] = {100,     250,     500,     1000,     2500,    5000,
                                                    10000,   25000,   50000,   100000,   250000,  500000,
                                                    1000000, 2500000, 5000000, 10000000, 60000000};

struct row {
    const char *exposition; /* name{labels} */
    const char *help;
};

#define HISTOGRAM_ROW(name, exposition, help) {exposition, help},
static const struct row rows[HISTOGRAM_COUNT] = {HISTOGRAMS_TABLE(HISTOGRAM_ROW)};
#undef HISTOGRAM_ROW

/* The name, and what stands between its braces. */
static struct span split(const struct row *row, struct span *labels_out)
{
    struct span text = span_of(row->exposition), labels;
    size_t brace = span_find(text, '{');

    labels = span_from(text, brace);
    *labels_out = labels.len > 2 ? span_make(labels.data + 1, labels.len - 2) : SPAN_LIT("");
    return span_head(text, brace);
}

static int write_bucket(const struct row *row, const char *bound, int64_t count, struct buf *out)
{
    struct span labels;
    struct span name = split(row, &labels);

    return buf_appendf(out, "%.*s_bucket{%.*s%sle=\"%s\"} %" PRId64 "\n", SPAN_ARG(name), SPAN_ARG(labels),
                       labels.len ? "," : "", bound, count);
}

static int write_total(const struct row *row, const char *suffix, const char *value, struct buf *out)
{
    struct span labels;
    struct span name = split(row, &labels);

    if (!labels.len)
        return buf_appendf(out, "%.*s%s %s\n", SPAN_ARG(name), suffix, value);
    return buf_appendf(out, "%.*s%s{%.*s} %s\n", SPAN_ARG(name), suffix, SPAN_ARG(labels), value);
}

/* In seconds, without what floating point would make of it. */
static void format_seconds(int64_t us, char out[32])
{
    int len = snprintf(out, 32, "%" PRId64 ".%06" PRId64, us / 1000000, us % 1000000);

    while (out[len - 1] == '0')
        out[--len] = '\0';
    if (out[len - 1] == '.')
        out[len - 1] = '\0';
}

static int write_values(const struct row *row, const struct histogram_sum *sum, struct buf *out)
{
    int64_t count = 0;
    char text[32];

    for (int i = 0; i < METRICS_BOUNDS; i++) {
        count += sum->buckets[i];
        format_seconds((int64_t)metrics_bounds_us[i], text);
        if (write_bucket(row, text, count, out))
            return -1;
    }
    count += sum->buckets[METRICS_BOUNDS];
    format_seconds(sum->sum_us, text);
    if (write_bucket(row, "+Inf", count, out) || write_total(row, "_sum", text, out))
        return -1;
    snprintf(text, sizeof text, "%" PRId64, count);
    return write_total(row, "_count", text, out);
}

static int write_head(const struct row *row, const struct row *before, struct buf *out)
{
    struct span labels;
    struct span name = split(row, &labels);

    if (before && span_eq(name, split(before, &labels)))
        return 0;
    return buf_appendf(out, "# HELP %.*s %s\n# TYPE %.*s histogram\n", SPAN_ARG(name), row->help, SPAN_ARG(name));
}

int metrics_write_histograms(struct buf *out)
{
    for (int i = 0; i < HISTOGRAM_COUNT; i++) {
        struct histogram_sum sum;

        metrics_get_histogram((enum histogram)i, &sum);
        if (write_head(&rows[i], i ? &rows[i - 1] : NULL, out) || write_values(&rows[i], &sum, out))
            return -1;
    }
    return 0;
}
