/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl queue list: what waits, per scheduled queue and per ready queue.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/span.h"
#include "ctl/ctl.h"

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
    char *path = ctl_query("/api/gatepost/queues/v1", "limit", limit);
    json_t *answer;
    int code;

    if (ctl_ask(endpoint, path, NULL, as_json, &answer, &code))
        print_queues(answer);
    json_decref(answer);
    free(path);
    return code;
}

static int run(int argc, char **argv)
{
    const char *endpoint = NULL, *limit = NULL;
    bool as_json = false;
    const struct ctl_option options[] = {
        {"endpoint", .text = &endpoint}, {"limit", .text = &limit}, {"json", .flag = &as_json}, {0}};
    int code = ctl_read_options(argc, argv, &ctl_queue, options);
    uint64_t number;

    if (code != CTL_GO_ON)
        return code;
    if (argc - optind != 1 || strcmp(argv[optind], "list") != 0) {
        ctl_complain("the one thing to do with queues is 'gatectl queue list'");
        return CTL_USAGE;
    }
    if (limit && span_to_u64(span_of(limit), &number) < 0) {
        ctl_complain("--limit '%s' is not a number", limit);
        return CTL_USAGE;
    }
    return list(endpoint, limit, as_json);
}

const struct ctl_command ctl_queue = {
    .name = "queue",
    .summary = "list: what waits, and where",
    .usage = "usage: gatectl queue list [--endpoint URL] [--limit N] [--json]\n\n"
             "  --limit N  at most this many queues of each kind (100)\n",
    .run = run,
};
