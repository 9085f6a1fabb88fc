/* SPDX-License-Identifier: Apache-2.0
 *
 * The counters as Prometheus reads them: text exposition format 0.0.4, with one HELP and
 * one TYPE line per name, however many label sets the name has.
 */
#include "base/span.h"
#include "metrics/metrics.h"
#include "metrics/metrics_private.h"

struct row {
    enum metric metric;
    const char *kind;
    const char *exposition; /* name{labels} */
    const char *help;
};

#define METRIC_ROW(name, kind, exposition, help) {METRIC_##name, #kind, exposition, help},
static const struct row rows[] = {METRICS_TABLE(METRIC_ROW)};
#undef METRIC_ROW

static struct span name_of(const struct row *row)
{
    struct span text = span_of(row->exposition);

    return span_head(text, span_find(text, '{'));
}

static int write_row(const struct row *row, bool is_first_of_name, struct buf *out)
{
    struct span name = name_of(row);

    if (is_first_of_name &&
        buf_appendf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", SPAN_ARG(name), row->help, SPAN_ARG(name), row->kind) < 0)
        return -1;
    return buf_appendf(out, "%s %lld\n", row->exposition, (long long)metrics_get(row->metric));
}

int metrics_write(struct buf *out)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool is_first = i == 0 || !span_eq(name_of(&rows[i]), name_of(&rows[i - 1]));

        if (write_row(&rows[i], is_first, out) < 0)
            return -1;
    }
    if (metrics_write_histograms(out) < 0)
        return -1;
    metrics_collect(out);
    return 0;
}

int metrics_escape(struct span value, struct buf *out)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        const char *escaped = c == '\\' ? "\\\\" : c == '"' ? "\\\"" : c == '\n' ? "\\n" : NULL;

        if (escaped ? buf_append(out, escaped, 2) < 0 : buf_append(out, &c, 1) < 0)
            return -1;
    }
    return 0;
}
