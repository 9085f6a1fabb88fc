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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/ctl.h"

static const struct option options[] = {
    {"daemon", required_argument, NULL, 'd'},
    {"user", required_argument, NULL, 'u'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* The one installed or built with this program, else whatever PATH has. The caller frees it. */
static char *find_daemon(void)
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

struct question {
    char *daemon;     /* the program to ask */
    const char *user; /* to become first, or NULL */
    const char *file;
};

static void become_daemon(const struct question *question)
{
    const char *args[] = {"gatepostd", "--validate", "--policy", question->file, NULL, NULL, NULL};

    if (question->user) {
        args[4] = "--user";
        args[5] = question->user;
    }
    execvp(question->daemon, (char *const *)args);
    ctl_complain("%s: %s", question->daemon, strerror(errno));
}

static int check(const struct question *question)
{
    pid_t child;

    /* checking a policy runs its handlers, and those never run as root */
    if (geteuid() == 0 && !question->user) {
        ctl_complain("config check runs the policy, which is not done as root: say as whom with --user NAME "
                     "(best the user that gatepostd runs as)");
        return CTL_USAGE;
    }
    child = fork();
    if (child < 0) {
        ctl_complain("fork: %s", strerror(errno));
        return CTL_FAILED;
    }
    if (child == 0) {
        become_daemon(question);
        _exit(127);
    }
    return wait_for(child);
}

/* 0, or -1 with the exit code to end with. */
static int take_arguments(int argc, char **argv, struct question *question, int *code_out)
{
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'd') {
            free(question->daemon);
            question->daemon = mem_strdup(optarg);
        } else if (option == 'u') {
            question->user = optarg;
        } else {
            *code_out = ctl_other_option(option, &ctl_config);
            return -1;
        }
    }
    if (argc - optind != 2 || strcmp(argv[optind], "check") != 0) {
        ctl_complain("usage: gatectl config check FILE");
        *code_out = CTL_USAGE;
        return -1;
    }
    question->file = argv[optind + 1];
    return 0;
}

static int run(int argc, char **argv)
{
    struct question question = {.daemon = NULL};
    int result;

    if (take_arguments(argc, argv, &question, &result) == 0) {
        if (!question.daemon)
            question.daemon = find_daemon();
        result = check(&question);
    }
    free(question.daemon);
    return result;
}

const struct ctl_command ctl_config = {
    .name = "config",
    .summary = "check FILE: whether a policy would be accepted",
    .usage = "usage: gatectl config check [--user NAME] [--daemon PATH] FILE\n\n"
             "Runs 'gatepostd --validate --policy FILE' and ends with its exit status.\n\n"
             "  --user NAME    the user to run the policy as; needed as root\n"
             "  --daemon PATH  the gatepostd to ask (the one beside gatectl, else from PATH)\n",
    .run = run,
};
