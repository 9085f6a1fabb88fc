/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl status: is it there, does it take mail, how much has it done.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

static void print_counts(const json_t *counts)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)counts, key, value)
    {
        printf("%-20s %lld\n", key, (long long)json_integer_value(value));
    }
}

static void print_status(const json_t *status)
{
    const char *version = json_string_value(json_object_get(status, "version"));

    fputs("gatepostd ", stdout);
    ctl_print_safe(version ? version : "?");
    printf(", pid %lld, up ", (long long)json_integer_value(json_object_get(status, "pid")));
    ctl_print_duration(json_integer_value(json_object_get(status, "uptime_seconds")));
    puts(json_is_true(json_object_get(status, "takes_mail")) ? ", takes mail" : ", TAKES NO MAIL");
    print_counts(json_object_get(status, "counts"));
}

static int show(const char *endpoint, bool as_json)
{
    json_t *status;
    int code;

    if (ctl_ask(endpoint, "/api/gatepost/status/v1", NULL, false, &status, &code)) {
        code = json_is_true(json_object_get(status, "takes_mail")) ? CTL_OK : CTL_FAILED;
        (as_json ? ctl_print_json : print_status)(status);
    }
    json_decref(status);
    return code;
}

static int run(int argc, char **argv)
{
    const char *endpoint = NULL;
    bool as_json = false;
    const struct ctl_option options[] = {{"endpoint", .text = &endpoint}, {"json", .flag = &as_json}, {0}};
    int code = ctl_read_options(argc, argv, &ctl_status, options);

    if (code != CTL_GO_ON)
        return code;
    if (optind < argc) {
        ctl_complain("status takes no arguments");
        return CTL_USAGE;
    }
    return show(endpoint, as_json);
}

const struct ctl_command ctl_status = {
    .name = "status",
    .summary = "whether the daemon runs and takes mail, and its counts",
    .usage = "usage: gatectl status [--endpoint URL] [--json]\n\n"
             "Exit status: 0 when the daemon answers and takes mail, 1 when not, 2 for a wrong command line.\n",
    .run = run,
};
