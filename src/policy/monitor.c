/* SPDX-License-Identifier: Apache-2.0
 *
 * See monitor.h. Looking is polling: it works on every filesystem, needs no descriptors,
 * and sees an editor's rename as well as a symbolic link that now points elsewhere. The
 * state of all files is one number, the sum of a hash per file, so that nothing is kept.
 */
#include "policy/monitor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "log/diag.h"
#include "policy/policy_private.h"

struct policy_monitor {
    struct policy *policy;
    uint64_t interval_ms;
    struct timer timer;
    uint64_t seen;
    bool complained;
};

/* ---- the globs ---- */

void monitor_forget_globs(struct policy *policy)
{
    for (size_t i = 0; i < policy->glob_count; i++)
        free(policy->globs[i]);
    free(policy->globs);
    policy->globs = NULL;
    policy->glob_count = 0;
}

void monitor_forget_files(struct policy *policy)
{
    for (size_t i = 0; i < policy->watched_count; i++)
        free(policy->watched[i]);
    free(policy->watched);
}

/* A file as it is now, into a sum of all. */
static void add_file(void *ctx, const char *path)
{
    uint64_t *sum = ctx;
    struct stat st;
    struct buf key;

    if (stat(path, &st) != 0)
        return;
    buf_init(&key, 8192);
    if (buf_appendf(&key, "%lld.%09ld %lld %llu %s", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                    (long long)st.st_size, (unsigned long long)st.st_ino, path) == 0)
        *sum += map_hash(buf_span(&key));
    buf_done(&key);
}

static bool is_watched(const struct policy *policy, const char *path)
{
    for (size_t i = 0; i < policy->watched_count; i++)
        if (!strcmp(policy->watched[i], path))
            return true;
    return false;
}

void policy_watch_file(struct policy *policy, const char *path)
{
    pthread_mutex_lock(&policy->lock);
    if (!is_watched(policy, path)) {
        policy->watched = mem_realloc(policy->watched, (policy->watched_count + 1) * sizeof *policy->watched);
        policy->watched[policy->watched_count++] = mem_strdup(path);
        add_file(&policy->begun, path);
    }
    pthread_mutex_unlock(&policy->lock);
}

void policy_set_monitor_globs(struct policy *policy, const char *const *globs, size_t count)
{
    pthread_mutex_lock(&policy->lock);
    monitor_forget_globs(policy);
    policy->globs = mem_zalloc(count * sizeof *policy->globs);
    for (size_t i = 0; i < count; i++)
        policy->globs[i] = mem_strdup(globs[i]);
    policy->glob_count = count;
    pthread_mutex_unlock(&policy->lock);
}

static char *default_glob(const struct policy *policy)
{
    const char *slash = policy->path ? strrchr(policy->path, '/') : NULL;

    if (!policy->path)
        return NULL;
    return mem_printf("%.*s**/*.{lua,json,toml,yaml}", slash ? (int)(slash + 1 - policy->path) : 0, policy->path);
}

static int eval_default(struct policy *policy, glob_file_fn *on_file, void *ctx, struct error *error)
{
    char *glob = default_glob(policy);
    int status = glob ? glob_walk(glob, on_file, ctx, error) : 0;

    free(glob);
    return status;
}

/* Under the lock. */
static int eval(struct policy *policy, glob_file_fn *on_file, void *ctx, struct error *error)
{
    int status = 0;

    if (!policy->globs)
        status = eval_default(policy, on_file, ctx, error);
    for (size_t i = 0; i < policy->glob_count && status == 0; i++)
        status = glob_walk(policy->globs[i], on_file, ctx, error);
    for (size_t i = 0; i < policy->watched_count && status == 0; i++)
        on_file(ctx, policy->watched[i]);
    return status;
}

int policy_eval_monitor_globs(struct policy *policy, glob_file_fn *on_file, void *ctx, struct error *error)
{
    int status;

    pthread_mutex_lock(&policy->lock);
    status = eval(policy, on_file, ctx, error);
    pthread_mutex_unlock(&policy->lock);
    return status;
}

/* ---- looking ---- */

static void complain(struct policy_monitor *monitor, const struct error *error)
{
    if (!monitor->complained)
        diag(DIAG_ERROR, NULL, "configuration files are not watched: %s", error->sentence);
    monitor->complained = true;
}

/* That a file is watched from now on is no change of it: what it was then counts as seen. */
static bool look(struct policy_monitor *monitor, uint64_t *sum_out)
{
    struct policy *policy = monitor->policy;
    struct error error = {0};
    int status;

    *sum_out = 0;
    pthread_mutex_lock(&policy->lock);
    monitor->seen += policy->begun;
    policy->begun = 0;
    status = eval(policy, add_file, sum_out, &error);
    pthread_mutex_unlock(&policy->lock);
    if (status < 0) {
        complain(monitor, &error);
        return false;
    }
    monitor->complained = false;
    return true;
}

static void on_due(void *ctx)
{
    struct policy_monitor *monitor = ctx;
    uint64_t sum;

    if (look(monitor, &sum) && sum != monitor->seen) {
        monitor->seen = sum;
        policy_bump_epoch(monitor->policy);
        diag(DIAG_INFO, NULL, "a configuration file has changed: loading the policy afresh");
    }
    timer_start(&monitor->timer, monitor->interval_ms);
}

struct policy_monitor *policy_monitor_new(struct policy *policy, struct loop *loop, uint64_t interval_ms)
{
    struct policy_monitor *monitor = mem_zalloc(sizeof *monitor);
    uint64_t sum;

    monitor->policy = policy;
    monitor->interval_ms = interval_ms;
    timer_init(&monitor->timer, loop, on_due, monitor);
    look(monitor, &sum);
    monitor->seen = sum;
    timer_start(&monitor->timer, interval_ms);
    return monitor;
}

void policy_monitor_free(struct policy_monitor *monitor)
{
    if (!monitor)
        return;
    timer_stop(&monitor->timer);
    free(monitor);
}
