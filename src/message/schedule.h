/* SPDX-License-Identifier: Apache-2.0
 *
 * When a message may be tried, as policy said: not before a time, only on some days between
 * two times of day, not after its expiry.
 */
#ifndef GATEPOST_MESSAGE_SCHEDULE_H
#define GATEPOST_MESSAGE_SCHEDULE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "message/zone.h"

struct message_schedule {
    int64_t first_attempt_ms; /* wall clock; 0: none */
    int64_t expires_ms;       /* wall clock; 0: none */

    /* the window; days 0: none */
    unsigned char days; /* bit 0: Sunday */
    int32_t start_s;    /* of the local day */
    int32_t end_s;      /* may be before start: the window then ends on the next day */
    const struct zone *zone;
};

/* Keys first_attempt, expires (RFC 3339), dow, tz, start, end: the last four all or none. */
struct message_schedule *message_schedule_from_json(const json_t *object, struct error *error);
json_t *message_schedule_to_json(const struct message_schedule *schedule); /* a new reference */
struct message_schedule *message_schedule_copy(const struct message_schedule *schedule);
void message_schedule_free(struct message_schedule *schedule); /* NULL is fine */

/* The first moment at or after `due_ms` that the schedule allows. */
int64_t message_schedule_next_ms(const struct message_schedule *schedule, int64_t due_ms);

static inline bool message_schedule_is_over(const struct message_schedule *schedule, int64_t now_ms)
{
    return schedule && schedule->expires_ms != 0 && now_ms >= schedule->expires_ms;
}

#endif
