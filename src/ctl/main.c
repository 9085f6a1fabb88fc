/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl's first word decides what it does: one row per sub-command.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

static const struct ctl_command *const commands[] = {&ctl_status, &ctl_queue, &ctl_logs, &ctl_config};

static void print_help(void)
{
    puts("usage: gatectl COMMAND [OPTIONS]\n\ncommands:");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        printf("  %-8s %s\n", commands[i]->name, commands[i]->summary);
    puts("\n'gatectl COMMAND --help' tells the options of a command.\n"
         "  --help     this text\n"
         "  --version  the version\n\n"
         "environment:\n"
         "  GATEPOST_ENDPOINT  the daemon's HTTP listener (default http://127.0.0.1:8000)");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;

    if (!name) {
        ctl_complain("which command? 'gatectl --help' lists them");
        return CTL_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help();
        return CTL_OK;
    }
    if (strcmp(name, "--version") == 0) {
        puts("gatectl " GATEPOST_VERSION);
        return CTL_OK;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i]->run(argc - 1, argv + 1);
    ctl_complain("there is no command '%s'; 'gatectl --help' lists them", name);
    return CTL_USAGE;
}
