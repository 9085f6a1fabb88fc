/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters and histograms: tables (metrics/table.h) give each its name, help text and kind.
 * Counting is per thread, without locks, and summed when read.
 */
#ifndef GATEPOST_METRICS_METRICS_H
#define GATEPOST_METRICS_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "metrics/table.h"

/* From any thread. Gauges take negative amounts. */
void metrics_add(enum metric metric, int64_t amount);

static inline void metrics_count(enum metric metric) { metrics_add(metric, 1); }

int64_t metrics_get(enum metric metric);

/* One event that took so long. From any thread. */
void metrics_observe_us(enum histogram histogram, uint64_t took_us);

/* Values that only their owner knows (queue lengths per queue, spool figures): `collect`
 * appends whole exposition lines; called on the admin thread at each scrape. */
typedef void metrics_collect_fn(void *ctx, struct buf *out);
void metrics_add_collector(metrics_collect_fn *collect, void *ctx);
void metrics_remove_collector(metrics_collect_fn *collect, void *ctx);

/* Everything, as Prometheus text exposition format 0.0.4. */
int metrics_write(struct buf *out) __attribute__((warn_unused_result));

/* A label value with backslash, quote and newline escaped. */
int metrics_escape(struct span value, struct buf *out) __attribute__((warn_unused_result));

#endif
