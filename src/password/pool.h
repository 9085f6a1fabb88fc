/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads that hash passwords: few, of low priority, with a short queue. Whoever floods us with logins fills this
 * queue and no other: mail goes on, and further logins are told to come again (454 4.7.0). One pool per process,
 * since it is the process's cores that are shared out.
 *
 *     jobs_submit(password_pool(), &job, &error)   -1: full (ERROR_AGAIN)
 *     job->done, with job->expired                 it waited longer than the time limit and was not run
 *
 * A job owns copies of its secrets and wipes them when it ends, however it ends.
 */
#ifndef GATEPOST_PASSWORD_POOL_H
#define GATEPOST_PASSWORD_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/jobs.h"

#define PASSWORD_POOL_QUEUE_LIMIT 256
#define PASSWORD_POOL_TIME_LIMIT_MS 10000

/* By main, before any VM: half of the cores (at least one) at work, the limits above. */
int password_pool_start(struct error *error) __attribute__((warn_unused_result));
/* After the last VM; runs what is queued. Does nothing when it was not started. */
void password_pool_stop(void);

struct jobs *password_pool(void); /* it must have been started */

/* What an operator said ([password] in auth.toml); 0 leaves the default. From any thread, any time; the last word
 * counts. More threads than cores are not used. */
void password_pool_limit(size_t threads, size_t queue_limit, uint64_t time_limit_ms);

#endif
