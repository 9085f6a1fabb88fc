/* SPDX-License-Identifier: Apache-2.0
 *
 * How often each limit refused something, for /metrics. The labels are names of the operator's, and there are no more
 * of them than budgets; a reload that renames budgets again and again is cut off.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "base/map.h"
#include "base/mem.h"
#include "gate/budget_private.h"
#include "log/diag.h"
#include "metrics/metrics.h"

#define LINES_MOST 1024
#define NAME "gatepost_budget_refused_total"

static struct {
    pthread_mutex_t lock;
    /* under lock */
    struct map counts; /* labels -> uint64_t; kept for the life of the process */
} figures = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void collect(void *ctx, struct buf *out)
{
    struct map_cursor cursor = {0};
    struct span labels;
    void *count;
    int status;

    (void)ctx;
    status = buf_appendf(out, "# HELP " NAME " what budgets have refused\n# TYPE " NAME " counter\n");
    pthread_mutex_lock(&figures.lock);
    while (!status && map_next(&figures.counts, &cursor, &labels, &count))
        status = buf_appendf(out, NAME "{%.*s} %" PRIu64 "\n", SPAN_ARG(labels), *(uint64_t *)count);
    pthread_mutex_unlock(&figures.lock);
    if (status)
        diag(DIAG_WARN, NULL, "the metrics of budgets are too long for one answer");
}

static void begin(void) { metrics_add_collector(collect, NULL); }

void budget_figures_count(const char *budget, enum gate_limit limit)
{
    char labels[128];
    uint64_t *count;

    pthread_once(&once, begin);
    snprintf(labels, sizeof labels, "budget=\"%s\",limit=\"%s\"", budget, gate_limit_name(limit));
    pthread_mutex_lock(&figures.lock);
    count = map_find(&figures.counts, span_of(labels));
    if (!count && figures.counts.count < LINES_MOST) {
        count = mem_zalloc(sizeof *count);
        map_put(&figures.counts, span_of(labels), count);
    }
    if (count)
        ++*count;
    pthread_mutex_unlock(&figures.lock);
}
