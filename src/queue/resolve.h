/* SPDX-License-Identifier: Apache-2.0
 *
 * For resolve.c and resolve_slot.c only: one resolution under way, and what its steps have in common.
 */
#ifndef GATEPOST_QUEUE_RESOLVE_H
#define GATEPOST_QUEUE_RESOLVE_H

#include <lua.h>

#include "log/diag.h"
#include "queue/egress.h"
#include "queue/queue_private.h"

enum progress {
    GO,   /* this step is done */
    WAIT, /* its answer will come */
    STOP, /* it failed: the trouble is noted */
};

struct resolve {
    struct queue *queue;
    struct sched *sched;
    size_t step;
    bool asking; /* inside the call that asks: an answer now is not a wake-up */
    bool answered;
    bool failed;
    struct policy_call *call;
    struct dns_question *question;

    /* what was found on the way to the picked slot */
    struct freshness fresh; /* the shortest of all */
    struct route_source *source;
    struct site *site;
    struct queue_ready *ready; /* whose path is being asked for */
};

/* ---- resolve.c ---- */

/* Leaves the trouble with the scheduled queue. STOP. */
enum progress resolve_fail(struct resolve *r, enum diag_level level, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* What is found holds no longer than `by`. */
void resolve_shorten(struct resolve *r, const struct freshness *by);
enum progress resolve_ask(struct resolve *r, enum policy_event event, policy_push_fn *push, policy_done_fn *on_done);
/* The last word of each callback: the steps go on, unless the question is still being put. */
void resolve_answered(struct resolve *r);
/* The object a handler returned; NULL with *absent_out when none wanted to answer; NULL without
 * when it failed, and then `why` says how. */
void *resolve_object(const struct policy_result *result, const char *class, bool *absent_out, struct error *why);

/* ---- resolve_slot.c: the steps for the source whose turn it is ---- */

typedef enum progress resolve_step_fn(struct resolve *r);

#define RESOLVE_SLOT_STEPS 6
extern resolve_step_fn *const resolve_slot_steps[RESOLVE_SLOT_STEPS];

#endif
