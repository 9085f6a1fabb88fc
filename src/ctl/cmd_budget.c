/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl budget show: what a user has used up.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

/* Whole numbers but for shares. */
static json_t *amount(const json_t *value)
{
    char text[64];

    snprintf(text, sizeof text, "%.10g", (double)(long long)(json_number_value(value) * 100 + 0.5) / 100);
    return json_string(text);
}

static void print_limits(const json_t *answer)
{
    json_t *rows = json_array(), *limit;
    size_t i;

    json_array_foreach(json_object_get(answer, "limits"), i, limit)
    {
        json_t *row = json_object();

        json_object_set(row, "limit", json_object_get(limit, "limit"));
        json_object_set_new(row, "used", amount(json_object_get(limit, "used")));
        json_object_set_new(row, "of", amount(json_object_get(limit, "most")));
        json_object_set(row, "budget", json_object_get(limit, "budget"));
        json_object_set(row, "whose", json_object_get(limit, "whose"));
        json_array_append_new(rows, row);
    }
    if (json_array_size(rows))
        ctl_print_table(rows);
    else
        puts("no limit applies");
    ctl_tell_local(answer);
    json_decref(rows);
}

static int show(const char *endpoint, const char *user, bool as_json)
{
    char *path = ctl_query("/api/gatepost/budget/v1", "who", user);
    json_t *answer;
    int code;

    if (ctl_ask(endpoint, path, NULL, as_json, &answer, &code))
        print_limits(answer);
    json_decref(answer);
    free(path);
    return code;
}

static int run(int argc, char **argv)
{
    const char *endpoint = NULL;
    bool as_json = false;
    const struct ctl_option options[] = {{"endpoint", .text = &endpoint}, {"json", .flag = &as_json}, {0}};
    int code = ctl_read_options(argc, argv, &ctl_budget, options);

    if (code != CTL_GO_ON)
        return code;
    if (argc - optind != 2 || strcmp(argv[optind], "show") != 0) {
        ctl_complain("the one thing to do with budgets is 'gatectl budget show USER'");
        return CTL_USAGE;
    }
    return show(endpoint, argv[optind + 1], as_json);
}

const struct ctl_command ctl_budget = {
    .name = "budget",
    .summary = "show: what a user may send, and has sent",
    .usage = "usage: gatectl budget show USER [--json] [--endpoint URL]\n\n"
             "All limits that would apply to USER now, by the record that the stores have, and what is used up of\n"
             "them. A limit that only a policy's handler gives a user is not shown.\n",
    .run = run,
};
