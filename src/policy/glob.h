/* SPDX-License-Identifier: Apache-2.0
 *
 * Files by pattern: `*`, `?` and `[...]` within a name, `{a,b}` for either, and a whole
 * component `**` for any number of folders, none included. Names that begin with a dot must
 * be asked for by that dot.
 */
#ifndef GATEPOST_POLICY_GLOB_H
#define GATEPOST_POLICY_GLOB_H

#include "base/error.h"

typedef void glob_file_fn(void *ctx, const char *path);

/* Calls on_file for each regular file; a file that two branches match is told twice. What
 * cannot be read is left out. -1 when the pattern is broken, or matches without end. */
int glob_walk(const char *pattern, glob_file_fn *on_file, void *ctx, struct error *error)
    __attribute__((warn_unused_result));

#endif
