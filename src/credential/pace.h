/* SPDX-License-Identifier: Apache-2.0
 *
 * So that who is refused by somebody else's service takes as long as who is unknown to it: the two medians of what that
 * service took, and what the faster kind has to wait. For threads that may block.
 */
#ifndef GATEPOST_CREDENTIAL_PACE_H
#define GATEPOST_CREDENTIAL_PACE_H

#include <pthread.h>
#include <stdint.h>

enum pace_kind { PACE_REFUSED, PACE_UNKNOWN, PACE_KINDS };

struct pace {
    /* shared, under lock */
    pthread_mutex_t lock;
    double median_us[PACE_KINDS];
    unsigned seen[PACE_KINDS];
};

void pace_init(struct pace *pace);
void pace_done(struct pace *pace);

/* Notes what one of this kind took, and says how much longer those of the other kind take; 0 until enough of both were
 * seen, and never more than a second. */
uint64_t pace_note(struct pace *pace, enum pace_kind kind, uint64_t took_us);

/* Lets that time go by. */
void pace_wait(uint64_t us);

#endif
