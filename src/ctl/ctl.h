/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl: asks a running daemon over its HTTP listener, and reads its logs. One file per
 * sub-command; this header is what they share.
 */
#ifndef GATEPOST_CTL_CTL_H
#define GATEPOST_CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Exit codes. */
enum {
    CTL_OK = 0,
    CTL_FAILED = 1, /* what was asked for could not be done, or the answer is bad news */
    CTL_USAGE = 2,  /* the command line is wrong */
    CTL_GO_ON = -1, /* none of them yet */
};

struct ctl_command {
    const char *name;
    const char *summary;
    const char *usage;                 /* the whole help text */
    int (*run)(int argc, char **argv); /* argv[0] is the command; returns an exit code */
};

extern const struct ctl_command ctl_status;
extern const struct ctl_command ctl_queue;
extern const struct ctl_command ctl_logs;
extern const struct ctl_command ctl_config;
extern const struct ctl_command ctl_passwd;
extern const struct ctl_command ctl_auth;
extern const struct ctl_command ctl_sessions;
extern const struct ctl_command ctl_budget;
extern const struct ctl_command ctl_hold;
extern const struct ctl_command ctl_release;

/* "gatectl: ..." on stderr. */
void ctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What getopt_long gave and the command does not know itself: --help prints the usage and ends with
 * CTL_OK, all else with CTL_USAGE. */
int ctl_other_option(int option, const struct ctl_command *command);

/* ---- options.c ---- */

struct ctl_option {
    const char *name;  /* without its two hyphens; NULL ends a table */
    const char **text; /* where the value goes; or */
    bool *flag;        /* what is set */
    bool is_path;      /* else the value has to be UTF-8 */
};

/* Reads what begins with hyphens; optind is then the first of the other words, which are UTF-8. CTL_GO_ON, or the exit
 * code to end with: --help was asked for, or the command line is wrong and that was said. At most 20 options. */
int ctl_read_options(int argc, char **argv, const struct ctl_command *command, const struct ctl_option *options);

/* ---- api.c ---- */

/* From --endpoint, GATEPOST_ENDPOINT, or the default. */
const char *ctl_endpoint(const char *option);

/* POSTs `body` to the daemon, or GETs `path` when it is NULL. NULL with an error that names the endpoint; `status_out`
 * is the HTTP status when there was one, and an answer with JSON is returned whatever the status. The body may have a
 * secret in it: what is made of it here is wiped. */
json_t *ctl_fetch(const char *endpoint, const char *path, const json_t *body, long *status_out, struct error *error);

/* "/path?key=value", with the value escaped, or the path alone where it is NULL. The caller frees it. */
char *ctl_query(const char *path, const char *key, const char *value);

/* Asks: POST with a `question`, GET without. False when there is nothing to say to people any more: it failed, which
 * was complained about, or the answer was printed as JSON. The answer is the caller's either way, perhaps NULL. */
bool ctl_ask(const char *endpoint, const char *path, const json_t *question, bool as_json, json_t **answer_out,
             int *code_out);

/* For people, below an answer that has is_local: whose numbers these are. */
void ctl_tell_local(const json_t *answer);

/* ---- daemon.c: asking a daemon that is not running ---- */

/* The gatepostd installed or built with this program, else whatever PATH has. The caller frees it. */
char *ctl_find_daemon(void);
/* Its exit status; a signal is complained about. */
int ctl_wait_for(pid_t child);

/* ---- text.c: for people ---- */

/* Text of a stranger on a terminal: control characters escaped. */
void ctl_print_safe(const char *text);

void ctl_print_json(const json_t *value);

/* A list of objects as a table: the keys are the columns. */
void ctl_print_table(const json_t *rows);

/* 93784 -> "1d 2h 3m" */
void ctl_print_duration(json_int_t seconds);

#endif
