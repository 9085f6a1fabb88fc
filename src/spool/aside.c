/* SPDX-License-Identifier: Apache-2.0
 *
 * What a damaged segment holds was promised to somebody, and a person may still make something of
 * it. So its file is neither overwritten nor unlinked: it gets a name under which nobody here reads
 * or writes it again, and it is told of until somebody takes it away.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "spool/spool_private.h"

#define PREFIX "damaged-"

/* What was put aside before stays as it is. */
static char *free_name(const struct spool *spool, const char *name)
{
    char *aside = mem_printf(PREFIX "%s", name);

    for (unsigned i = 2; !faccessat(spool->directory, aside, F_OK, AT_SYMLINK_NOFOLLOW); i++) {
        free(aside);
        aside = mem_printf(PREFIX "%s.%u", name, i);
    }
    return aside;
}

int aside_put(struct spool *spool, const char *name, struct error *error)
{
    char *aside = free_name(spool, name);
    int status = 0;

    if (fault_point("spool.aside") || spool_io()->rename_at(spool->directory, name, aside)) {
        status = error_set_errno(error, ERROR_PERM, errno, "spool %s: cannot rename %s", spool->name, name);
    } else {
        diag(DIAG_ERROR, NULL,
             "spool %s: %s is damaged and kept as %s/%s, out of use; docs/operating.md says what to do with it",
             spool->name, name, spool->path, aside);
    }
    free(aside);
    return status;
}

uint64_t aside_count(const struct spool *spool)
{
    int copy = openat(spool->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *found;
    uint64_t count = 0;

    if (!directory) {
        if (copy >= 0)
            close(copy);
        return 0;
    }
    while ((found = readdir(directory)))
        count += !strncmp(found->d_name, PREFIX "segment-", strlen(PREFIX "segment-"));
    closedir(directory);
    return count;
}

void aside_tell(const struct spool *spool)
{
    uint64_t count = aside_count(spool);

    if (count)
        diag(DIAG_WARN, NULL,
             "spool %s: %llu damaged segments are kept as %s/" PREFIX
             "segment-*; docs/operating.md says what to do with "
             "them",
             spool->name, (unsigned long long)count, spool->path);
}
