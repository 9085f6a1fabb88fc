/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the desk share: a question on its way to its answer.
 */
#ifndef GATEPOST_DESK_PRIVATE_H
#define GATEPOST_DESK_PRIVATE_H

#include <semaphore.h>
#include <stdatomic.h>

#include "desk.h"
#include "gate/gate.h"
#include "loop/thread.h"

struct desk {
    struct thread thread;
    atomic_size_t under_way;
};

/* Shared by who asks and the desk: whoever comes last frees it. */
struct question {
    struct mail mail;
    struct desk *desk;
    atomic_int holders;
    void (*act)(struct question *question);
    json_t *asked;
    struct gate_rules *rules;
    json_t *answer; /* NULL: `error` says why */
    struct error error;
    sem_t answered;
};

/* Takes `answer`; NULL: question->error says why. On the desk's thread, once for each question. */
void desk_finish(struct question *question, json_t *answer);
void desk_refuse(struct question *question, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Whom it is about. NULL: refused already. */
const char *desk_needed_name(struct question *question, const char *key);

/* desk_budget.c: {who}: what a user has used up */
void desk_budget(struct question *question);

#endif
