/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl's first word decides what it does: one row per sub-command.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

static const struct ctl_command *const commands[] = {&ctl_status, &ctl_queue,  &ctl_logs,     &ctl_config,
                                                     &ctl_passwd, &ctl_auth,   &ctl_sessions, &ctl_budget,
                                                     &ctl_hold,   &ctl_release};

static const struct option options[] = {
    {"endpoint", required_argument, NULL, 'e'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    puts("usage: gatectl [--endpoint URL] COMMAND [OPTIONS]\n\ncommands:");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        printf("  %-8s %s\n", commands[i]->name, commands[i]->summary);
    puts("\n'gatectl COMMAND --help' tells the options of a command.\n"
         "  --endpoint URL  the daemon's HTTP listener; may stand behind the command too\n"
         "  --help          this text\n"
         "  --version       the version\n\n"
         "environment:\n"
         "  GATEPOST_ENDPOINT  the daemon's HTTP listener (default http://127.0.0.1:8000)");
}

static int run_command(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i]->name, argv[0]) == 0) {
            optind = 0; /* the command reads its own options from the start */
            return commands[i]->run(argc, argv);
        }
    }
    ctl_complain("there is no command '%s'; 'gatectl --help' lists them", argv[0]);
    return CTL_USAGE;
}

int main(int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
        switch (option) {
        case 'e': /* an option behind the command goes before the environment */
            setenv("GATEPOST_ENDPOINT", optarg, 1);
            break;
        case 'h':
            print_help();
            return CTL_OK;
        case 'v':
            puts("gatectl " GATEPOST_VERSION);
            return CTL_OK;
        default:
            fputs("'gatectl --help' tells the options\n", stderr);
            return CTL_USAGE;
        }
    }
    if (optind == argc) {
        ctl_complain("which command? 'gatectl --help' lists them");
        return CTL_USAGE;
    }
    return run_command(argc - optind, argv + optind);
}
