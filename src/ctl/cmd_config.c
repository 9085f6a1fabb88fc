/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl config check: the daemon itself is the judge, run with --validate. Its words and
 * its exit status are passed on.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/ctl.h"

static const struct option options[] = {
    {"daemon", required_argument, NULL, 'd'},
    {"user", required_argument, NULL, 'u'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

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
    return ctl_wait_for(child);
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
            question.daemon = ctl_find_daemon();
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
