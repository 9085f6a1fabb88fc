/* SPDX-License-Identifier: Apache-2.0
 *
 * A bounded pool of threads for what blocks: SQLite, password hashing, reading files.
 * Its queue has a limit; a full queue is an error at once, never a wait. Jobs run no
 * Lua and touch nothing but what they carry.
 */
#ifndef GATEPOST_LOOP_JOBS_H
#define GATEPOST_LOOP_JOBS_H

#include <stddef.h>

#include "base/error.h"
#include "base/list.h"
#include "loop/loop.h"

struct jobs;

struct job {
    struct mail mail; /* the way home */
    struct list_node node;
    struct loop *reply_to;
    void (*run)(struct job *job);  /* on a pool thread */
    void (*done)(struct job *job); /* back on the loop that submitted it */
};

/* `name` appears in thread names and errors. NULL when no thread can be made. */
struct jobs *jobs_new(const char *name, size_t threads, size_t queue_limit, struct error *error);

/* Runs what is queued, waits for it, ends the threads. NULL is fine. */
void jobs_free(struct jobs *jobs);

/* From any thread with a loop. Set run and done before. -1 (ERROR_AGAIN) when the
 * queue is full; the job is then still the caller's. */
int jobs_submit(struct jobs *jobs, struct job *job, struct error *error) __attribute__((warn_unused_result));

size_t jobs_waiting(struct jobs *jobs);

#endif
