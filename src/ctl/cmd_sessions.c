/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl sessions: who is logged in, and out with them.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

static int list(const char *endpoint, const char *user, bool as_json)
{
    char *path = ctl_query("/api/gatepost/sessions/v1", "who", user);
    json_t *answer;
    int code;

    if (ctl_ask(endpoint, path, NULL, as_json, &answer, &code)) {
        const json_t *rows = json_object_get(answer, "sessions");

        if (json_array_size(rows))
            ctl_print_table(rows);
        else
            puts("nobody is logged in");
    }
    json_decref(answer);
    free(path);
    return code;
}

static int close_them(const char *endpoint, const char *user, const char *id, bool as_json)
{
    json_t *question = json_pack("{s:s*, s:s*}", "user", user, "id", id), *answer;
    int code;

    if (ctl_ask(endpoint, "/api/gatepost/sessions/close/v1", question, as_json, &answer, &code))
        printf("%lld closed\n", (long long)json_integer_value(json_object_get(answer, "closed")));
    json_decref(answer);
    json_decref(question);
    return code;
}

static int run(int argc, char **argv)
{
    const char *endpoint = NULL, *user = NULL, *id = NULL, *verb;
    bool as_json = false;
    const struct ctl_option options[] = {
        {"endpoint", .text = &endpoint}, {"user", .text = &user}, {"id", .text = &id}, {"json", .flag = &as_json}, {0}};
    int code = ctl_read_options(argc, argv, &ctl_sessions, options);

    if (code != CTL_GO_ON)
        return code;
    verb = argc - optind == 1 ? argv[optind] : "";
    if (strcmp(verb, "list") == 0 && !id)
        return list(endpoint, user, as_json);
    if (strcmp(verb, "close") == 0 && (user || id))
        return close_them(endpoint, user, id, as_json);
    ctl_complain("'sessions list [--user USER]', or 'sessions close' with --user USER or --id ID");
    return CTL_USAGE;
}

const struct ctl_command ctl_sessions = {
    .name = "sessions",
    .summary = "list, close: who is logged in just now",
    .usage = "usage: gatectl sessions list [--user USER] [--json]\n"
             "       gatectl sessions close --user USER | --id ID\n\n"
             "  --user USER     the sessions logged in as USER, or acting as USER\n"
             "  --id ID         one session, by the id that list shows\n"
             "  --endpoint URL  the daemon's HTTP listener\n\n"
             "A closed session is told 421; a message that it was sending is not taken.\n",
    .run = run,
};
