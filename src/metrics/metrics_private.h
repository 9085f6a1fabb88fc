/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share among themselves.
 */
#ifndef GATEPOST_METRICS_METRICS_PRIVATE_H
#define GATEPOST_METRICS_METRICS_PRIVATE_H

#include "base/buf.h"
#include "metrics/metrics.h"

/* The upper bounds of a histogram's buckets; the last bucket has none. */
#define METRICS_BOUNDS 17
extern const uint64_t metrics_bounds_us[METRICS_BOUNDS];

/* How many fell into each bucket, and what all took together. */
struct histogram_sum {
    int64_t buckets[METRICS_BOUNDS + 1];
    int64_t sum_us;
};

void metrics_get_histogram(enum histogram histogram, struct histogram_sum *sum_out);

/* Appends all histograms, their buckets cumulative as the format wants them. */
int metrics_write_histograms(struct buf *out);

/* Asks every collector for its lines. */
void metrics_collect(struct buf *out);

#endif
