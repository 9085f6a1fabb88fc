/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon as a program to run, for questions that it answers without being up.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/ctl.h"

char *ctl_find_daemon(void)
{
    static const char *const places[] = {"gatepostd", "../sbin/gatepostd", "../gatepostd"};
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = len > 0 ? memrchr(self, '/', (size_t)len) : NULL;

    for (size_t i = 0; slash && i < sizeof places / sizeof *places; i++) {
        char *path = mem_printf("%.*s/%s", (int)(slash - self), self, places[i]);
        struct stat st;

        if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
            return path;
        free(path);
    }
    return mem_strdup("gatepostd");
}

int ctl_wait_for(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return CTL_FAILED;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    ctl_complain("gatepostd was ended by signal %d", WTERMSIG(status));
    return CTL_FAILED;
}
