/* SPDX-License-Identifier: Apache-2.0
 *
 * Watches the operator's files: when one of those that the globs name appears, changes or
 * goes away, the configuration epoch is bumped. Started by main on its loop, after `init`.
 */
#ifndef GATEPOST_POLICY_MONITOR_H
#define GATEPOST_POLICY_MONITOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/loop.h"
#include "policy/glob.h"
#include "policy/policy.h"

#define POLICY_MONITOR_INTERVAL_MS 5000

struct policy_monitor;

/* Looks at once, for what is there, and then every `interval_ms`. */
struct policy_monitor *policy_monitor_new(struct policy *policy, struct loop *loop, uint64_t interval_ms);
void policy_monitor_free(struct policy_monitor *monitor); /* NULL is fine */

/* From any thread; copies. Unless it is called the Lua, JSON, TOML and YAML files in and
 * below the policy's own folder are watched. */
void policy_set_monitor_globs(struct policy *policy, const char *const *globs, size_t count);

/* Watched besides, whatever the globs say: a file that a module read for the policy. From any thread; copies. */
void policy_watch_file(struct policy *policy, const char *path);

/* Tells each file that the globs match now, some perhaps twice. -1: a glob is broken. */
int policy_eval_monitor_globs(struct policy *policy, glob_file_fn *on_file, void *ctx, struct error *error)
    __attribute__((warn_unused_result));

#endif
