/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl queue list: what waits, per scheduled queue and per ready queue.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/span.h"
#include "ctl/ctl.h"

static const struct option options[] = {
    {"endpoint", required_argument, NULL, 'e'},
    {"limit", required_argument, NULL, 'l'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_queues(const json_t *answer)
{
    const char *kind;
    json_t *rows;
    bool first = true;

    json_object_foreach((json_t *)(uintptr_t)answer, kind, rows)
    {
        if (!json_is_array(rows))
            continue;
        printf("%s%s queues: %zu\n", first ? "" : "\n", kind, json_array_size(rows));
        if (json_array_size(rows) > 0)
            ctl_print_table(rows);
        first = false;
    }
}

static int list(const char *endpoint, const char *limit, bool as_json)
{
    char *path = mem_printf("/api/gatepost/queues/v1%s%s", limit ? "?limit=" : "", limit ? limit : "");
    struct error error;
    long http = 0;
    json_t *answer = ctl_get(endpoint, path, &http, &error);

    free(path);
    if (!answer) {
        ctl_complain("%s", error.sentence);
        return CTL_FAILED;
    }
    if (http != 200) {
        ctl_complain("%s: %s", endpoint, ctl_error_of(answer) ? ctl_error_of(answer) : "no queues");
    } else if (as_json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_queues(answer);
    }
    json_decref(answer);
    return http == 200 ? CTL_OK : CTL_FAILED;
}

static int run(int argc, char **argv)
{
    const char *endpoint = NULL, *limit = NULL;
    bool as_json = false;
    uint64_t number;
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'e')
            endpoint = optarg;
        else if (option == 'l')
            limit = optarg;
        else if (option == 'j')
            as_json = true;
        else
            return ctl_other_option(option, &ctl_queue);
    }
    if (argc - optind != 1 || strcmp(argv[optind], "list") != 0) {
        ctl_complain("the one thing to do with queues is 'gatectl queue list'");
        return CTL_USAGE;
    }
    if (limit && span_to_u64(span_of(limit), &number) < 0) {
        ctl_complain("--limit '%s' is not a number", limit);
        return CTL_USAGE;
    }
    return list(ctl_endpoint(endpoint), limit, as_json);
}

const struct ctl_command ctl_queue = {
    .name = "queue",
    .summary = "list: what waits, and where",
    .usage = "usage: gatectl queue list [--endpoint URL] [--limit N] [--json]\n\n"
             "  --limit N  at most this many queues of each kind (100)\n",
    .run = run,
};
