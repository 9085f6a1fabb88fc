/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread that reads back what was there at open, and shows it. It ends by itself, or
 * when the spool is closed; batches that are still on their way to a loop keep the struct.
 */
#ifndef GATEPOST_SPOOL_RECOVERY_H
#define GATEPOST_SPOOL_RECOVERY_H

#include <semaphore.h>

#include "spool/spool_private.h"

struct recovery {
    struct spool *spool; /* not to be used by a batch: it may be gone */
    pthread_t thread;
    struct loop *loop;
    spool_entry_fn *on_entry;
    spool_enumerated_fn *on_end;
    void *ctx;

    struct segment **old; /* what to read, in order */
    size_t old_count;
    struct segment *reading;
    bool incomplete; /* some of it the disk does not give */
    uint64_t shown;

    atomic_int refs;
    atomic_bool ending;
    sem_t room; /* batches that may be under way at once */
};

void recovery_unref(struct recovery *recovery);
void recovery_read_all(struct recovery *recovery); /* recover.c: fills the index */
void recovery_show_all(struct recovery *recovery); /* show.c */

#endif
