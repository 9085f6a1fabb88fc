/* SPDX-License-Identifier: Apache-2.0
 *
 * A house for the queue to live in: a fake spool and a fake delivery side that note what the
 * queue asks for, a real policy from a string, real DNS answers from a text, and a clock that
 * moves when the test says so.
 */
#ifndef GATEPOST_TESTS_QUEUE_HOUSE_H
#define GATEPOST_TESTS_QUEUE_HOUSE_H

#include "queue/queue_private.h"

#define HOUSE_LIMIT 4096

struct house_connection {
    uint64_t id;
    struct queue_ready *ready;
    struct route_plan *plan; /* referenced */
    struct list given;       /* by ops->give */
    bool finished;
};

/* A record on its way to the fake disk. */
struct house_save {
    uint64_t ref;
    struct buf record;
    struct message_saving *token;
};

struct house {
    struct loop *loop;
    struct policy *policy;
    struct policy_vm *vm;
    struct dns *dns;
    struct queue *queue;

    struct house_connection connections[HOUSE_LIMIT];
    size_t connection_count;
    struct message *loads[HOUSE_LIMIT]; /* not answered yet */
    size_t load_count, loads_asked;
    const struct error *load_error;
    struct house_save *saves; /* not answered yet */
    size_t save_count;
    bool holds_saves;
    size_t bounced, expired, discarded, delayed, transient, saved;
    struct smtp_reply last_reply;
    char last_bounced[64];

    uint64_t last_ref; /* the fake spool: a record per message, by ref */
    struct buf *records;
    size_t record_capacity;
    struct await *waiting; /* the handler that called wait() */
};

/* `policy` may be ""; `zone` as struct dns_config has it, may be NULL. */
struct house *house_new(const char *policy, const char *zone);
void house_free(struct house *house);

/* Only loads it: -1 with the reason when it does not load. */
int house_try_policy(const char *policy, struct error *error);

/* A message in the fake spool, clean and loaded. */
struct message *house_message(struct house *house, const char *recipient);
void house_insert(struct house *house, const char *recipient, size_t count);

void house_settle(struct house *house); /* until the queue has nothing to do now */
void house_pass_ms(struct house *house, uint64_t ms);
void house_set_back(struct house *house, uint64_t ms); /* the clock on the wall alone */
void house_set_forward(struct house *house, uint64_t ms);
void house_answer_loads(struct house *house);
void house_fail_next_loads(struct house *house, const struct error *error); /* kept; NULL: no more */
/* Saves are answered at once, unless they are held. */
void house_hold_saves(struct house *house);
void house_answer_saves(struct house *house, bool failed); /* those made so far, in their order */
void house_resume(struct house *house);                    /* the waiting handler goes on */

/* Takes from the connection and delivers all of it; the number. */
size_t house_deliver(struct house *house, size_t connection, size_t most);
/* Takes one, or uses the one given. */
struct message *house_take_one(struct house *house, size_t connection);
size_t house_scheduled(const struct house *house);
size_t house_ready(const struct house *house);

#endif
