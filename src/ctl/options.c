/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of a sub-command: a table says which options there are and where their values go.
 */
#include <getopt.h>

#include "base/must.h"
#include "base/span.h"
#include "ctl/ctl.h"

#define OPTIONS_MOST 20

/* What goes into a question has to be text; of a path the file system is the judge. */
static bool is_text(const char *word)
{
    if (span_is_utf8(span_of(word)))
        return true;
    ctl_complain("a word of the command line is not UTF-8");
    return false;
}

static bool are_text(int count, char **words)
{
    for (int i = 0; i < count; i++)
        if (!is_text(words[i]))
            return false;
    return true;
}

static void take(const struct ctl_option *option)
{
    if (option->flag)
        *option->flag = true;
    else
        *option->text = optarg;
}

/* The rows as getopt wants them, and --help. A row's `val` is its number. */
static size_t write_rows(const struct ctl_option *options, struct option rows[OPTIONS_MOST + 2])
{
    size_t count = 0;

    for (; options[count].name; count++) {
        MUST(count < OPTIONS_MOST);
        rows[count] = (struct option){options[count].name, options[count].flag ? no_argument : required_argument, NULL,
                                      (int)count};
    }
    rows[count] = (struct option){"help", no_argument, NULL, 'h'};
    rows[count + 1] = (struct option){0};
    return count;
}

int ctl_read_options(int argc, char **argv, const struct ctl_command *command, const struct ctl_option *options)
{
    struct option rows[OPTIONS_MOST + 2];
    size_t count = write_rows(options, rows);
    int option;

    while ((option = getopt_long(argc, argv, "h", rows, NULL)) != -1) {
        if ((size_t)option >= count)
            return ctl_other_option(option, command);
        take(&options[option]);
        if (!options[option].flag && !options[option].is_path && !is_text(optarg))
            return CTL_USAGE;
    }
    return are_text(argc - optind, argv + optind) ? CTL_GO_ON : CTL_USAGE;
}
