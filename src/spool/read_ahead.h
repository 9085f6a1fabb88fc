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

/* Waits for the next one: its bytes are there until the following call. What the disk does not give is zeros.
 * `*sync_failed_out`: what only the page cache has could not be synced before it was read. */
struct span read_ahead_next(struct read_ahead *ahead, bool *sync_failed_out);

/* At any moment; the rest is not read. */
void read_ahead_free(struct read_ahead *ahead);

#endif
