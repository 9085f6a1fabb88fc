/* SPDX-License-Identifier: Apache-2.0
 *
 * The last words of a process that found its own state to be wrong.
 */
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Thread_local must_describe_fn *describe_fn;
static _Thread_local void *describe_ctx;

must_describe_fn *must_describe(must_describe_fn *fn, void **ctx)
{
    must_describe_fn *former = describe_fn;
    void *former_ctx = describe_ctx;

    describe_fn = fn;
    describe_ctx = *ctx;
    *ctx = former_ctx;
    return former;
}

_Noreturn void must_failed(const char *cond, const char *file, int line, const char *func)
{
    char text[512];
    int len = snprintf(text, sizeof text, "gatepost: BUG: MUST(%s) failed in %s at %s:%d\n", cond, func, file, line);

    if (len > 0 && write(STDERR_FILENO, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1) < 0)
        abort();
    if (describe_fn)
        describe_fn(describe_ctx, STDERR_FILENO);
    abort();
}
