/* SPDX-License-Identifier: Apache-2.0
 *
 * So that who is refused by somebody else's service takes as long as who is unknown to it: what most refusals of the
 * slower kind take is followed, and those that come sooner, of either kind, are told when that time is over. For
 * threads that may block.
 */
#ifndef GATEPOST_CREDENTIAL_PACE_H
#define GATEPOST_CREDENTIAL_PACE_H

#include <pthread.h>
#include <stdint.h>

#define PACE_SEEN 64

enum pace_kind { PACE_REFUSED, PACE_UNKNOWN, PACE_KINDS };

struct pace {
    /* shared, under lock */
    pthread_mutex_t lock;
    uint64_t took_us[PACE_KINDS][PACE_SEEN]; /* the last ones */
    unsigned noted[PACE_KINDS];
};

void pace_init(struct pace *pace);
void pace_done(struct pace *pace);

/* Notes what one of this kind took; returns what a refusal takes, of whatever kind it is. Not more than a second. */
uint64_t pace_note(struct pace *pace,
#define PACE_SEEN 64

                   enum pace_kind kind, uint64_t took_us);

/* Until so long after `began_us` (of clock_mono_us). */
void pace_wait(uint64_t began_us, uint64_t us);

#endif
