/* SPDX-License-Identifier: Apache-2.0
 *
 * Smooth weighted round robin: over any run of picks each member gets its share, and heavy
 * members do not come in bursts. Pure.
 */
#ifndef GATEPOST_QUEUE_WRR_H
#define GATEPOST_QUEUE_WRR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wrr_member {
    unsigned weight;
    int64_t credit;
    bool barred; /* skipped this time: its ready queue is full or suspended */
};

/* The one whose turn it is, or -1 when all are barred or weigh nothing. `stride` is the
 * distance between members, which may live inside larger structs. */
int wrr_pick(void *members, size_t count, size_t stride);

#endif
