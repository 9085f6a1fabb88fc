/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl config check: the daemon itself is the judge, run with --validate. Its words and
 * its exit status are passed on.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/ctl.h"

static const struct option options[] = {
    {"daemon", required_argument, NULL, 'd'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* The one installed beside this program, else whatever PATH has. The caller frees it. */
static char *find_daemon(void)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash, *beside;

    if (len > 0) {
        self[len] = '\0';
        slash = strrchr(self, '/');
        if (slash)
            *slash = '\0';
        beside = mem_printf("%s/gatepostd", self);
        if (access(beside, X_OK) == 0)
            return beside;
        free(beside);
        beside = mem_printf("%s/../sbin/gatepostd", self);
        if (access(beside, X_OK) == 0)
            return beside;
        free(beside);
    }
    return mem_strdup("gatepostd");
}

static int wait_for(pid_t child)
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

static int check(const char *daemon, const char *file)
{
    pid_t child = fork();

    if (child < 0) {
        ctl_complain("fork: %s", strerror(errno));
        return CTL_FAILED;
    }
    if (child == 0) {
        execlp(daemon, "gatepostd", "--validate", "--policy", file, (char *)NULL);
        ctl_complain("%s: %s", daemon, strerror(errno));
        _exit(127);
    }
    return wait_for(child);
}

static int run(int argc, char **argv)
{
    char *daemon = NULL;
    int option, result;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option != 'd') {
            free(daemon);
            return ctl_other_option(option, &ctl_config);
        }
        free(daemon);
        daemon = mem_strdup(optarg);
    }
    if (argc - optind != 2 || strcmp(argv[optind], "check") != 0) {
        ctl_complain("usage: gatectl config check FILE");
        free(daemon);
        return CTL_USAGE;
    }
    if (!daemon)
        daemon = find_daemon();
    result = check(daemon, argv[optind + 1]);
    free(daemon);
    return result;
}

const struct ctl_command ctl_config = {
    .name = "config",
    .summary = "check FILE: whether a policy would be accepted",
    .usage = "usage: gatectl config check [--daemon PATH] FILE\n\n"
             "Runs 'gatepostd --validate --policy FILE' and ends with its exit status.\n\n"
             "  --daemon PATH  the gatepostd to ask (the one beside gatectl, else from PATH)\n",
    .run = run,
};
