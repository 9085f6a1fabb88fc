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

/* ---- show ---- */

/* A block without --for ends some day all the same, years from now. */
static bool is_for_good(const json_t *entry, json_int_t seconds)
{
    const char *what = json_string_value(json_object_get(entry, "what"));

    return what && (!strcmp(what, "held") || !strcmp(what, "blocked")) && seconds > AUTH_BLOCK_MOST_S;
}

static json_t *left_text(const json_t *entry)
{
    json_int_t seconds = json_integer_value(json_object_get(entry, "left_seconds"));
    char text[64];

    if (is_for_good(entry, seconds))
        return json_string("until unlocked");
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
        json_object_set_new(row, "left", left_text(entry));
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
    ctl_tell_local(answer);
    json_decref(rows);
}

static int show(const struct auth_words *words)
{
    char *path = ctl_query("/api/gatepost/auth/show/v1", "who", words->who);
    json_t *answer;
    int code;

    if (ctl_ask(words->endpoint, path, NULL, words->as_json, &answer, &code))
        print_entries(words, answer);
    json_decref(answer);
    free(path);
    return code;
}

/* ---- unlock, block, purge ---- */

/* Takes `question`. NULL: there is nothing to say to people; *code_out. */
static json_t *order(const struct auth_words *words, const char *verb, json_t *question, int *code_out)
{
    char *path = mem_printf("/api/gatepost/auth/%s/v1", verb);
    json_t *answer;

    if (!ctl_ask(words->endpoint, path, question, words->as_json, &answer, code_out)) {
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

/* What may be left of a lock; NULL: nothing. */
static const char *left_over(const json_t *answer)
{
    if (json_is_true(json_object_get(answer, "is_local")))
        return "Redis does not answer: this node alone has forgotten it; do it again when Redis is back";
    if (json_is_false(json_object_get(answer, "is_complete")))
        return "not all that is kept was looked through in time, so locks of a user at an address may be left: "
               "'gatectl auth show' tells; do it again when Redis is less busy";
    return NULL;
}

static int unlock(const struct auth_words *words)
{
    json_t *question = json_pack("{s:s}", "who", words->who), *answer;
    const char *left;
    int code;

    if (ctl_ask(words->endpoint, "/api/gatepost/auth/unlock/v1", question, words->as_json, &answer, &code)) {
        ctl_print_safe(words->who);
        printf(number_of(answer, "changed") ? " is unlocked\n" : " was not locked; nothing was counted either\n");
    }
    left = code == CTL_OK ? left_over(answer) : NULL;
    if (left) {
        ctl_complain("%s", left);
        code = CTL_FAILED;
    }
    json_decref(answer);
    json_decref(question);
    return code;
}

static int block(const struct auth_words *words)
{
    json_t *question = json_pack("{s:s}", "who", words->who), *answer;
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
    json_t *question = words->is_all ? json_pack("{s:b}", "all", 1) : json_pack("{s:s}", "user", words->who);
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

enum { WHO_NONE, WHO_MAY, WHO_MUST };

static const struct {
    const char *verb;
    int who;
    int (*run)(const struct auth_words *words);
} verbs[] = {
    {"show", WHO_MAY, show},    {"unlock", WHO_MUST, unlock},  {"block", WHO_MUST, block},
    {"purge", WHO_MUST, purge}, {"test", WHO_NONE, auth_test},
};

/* An option that would change nothing is a mistake, and perhaps one that matters. */
static const char *option_of_others(const struct auth_words *words, int (*verb)(const struct auth_words *words))
{
    if (words->is_all && verb != purge)
        return "--all is for purge alone";
    if (words->closes_sessions && verb != purge)
        return "--sessions is for purge alone";
    if (words->duration && verb != block)
        return "--for is for block alone";
    return auth_test_is_meant(words) && verb != auth_test ? "that is an option of test" : NULL;
}

static int run_verb(struct auth_words *words, size_t verb, int count, char **rest)
{
    int least = verbs[verb].who == WHO_MUST && !words->is_all, most = verbs[verb].who != WHO_NONE && !words->is_all;
    const char *wrong = option_of_others(words, verbs[verb].run);

    if (wrong) {
        ctl_complain("auth %s: %s", verbs[verb].verb, wrong);
        return CTL_USAGE;
    }
    if (count < least || count > most) {
        ctl_complain("auth %s: %s", verbs[verb].verb, count < least ? "of which user or address?" : "too many words");
        return CTL_USAGE;
    }
    words->who = count ? rest[0] : NULL;
    return verbs[verb].run(words);
}

static int run(int argc, char **argv)
{
    struct auth_words words = {.endpoint = NULL};
    const struct ctl_option options[] = {{"endpoint", .text = &words.endpoint},
                                         {"json", .flag = &words.as_json},
                                         {"for", .text = &words.duration},
                                         {"sessions", .flag = &words.closes_sessions},
                                         {"all", .flag = &words.is_all},
                                         {"user", .text = &words.user},
                                         {"from", .text = &words.from},
                                         {"listener", .text = &words.listener},
                                         {"mechanism", .text = &words.mechanism},
                                         {"authzid", .text = &words.authzid},
                                         {"mail-from", .text = &words.mail_from},
                                         {"password-stdin", .flag = &words.reads_password},
                                         {"config", .text = &words.config, .is_path = true},
                                         {"daemon", .text = &words.daemon, .is_path = true},
                                         {"run-as", .text = &words.run_as},
                                         {0}};
    int code = ctl_read_options(argc, argv, &ctl_auth, options);

    if (code != CTL_GO_ON)
        return code;
    for (size_t i = 0; optind < argc && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].verb, argv[optind]) == 0)
            return run_verb(&words, i, argc - optind - 1, argv + optind + 1);
    ctl_complain("what about logins? 'gatectl auth --help' lists it");
    return CTL_USAGE;
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
             "  --listener IP:PORT where it connects to: a listener of the daemon, or of a policy (--config)\n"
             "  --mail-from ADDR   whether that may be the sender\n"
             "  --config FILE      no running daemon: the rules of a policy (.lua) or an auth.toml\n"
             "  --run-as USER      with --config: the user to become; needed as root\n"
             "  --daemon PATH      with --config: the gatepostd to run\n",
    .run = run,
};
