/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole segments, one after the other, each read while the one before it is looked at: taking a segment from the kernel
 * costs more than scanning it, and until the last was scanned no old mail is delivered.
 */
#ifndef GATEPOST_SPOOL_READ_AHEAD_H
#define GATEPOST_SPOOL_READ_AHEAD_H

#include "spool/spool_private.h"

struct read_ahead;

/* For `count` segments, in this order; they outlive it. Needs memory for two of the largest. */
struct read_ahead *read_ahead_new(struct spool *spool, struct segment *const *segments, size_t count)
    __attribute__((returns_nonnull));

struct read_ahead_segment {
    struct span bytes; /* there until the next call */
    int read_errno;    /* not 0: some of it the disk does not give, however often it is asked; that is zeros */
    bool sync_failed;  /* what only the page cache has could not be synced before it was read */
};

/* Waits for the next one. */
struct read_ahead_segment read_ahead_next(struct read_ahead *ahead);

/* At any moment; the rest is not read. */
void read_ahead_free(struct read_ahead *ahead);

#endif
