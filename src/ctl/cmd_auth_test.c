/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl auth test: why somebody would get in, or not. The daemon that runs is asked, with what it has counted; or,
 * with --config, one that is started for this question alone.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"
#include "base/span.h"
#include "ctl/ask_password.h"
#include "ctl/cmd_auth.h"

/* ---- the question ---- */

static void put(json_t *question, const char *key, const char *text)
{
    json_t *value = text ? json_string(text) : NULL;

    if (value)
        json_object_set_new(question, key, value);
}

static void wipe(json_t *question)
{
    json_t *secret = json_object_get(question, "secret");

    if (secret)
        secret_wipe((char *)(uintptr_t)json_string_value(secret), json_string_length(secret));
    json_decref(question);
}

static int put_password(json_t *question)
{
    struct error error;
    char *password = ask_password(false, &error);

    if (!password) {
        ctl_complain("%s", error.sentence);
        return -1;
    }
    put(question, "secret", password);
    secret_free(password);
    if (json_object_get(question, "secret"))
        return 0;
    ctl_complain("the password is not UTF-8");
    return -1;
}

static json_t *make_question(const struct auth_words *words)
{
    json_t *question = json_object();

    put(question, "user", words->user);
    put(question, "from", words->from);
    put(question, "authzid", words->authzid);
    put(question, "listener", words->listener);
    put(question, "mechanism", words->mechanism);
    put(question, "mail_from", words->mail_from);
    return question;
}

/* ---- a daemon for this question alone ---- */

struct pipes {
    int question[2], answer[2];
};

static void become_daemon(const struct auth_words *words, const struct pipes *pipes)
{
    char *path = words->daemon ? mem_strdup(words->daemon) : ctl_find_daemon();
    const char *args[] = {"gatepostd", "--auth-test", words->config, NULL, NULL, NULL};

    if (words->run_as) {
        args[3] = "--user";
        args[4] = words->run_as;
    }
    if (dup2(pipes->question[0], STDIN_FILENO) < 0 || dup2(pipes->answer[1], STDOUT_FILENO) < 0)
        return;
    for (int i = 0; i < 2; i++) {
        close(pipes->question[i]);
        close(pipes->answer[i]);
    }
    execvp(path, (char *const *)args);
    ctl_complain("%s: %s", path, strerror(errno));
}

static json_t *talk(const struct pipes *pipes, const json_t *question)
{
    FILE *answers = fdopen(pipes->answer[0], "r");
    json_t *answer;

    signal(SIGPIPE, SIG_IGN); /* it may end before it has read the question */
    json_dumpfd(question, pipes->question[1], JSON_COMPACT);
    close(pipes->question[1]);
    answer = answers ? json_loadf(answers, 0, NULL) : NULL;
    if (answers)
        fclose(answers);
    return answer;
}

static json_t *ask_started(const struct auth_words *words, const json_t *question)
{
    struct pipes pipes;
    json_t *answer;
    pid_t child;

    if (pipe(pipes.question) || pipe(pipes.answer) || (child = fork()) < 0) {
        ctl_complain("%s", strerror(errno));
        return NULL;
    }
    if (child == 0) {
        become_daemon(words, &pipes);
        _exit(127);
    }
    close(pipes.question[0]);
    close(pipes.answer[1]);
    answer = talk(&pipes, question);
    if (ctl_wait_for(child) == 0 && answer)
        return answer;
    json_decref(answer);
    return NULL;
}

/* ---- for people ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static bool is_a_block(const json_t *rule)
{
    return !strcmp(text_of(rule, "rule"), "held") || !strcmp(text_of(rule, "rule"), "blocked");
}

static void print_rule(const json_t *rule)
{
    static const struct {
        const char *result, *shown;
    } words[] = {{"passes", "ok"}, {"refuses", "NO"}, {"fails", "FAILS"}, {"note", ""}};
    const char *shown = "?", *result = text_of(rule, "result");
    json_int_t left = json_integer_value(json_object_get(rule, "left_seconds"));

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i].result, result))
            shown = words[i].shown;
    printf("  %-6s%-13s", shown, text_of(rule, "rule"));
    ctl_print_safe(text_of(rule, "text"));
    if (left > AUTH_BLOCK_MOST_S && is_a_block(rule)) {
        fputs(", until it is unlocked", stdout);
    } else if (left > 0 && json_is_true(json_object_get(rule, "applies"))) {
        fputs(", for another ", stdout);
        ctl_print_duration(left);
    }
    putchar('\n');
}

static void print_answer(const struct auth_words *words, const json_t *answer)
{
    const char *decision = text_of(answer, "decision"), *secret = text_of(answer, "secret");
    json_t *rules = json_object_get(answer, "rules"), *rule;
    size_t i;

    ctl_print_safe(*text_of(answer, "user") ? text_of(answer, "user") : "(nobody)");
    printf(" from %s by %s: ", words->from, words->mechanism ? words->mechanism : "PLAIN");
    if (!strcmp(decision, "let_in"))
        printf("let in%s\n", strcmp(secret, "right") ? ", if the password is right" : "");
    else
        printf("%s: %s\n", !strcmp(decision, "refused") ? "refused" : "no verdict", text_of(answer, "reason"));
    json_array_foreach(rules, i, rule) print_rule(rule);
    printf("Not asked: handlers of the policy, %sTLS and the client's certificate.\n",
           words->listener ? "" : "what a listener says (--listener), ");
}

/* ---- asking ---- */

static int show_answer(const struct auth_words *words, const json_t *answer)
{
    if (words->as_json)
        ctl_print_json(answer);
    else
        print_answer(words, answer);
    return strcmp(text_of(answer, "decision"), "let_in") ? CTL_FAILED : CTL_OK;
}

static int ask_running(const struct auth_words *words, const json_t *question)
{
    json_t *answer;
    int code;

    if (ctl_ask(words->endpoint, "/api/gatepost/auth/test/v1", question, false, &answer, &code))
        code = show_answer(words, answer);
    json_decref(answer);
    return code;
}

static int ask_config(const struct auth_words *words, const json_t *question)
{
    json_t *answer;
    int code = CTL_FAILED;

    if (geteuid() == 0 && !words->run_as) {
        ctl_complain("auth test --config loads the policy, which is not done as root: say as whom with --run-as USER");
        return CTL_USAGE;
    }
    answer = ask_started(words, question);
    if (answer)
        code = show_answer(words, answer);
    json_decref(answer);
    return code;
}

bool auth_test_is_meant(const struct auth_words *words)
{
    return words->user || words->from || words->listener || words->mechanism || words->authzid || words->mail_from ||
           words->reads_password || words->config || words->daemon || words->run_as;
}

int auth_test(const struct auth_words *words)
{
    json_t *question;
    int code = CTL_FAILED;

    if (!words->from || (!words->user && !words->reads_password)) {
        ctl_complain("auth test: who is it, and from where? --user USER --from IP");
        return CTL_USAGE;
    }
    if (words->config && words->listener && !span_ends_with(span_of(words->config), SPAN_LIT(".lua"))) {
        ctl_complain("auth test: --listener is one of a policy (.lua) or of a running daemon");
        return CTL_USAGE;
    }
    question = make_question(words);
    if (!words->reads_password || put_password(question) == 0)
        code = words->config ? ask_config(words, question) : ask_running(words, question);
    wipe(question);
    return code;
}
