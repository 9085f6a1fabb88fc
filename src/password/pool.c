/* SPDX-License-Identifier: Apache-2.0
 *
 * See pool.h. There is a thread for each core from the start, and a limit on how many of them work at once: so that
 * a reloaded auth.toml can change the number without ending threads that hold somebody's login.
 */
#include "password/pool.h"

#include <unistd.h>

#include "base/must.h"

/* Enough that a core wanted by both goes to mail, and not so much that logins starve beside a busy relay. */
#define NICENESS 5

static struct jobs *pool;

static size_t core_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (size_t)count : 1;
}

int password_pool_start(struct error *error)
{
    const struct jobs_options options = {
        .name = "password",
        .threads = core_count(),
        .queue_limit = PASSWORD_POOL_QUEUE_LIMIT,
        .wait_limit_ms = PASSWORD_POOL_TIME_LIMIT_MS,
        .niceness = NICENESS,
    };

    MUST(pool == NULL);
    pool = jobs_new_with(&options, error);
    if (!pool)
        return -1;
    password_pool_limit(0, 0, 0);
    return 0;
}

void password_pool_stop(void)
{
    jobs_free(pool);
    pool = NULL;
}

struct jobs *password_pool(void)
{
    MUST(pool != NULL);
    return pool;
}

void password_pool_limit(size_t threads, size_t queue_limit, uint64_t time_limit_ms)
{
    jobs_limit(password_pool(), threads ? threads : core_count() / 2,
               queue_limit ? queue_limit : PASSWORD_POOL_QUEUE_LIMIT,
               time_limit_ms ? time_limit_ms : PASSWORD_POOL_TIME_LIMIT_MS);
}
