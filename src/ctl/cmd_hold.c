/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl hold and gatectl release: one user's mail stays in the spool, or goes on. The two are one file because each
 * undoes the other.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/ctl.h"

struct words {
    const char *endpoint, *user;
    bool as_json;
};

static int read_words(int argc, char **argv, const struct ctl_command *command, struct words *words_out)
{
    const struct ctl_option options[] = {
        {"endpoint", .text = &words_out->endpoint}, {"json", .flag = &words_out->as_json}, {0}};
    int code = ctl_read_options(argc, argv, command, options);

    if (code == CTL_GO_ON && argc - optind > 1) {
        ctl_complain("one user at a time");
        return CTL_USAGE;
    }
    words_out->user = argv[optind]; /* NULL behind the last */
    return code;
}

static int list(const struct words *words)
{
    json_t *answer, *user;
    size_t i;
    int code;

    if (ctl_ask(words->endpoint, "/api/gatepost/held/v1", NULL, words->as_json, &answer, &code)) {
        const json_t *held = json_object_get(answer, "held");

        json_array_foreach(held, i, user)
        {
            ctl_print_safe(json_string_value(user));
            putchar('\n');
        }
        if (!json_array_size(held))
            puts("nobody's mail is held");
    }
    json_decref(answer);
    return code;
}

static int run_hold(int argc, char **argv)
{
    struct words words = {.user = NULL};
    json_t *question, *answer;
    int code = read_words(argc, argv, &ctl_hold, &words);

    if (code != CTL_GO_ON)
        return code;
    if (!words.user)
        return list(&words);
    question = json_pack("{s:s}", "user", words.user);
    if (ctl_ask(words.endpoint, "/api/gatepost/hold/v1", question, words.as_json, &answer, &code)) {
        fputs("mail of ", stdout);
        ctl_print_safe(words.user);
        puts(" is held until it is released");
    }
    json_decref(answer);
    json_decref(question);
    return code;
}

static int run_release(int argc, char **argv)
{
    struct words words = {.user = NULL};
    json_t *question, *answer;
    int code = read_words(argc, argv, &ctl_release, &words);

    if (code != CTL_GO_ON)
        return code;
    if (!words.user) {
        ctl_complain("whose mail? 'gatectl hold' lists what is held");
        return CTL_USAGE;
    }
    question = json_pack("{s:s}", "user", words.user);
    if (ctl_ask(words.endpoint, "/api/gatepost/release/v1", question, words.as_json, &answer, &code))
        printf("released; messages that had waited: %lld\n",
               (long long)json_integer_value(json_object_get(answer, "messages")));
    json_decref(answer);
    json_decref(question);
    return code;
}

const struct ctl_command ctl_hold = {
    .name = "hold",
    .summary = "keep one user's mail in the spool",
    .usage = "usage: gatectl hold [USER] [--json] [--endpoint URL]\n\n"
             "Mail that USER has sent and that has not left stays here, over restarts too, until 'gatectl release\n"
             "USER'. Its time goes on: what is too old when it is released expires. New mail is still taken; see\n"
             "'gatectl auth block' against that. Without USER: whose mail is held.\n",
    .run = run_hold,
};

const struct ctl_command ctl_release = {
    .name = "release",
    .summary = "let held mail go on",
    .usage = "usage: gatectl release USER [--json] [--endpoint URL]\n",
    .run = run_release,
};
