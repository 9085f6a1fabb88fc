/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl status: is it there, does it take mail, how much has it done.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

static const struct option options[] = {
    {"endpoint", required_argument, NULL, 'e'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

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
    struct error error;
    long http = 0;
    json_t *status = ctl_get(endpoint, "/api/gatepost/status/v1", &http, &error);
    int result = CTL_FAILED;

    if (!status) {
        ctl_complain("%s", error.sentence);
        return CTL_FAILED;
    }
    if (http != 200) {
        ctl_complain("%s: %s", endpoint, ctl_error_of(status) ? ctl_error_of(status) : "no status");
    } else {
        result = json_is_true(json_object_get(status, "takes_mail")) ? CTL_OK : CTL_FAILED;
        if (as_json) {
            json_dumpf(status, stdout, JSON_INDENT(2));
            putchar('\n');
        } else {
            print_status(status);
        }
    }
    json_decref(status);
    return result;
}

static int run(int argc, char **argv)
{
    const char *endpoint = NULL;
    bool as_json = false;
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'e')
            endpoint = optarg;
        else if (option == 'j')
            as_json = true;
        else
            return ctl_other_option(option, &ctl_status);
    }
    if (optind < argc) {
        ctl_complain("status takes no arguments");
        return CTL_USAGE;
    }
    return show(ctl_endpoint(endpoint), as_json);
}

const struct ctl_command ctl_status = {
    .name = "status",
    .summary = "whether the daemon runs and takes mail, and its counts",
    .usage = "usage: gatectl status [--endpoint URL] [--json]\n\n"
             "Exit status: 0 when the daemon answers and takes mail, 1 when not, 2 for a wrong command line.\n",
    .run = run,
};
