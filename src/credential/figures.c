/* SPDX-License-Identifier: Apache-2.0
 *
 * How each store does, for /metrics: by its name in the file, so that the figures of a store that a reload is replacing
 * and of the one that replaces it are one line. A counter falls when the former one goes; who reads counters is used
 * to that from restarts.
 */
#include <inttypes.h>
#include <string.h>

#include "base/must.h"
#include "credential/credential_private.h"
#include "metrics/metrics.h"

#define NAMES_MOST 128 /* lines of one scrape; more distinct names are left out */

struct figures {
    const char *name;
    uint64_t asks, failures, took_us;
};

static struct figures *find(struct figures *all, size_t *count, const char *name)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    if (*count == NAMES_MOST)
        return NULL;
    all[*count] = (struct figures){.name = name};
    return &all[(*count)++];
}

static void add_slot(struct figures *all, size_t *count, struct slot *slot)
{
    struct figures *figures = slot->setup.driver == &store_table ? NULL : find(all, count, slot->setup.name);

    if (!figures)
        return;
    figures->asks += atomic_load_explicit(&slot->asks, memory_order_relaxed);
    figures->failures += atomic_load_explicit(&slot->failures, memory_order_relaxed);
    figures->took_us += atomic_load_explicit(&slot->took_us, memory_order_relaxed);
}

static int write_line(struct buf *out, const char *metric, const char *store, const char *value)
{
    if (buf_appendf(out, "%s{store=\"", metric) || metrics_escape(span_of(store), out))
        return -1;
    return buf_appendf(out, "\"} %s\n", value);
}

static int write_metric(struct buf *out, const char *metric, const char *help, const struct figures *all, size_t count,
                        uint64_t (*value_of)(const struct figures *))
{
    char value[24];
    int status = buf_appendf(out, "# HELP %s %s\n# TYPE %s counter\n", metric, help, metric);

    for (size_t i = 0; i < count && status == 0; i++) {
        snprintf(value, sizeof value, "%" PRIu64, value_of(&all[i]));
        status = write_line(out, metric, all[i].name, value);
    }
    return status;
}

static uint64_t asks_of(const struct figures *figures) { return figures->asks; }
static uint64_t failures_of(const struct figures *figures) { return figures->failures; }
static uint64_t took_us_of(const struct figures *figures) { return figures->took_us; }

static int write_all(struct buf *out, const struct figures *all, size_t count)
{
    if (write_metric(out, "gatepost_store_asks_total", "questions put to a credential store", all, count, asks_of))
        return -1;
    if (write_metric(out, "gatepost_store_failures_total", "questions that a credential store did not answer", all,
                     count, failures_of))
        return -1;
    return write_metric(out, "gatepost_store_microseconds_total", "time that a credential store took to answer", all,
                        count, took_us_of);
}

/* A scrape without room for it is left with what fits. */
void figures_collect(void *ctx, struct buf *out)
{
    struct figures all[NAMES_MOST];
    size_t count = 0;
    size_t len = buf_len(out);

    (void)ctx;
    slots_lock(); /* the names are theirs */
    for (struct slot *slot = slots_next(NULL); slot; slot = slots_next(slot))
        add_slot(all, &count, slot);
    if (count && write_all(out, all, count))
        buf_truncate(out, len);
    slots_unlock();
}
