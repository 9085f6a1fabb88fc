/* SPDX-License-Identifier: Apache-2.0
 *
 * What each limit has given, got back and refused, for /metrics. The labels are names of the operator's, never whose
 * the numbers are, and there are no more of them than budgets; a reload that renames budgets again and again is cut
 * off. What is used up at present, and by whom, gatectl tells.
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

struct counts {
    uint64_t of[BUDGET_FIGURE_COUNT];
};

static const struct {
    const char *name, *help;
} families[BUDGET_FIGURE_COUNT] = {
    [BUDGET_REFUSED] = {"gatepost_budget_refused_total", "what budgets have refused"},
    [BUDGET_TAKEN] = {"gatepost_budget_taken_total", "what budgets have given: messages, recipients, bytes, sessions"},
    [BUDGET_GIVEN_BACK] = {"gatepost_budget_given_back_total",
                           "what of it came back: transactions that were refused or given up, sessions that ended"},
};

static struct {
    pthread_mutex_t lock;
    /* under lock */
    struct map counts; /* labels -> struct counts; kept for the life of the process */
} figures = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Under the lock. What never happened has no line. */
static int write_family(enum budget_figure figure, struct buf *out)
{
    struct map_cursor cursor = {0};
    struct span labels;
    void *value;
    const char *name = families[figure].name;
    int status = buf_appendf(out, "# HELP %s %s\n# TYPE %s counter\n", name, families[figure].help, name);

    while (!status && map_next(&figures.counts, &cursor, &labels, &value)) {
        uint64_t count = ((struct counts *)value)->of[figure];

        if (count)
            status = buf_appendf(out, "%s{%.*s} %" PRIu64 "\n", name, SPAN_ARG(labels), count);
    }
    return status;
}

static void collect(void *ctx, struct buf *out)
{
    int status = 0;

    (void)ctx;
    pthread_mutex_lock(&figures.lock);
    for (int figure = 0; !status && figure < BUDGET_FIGURE_COUNT; figure++)
        status = write_family((enum budget_figure)figure, out);
    pthread_mutex_unlock(&figures.lock);
    if (status)
        diag(DIAG_WARN, NULL, "the metrics of budgets are too long for one answer");
}

static void begin(void) { metrics_add_collector(collect, NULL); }

void budget_figures_add(const char *budget, enum gate_limit limit, enum budget_figure figure, double amount)
{
    struct counts *counts;
    char labels[128];

    pthread_once(&once, begin);
    snprintf(labels, sizeof labels, "budget=\"%s\",limit=\"%s\"", budget, gate_limit_name(limit));
    pthread_mutex_lock(&figures.lock);
    counts = map_find(&figures.counts, span_of(labels));
    if (!counts && figures.counts.count < LINES_MOST) {
        counts = mem_zalloc(sizeof *counts);
        map_put(&figures.counts, span_of(labels), counts);
    }
    if (counts)
        counts->of[figure] += (uint64_t)(amount + 0.5);
    pthread_mutex_unlock(&figures.lock);
}
