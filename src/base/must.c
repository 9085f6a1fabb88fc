/* SPDX-License-Identifier: Apache-2.0
 *
 * The last words of a process that found its own state to be wrong.
 */
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void must_failed(const char *cond, const char *file, int line, const char *func)
{
    char text[512];
    int len = snprintf(text, sizeof text, "gatepost: BUG: MUST(%s) failed in %s at %s:%d\n", cond, func, file, line);

    if (len > 0)
        (void)!write(STDERR_FILENO, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
    abort();
}
