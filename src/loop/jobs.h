/* SPDX-License-Identifier: Apache-2.0
 *
 * A bounded pool of threads for what blocks: SQLite, password hashing, reading files.
 * Its queue has a limit; a full queue is an error at once, never a wait. Jobs run no
 * Lua and touch nothing but what they carry.
 *
 * Owners take turns: of those who have jobs waiting each has one run before anybody's next. So whoever brings many
 * waits behind those who bring few. And when the queue is full, the place of the last job goes to one whose turn comes
 * before it.
 */
#ifndef GATEPOST_LOOP_JOBS_H
#define GATEPOST_LOOP_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "loop/loop.h"

struct jobs;

struct job {
    struct mail mail; /* the way home */
    struct list_node node;
    struct loop *reply_to;
    uint64_t owner; /* whose it is, as whoever submits it counts: jobs of one owner are equal. 0 is an owner, too */
    uint64_t turn;
    uint64_t queued_ms;
    bool expired;                  /* for done: it waited longer than the pool's limit, or lost its place, and run
                                      was not called */
    void (*run)(struct job *job);  /* on a pool thread */
    void (*done)(struct job *job); /* back on the loop that submitted it */
};

struct jobs_options {
    const char *name; /* appears in thread names and errors */
    size_t threads;
    size_t queue_limit;
    uint64_t wait_limit_ms; /* a job that waited longer is not run; 0: none */
    int niceness;           /* of its threads, as in nice(2): for work that may take a core for long */
};

/* NULL when no thread can be made. */
struct jobs *jobs_new_with(const struct jobs_options *options, struct error *error);
struct jobs *jobs_new(const char *name, size_t threads, size_t queue_limit, struct error *error);

/* Changes the limits from now on; from any thread. `active` is how many of its threads work at once, at least one and
 * at most all. */
void jobs_limit(struct jobs *jobs, size_t active, size_t queue_limit, uint64_t wait_limit_ms);

/* Runs what is queued, waits for it, ends the threads. NULL is fine. */
void jobs_free(struct jobs *jobs);

/* From any thread with a loop. Set run and done before. -1 (ERROR_AGAIN) when the
 * queue is full; the job is then still the caller's. */
int jobs_submit(struct jobs *jobs, struct job *job, struct error *error) __attribute__((warn_unused_result));

size_t jobs_waiting(struct jobs *jobs);

#endif
