/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into the daemon: the n-th allocation of any of its threads or libraries is refused.
 * glibc's own names for the real ones are used, since dlsym would allocate.
 */
#include <errno.h>
#include <stdlib.h>

#include "control.h"

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *ptr, size_t bytes);

static bool refused(void)
{
    struct fault_control *control = fault_control();

    if (!control || !fault_fires(&control->allocations))
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes) { return refused() ? NULL : __libc_malloc(bytes); }

void *calloc(size_t count, size_t bytes) { return refused() ? NULL : __libc_calloc(count, bytes); }

void *realloc(void *ptr, size_t bytes) { return refused() ? NULL : __libc_realloc(ptr, bytes); }
