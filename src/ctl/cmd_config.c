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

#include "ctl/ctl.h"

struct question {
    const char *daemon; /* the program to ask */
    const char *user;   /* to become first, or NULL */
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

static int run(int argc, char **argv)
{
    struct question question = {.daemon = NULL};
    const struct ctl_option options[] = {
        {"daemon", .text = &question.daemon, .is_path = true}, {"user", .text = &question.user}, {0}};
    int code = ctl_read_options(argc, argv, &ctl_config, options);
    char *found;

    if (code != CTL_GO_ON)
        return code;
    if (argc - optind != 2 || strcmp(argv[optind], "check") != 0) {
        ctl_complain("usage: gatectl config check FILE");
        return CTL_USAGE;
    }
    question.file = argv[optind + 1];
    found = question.daemon ? NULL : ctl_find_daemon();
    question.daemon = found ? found : question.daemon;
    code = check(&question);
    free(found);
    return code;
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
