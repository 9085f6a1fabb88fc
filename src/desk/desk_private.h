/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the desk share: a question on its way to its answer.
 *
 *   desk.c      the way, the thread, the verbs
 *   logins.c    what is remembered about logins; why somebody would get in
 *   listener.c  what a listener says of that
 *   budget.c    what a user has used up
 *   sending.c   live sessions, mail on hold
 */
#ifndef GATEPOST_DESK_DESK_PRIVATE_H
#define GATEPOST_DESK_DESK_PRIVATE_H

#include <semaphore.h>
#include <stdatomic.h>

#include "desk/desk.h"
#include "gate/gate.h"
#include "loop/thread.h"

struct desk {
    const struct desk_ops *ops; /* of its members each may be NULL */
    void *ctx;
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

/* ---- logins.c ---- */

void desk_show(struct question *question);   /* {who}, or {}: all that is locked, held or blocked */
void desk_unlock(struct question *question); /* {who} */
void desk_block(struct question *question);  /* {who, seconds} */
void desk_purge(struct question *question);  /* {user, sessions}, or {all} */
void desk_test(struct question *question);   /* {user, from, ...} */

/* listener.c: adds to the answer of a test, where the question names a listener */
void desk_tell_listener(const struct desk *desk, const json_t *asked, json_t *answer);

/* budget.c: {who} */
void desk_budget(struct question *question);

/* ---- sending.c: at once, on the thread of who asks ---- */

json_t *desk_list_sessions(struct desk *desk, const json_t *question, struct error *error);  /* {user}, or {} */
json_t *desk_close_sessions(struct desk *desk, const json_t *question, struct error *error); /* {user}, {id}, or both */
json_t *desk_list_held(struct desk *desk, const json_t *question, struct error *error);      /* {} */
json_t *desk_hold(struct desk *desk, const json_t *question, struct error *error);           /* {user} */
json_t *desk_release(struct desk *desk, const json_t *question, struct error *error);        /* {user} */

#endif
