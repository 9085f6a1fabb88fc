/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl auth: what the gate remembers of a user or an address, and changing it. The test of a login is in
 * cmd_auth_test.c.
 */
#include "ctl/cmd_auth.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/mem.h"

enum { OPTION_FROM = 256, OPTION_LISTENER, OPTION_MECHANISM, OPTION_AUTHZID, OPTION_MAIL_FROM, OPTION_RUN_AS };

static const struct option options[] = {
    {"endpoint", required_argument, NULL, 'e'},
    {"json", no_argument, NULL, 'j'},
    {"for", required_argument, NULL, 'f'},
    {"sessions", no_argument, NULL, 's'},
    {"all", no_argument, NULL, 'a'},
    {"user", required_argument, NULL, 'u'},
    {"from", required_argument, NULL, OPTION_FROM},
    {"listener", required_argument, NULL, OPTION_LISTENER},
    {"mechanism", required_argument, NULL, OPTION_MECHANISM},
    {"authzid", required_argument, NULL, OPTION_AUTHZID},
    {"mail-from", required_argument, NULL, OPTION_MAIL_FROM},
    {"password-stdin", no_argument, NULL, 'p'},
    {"config", required_argument, NULL, 'c'},
    {"daemon", required_argument, NULL, 'd'},
    {"run-as", required_argument, NULL, OPTION_RUN_AS},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

bool auth_has_answer(const struct auth_words *words, const json_t *answer, long http, const struct error *error,
                     int *code_out)
{
    const char *refusal = ctl_error_of(answer);

    *code_out = CTL_FAILED;
    if (!answer) {
        ctl_complain("%s", error->sentence);
        return false;
    }
    if (http != 200) {
        ctl_complain("%s: %s", ctl_endpoint(words->endpoint), refusal ? refusal : "no answer");
        return false;
    }
    *code_out = CTL_OK;
    if (!words->as_json)
        return true;
    json_dumpf(answer, stdout, JSON_INDENT(2));
    putchar('\n');
    return false;
}

/* ---- show ---- */

static json_t *duration_text(json_int_t seconds)
{
    char text[64];

    if (seconds >= 86400)
        snprintf(text, sizeof text, "%lldd %lldh", (long long)(seconds / 86400), (long long)(seconds / 3600 % 24));
    else if (seconds >= 3600)
        snprintf(text, sizeof text, "%lldh %lldm", (long long)(seconds / 3600), (long long)(seconds / 60 % 60));
    else if (seconds >= 60)
        snprintf(text, sizeof text, "%lldm %llds", (long long)(seconds / 60), (long long)(seconds % 60));
    else
        snprintf(text, sizeof text, "%llds", (long long)seconds);
    return json_string(text);
}

static json_t *rows_of(const json_t *entries)
{
    json_t *rows = json_array(), *entry;
    size_t i;

    json_array_foreach(entries, i, entry)
    {
        json_t *row = json_object();
        double value = json_number_value(json_object_get(entry, "value"));

        json_object_set(row, "what", json_object_get(entry, "what"));
        json_object_set(row, "user", json_object_get(entry, "user"));
        json_object_set(row, "address", json_object_get(entry, "address"));
        json_object_set_new(row, "value", value > 0 ? json_integer((json_int_t)(value + 0.5)) : json_null());
        json_object_set_new(row, "left", duration_text(json_integer_value(json_object_get(entry, "left_seconds"))));
        json_array_append_new(rows, row);
    }
    return rows;
}

static void print_entries(const struct auth_words *words, const json_t *answer)
{
    json_t *rows = rows_of(json_object_get(answer, "entries"));

    if (json_array_size(rows)) {
        ctl_print_table(rows);
    } else if (words->who) {
        fputs("nothing is remembered of ", stdout);
        ctl_print_safe(words->who);
        putchar('\n');
    } else {
        puts("nobody is locked, held or blocked");
    }
    if (json_is_false(json_object_get(answer, "is_complete")))
        puts("(there is more)");
    if (json_is_true(json_object_get(answer, "is_local")))
        puts("(Redis does not answer: this is what this node counted by itself)");
    json_decref(rows);
}

static int show(const struct auth_words *words)
{
    char *who = words->who ? ctl_escape(words->who) : NULL;
    char *path = mem_printf("/api/gatepost/auth/show/v1%s%s", who ? "?who=" : "", who ? who : "");
    struct error error;
    long http = 0;
    json_t *answer = ctl_get(ctl_endpoint(words->endpoint), path, &http, &error);
    int code;

    if (auth_has_answer(words, answer, http, &error, &code))
        print_entries(words, answer);
    json_decref(answer);
    free(path);
    free(who);
    return code;
}

/* ---- unlock, block, purge ---- */

/* Takes `question`. NULL: there is nothing to say to people; *code_out. */
static json_t *order(const struct auth_words *words, const char *verb, json_t *question, int *code_out)
{
    char *path = mem_printf("/api/gatepost/auth/%s/v1", verb);
    struct error error;
    long http = 0;
    json_t *answer = ctl_post(ctl_endpoint(words->endpoint), path, question, &http, &error);

    if (!auth_has_answer(words, answer, http, &error, code_out)) {
        json_decref(answer);
        answer = NULL;
    }
    json_decref(question);
    free(path);
    return answer;
}

static long long number_of(const json_t *answer, const char *key)
{
    return (long long)json_integer_value(json_object_get(answer, key));
}

static json_t *text_of(const char *text)
{
    json_t *value = json_string(text);

    return value ? value : json_null(); /* not UTF-8: refused by the daemon */
}

static int unlock(const struct auth_words *words)
{
    int code;
    json_t *answer = order(words, "unlock", json_pack("{s:o}", "who", text_of(words->who)), &code);

    if (answer) {
        ctl_print_safe(words->who);
        printf(number_of(answer, "changed") ? " is unlocked\n" : " was not locked; nothing was counted either\n");
    }
    json_decref(answer);
    return code;
}

static int block(const struct auth_words *words)
{
    json_t *question = json_pack("{s:o}", "who", text_of(words->who)), *answer;
    uint64_t ms = 0;
    struct error error;
    int code;

    if (words->duration && (duration_parse(span_of(words->duration), &ms, &error) || ms < 1000)) {
        ctl_complain("--for '%s' is no duration of a second or more", words->duration);
        json_decref(question);
        return CTL_USAGE;
    }
    if (words->duration)
        json_object_set_new(question, "seconds", json_integer((json_int_t)(ms / 1000)));
    answer = order(words, "block", question, &code);
    if (answer) {
        ctl_print_safe(words->who);
        printf(" is blocked%s%s\n", words->duration ? " for " : " until it is unlocked",
               words->duration ? words->duration : "");
    }
    json_decref(answer);
    return code;
}

static int purge(const struct auth_words *words)
{
    json_t *question = words->is_all ? json_pack("{s:b}", "all", 1) : json_pack("{s:o}", "user", text_of(words->who));
    json_t *answer;
    int code;

    if (words->closes_sessions)
        json_object_set_new(question, "sessions", json_true());
    answer = order(words, "purge", question, &code);
    if (answer) {
        printf("%lld cached records are forgotten", number_of(answer, "records"));
        if (words->closes_sessions)
            printf(", %lld sessions are being closed", number_of(answer, "sessions"));
        putchar('\n');
    }
    json_decref(answer);
    return code;
}

/* ---- the command line ---- */

static bool take_option(struct auth_words *words, int option)
{
    switch (option) {
    case 'e':
        words->endpoint = optarg;
        return true;
    case 'j':
        words->as_json = true;
        return true;
    case 'f':
        words->duration = optarg;
        return true;
    case 's':
        words->closes_sessions = true;
        return true;
    case 'a':
        words->is_all = true;
        return true;
    case 'u':
        words->user = optarg;
        return true;
    case OPTION_FROM:
        words->from = optarg;
        return true;
    case OPTION_LISTENER:
        words->listener = optarg;
        return true;
    case OPTION_MECHANISM:
        words->mechanism = optarg;
        return true;
    case OPTION_AUTHZID:
        words->authzid = optarg;
        return true;
    case OPTION_MAIL_FROM:
        words->mail_from = optarg;
        return true;
    case 'p':
        words->reads_password = true;
        return true;
    case 'c':
        words->config = optarg;
        return true;
    case 'd':
        words->daemon = optarg;
        return true;
    case OPTION_RUN_AS:
        words->run_as = optarg;
        return true;
    default:
        return false;
    }
}

enum { WHO_NONE, WHO_MAY, WHO_MUST };

static const struct {
    const char *verb;
    int who;
    int (*run)(const struct auth_words *words);
} verbs[] = {
    {"show", WHO_MAY, show},    {"unlock", WHO_MUST, unlock},  {"block", WHO_MUST, block},
    {"purge", WHO_MUST, purge}, {"test", WHO_NONE, auth_test},
};

static int run_verb(struct auth_words *words, int count, char **rest)
{
    for (size_t i = 0; count && i < sizeof verbs / sizeof *verbs; i++) {
        int least = verbs[i].who == WHO_MUST && !words->is_all, most = verbs[i].who != WHO_NONE && !words->is_all;

        if (strcmp(verbs[i].verb, rest[0]) != 0)
            continue;
        if (words->is_all && verbs[i].run != purge) {
            ctl_complain("--all is for purge alone");
            return CTL_USAGE;
        }
        if (count - 1 < least || count - 1 > most) {
            ctl_complain("auth %s: %s", rest[0], count - 1 < least ? "of which user or address?" : "too many words");
            return CTL_USAGE;
        }
        words->who = count > 1 ? rest[1] : NULL;
        return verbs[i].run(words);
    }
    ctl_complain("what about logins? 'gatectl auth --help' lists it");
    return CTL_USAGE;
}

static int run(int argc, char **argv)
{
    struct auth_words words = {.endpoint = NULL};
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
        if (!take_option(&words, option))
            return ctl_other_option(option, &ctl_auth);
    return run_verb(&words, argc - optind, argv + optind);
}

const struct ctl_command ctl_auth = {
    .name = "auth",
    .summary = "show, unlock, block, purge, test: logins, and what is remembered about them",
    .usage = "usage: gatectl auth show [USER|ADDRESS]\n"
             "       gatectl auth unlock USER|ADDRESS\n"
             "       gatectl auth block USER|ADDRESS [--for DURATION]\n"
             "       gatectl auth purge USER|--all [--sessions]\n"
             "       gatectl auth test --user USER --from IP [--config FILE] [OPTIONS]\n\n"
             "  --endpoint URL   the daemon's HTTP listener\n"
             "  --json           the daemon's answer as it is\n"
             "  --for DURATION   how long to block (until unlocked)\n"
             "  --sessions       closes the user's sessions too\n\n"
             "of test:\n"
             "  --mechanism M      by which SASL mechanism (PLAIN)\n"
             "  --password-stdin   reads the password, or the token, and tries it too\n"
             "  --authzid USER     wants to act as this one\n"
             "  --listener IP:PORT where it connects to, of a running daemon\n"
             "  --mail-from ADDR   whether that may be the sender\n"
             "  --config FILE      no running daemon: the rules of a policy (.lua) or an auth.toml\n"
             "  --run-as USER      with --config: the user to become; needed as root\n"
             "  --daemon PATH      with --config: the gatepostd to run\n",
    .run = run,
};
