/* SPDX-License-Identifier: Apache-2.0
 *
 * Maps the control file before the daemon's main runs.
 */
#include "control.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct fault_control *mapped;

__attribute__((constructor)) static void map(void)
{
    const char *path = getenv("GATEPOST_FAULT_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at = MAP_FAILED;

    if (fd >= 0) {
        at = mmap(NULL, sizeof *mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
    }
    if (at != MAP_FAILED)
        mapped = at;
}

struct fault_control *fault_control(void) { return mapped; }

bool fault_fires(struct fault_slot *slot)
{
    uint64_t number = atomic_fetch_add(&slot->seen, 1) + 1;
    uint64_t first = atomic_load(&slot->first);

    if (first == 0 || number < first || number > atomic_load(&slot->last))
        return false;
    atomic_fetch_add(&slot->fired, 1);
    return true;
}
