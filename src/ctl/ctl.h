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

/* ---- api.c ---- */

/* From --endpoint, GATEPOST_ENDPOINT, or the default. */
const char *ctl_endpoint(const char *option);

/* GET `path` from the daemon. NULL with an error that names the endpoint; `status_out` (may be NULL) is the
 * HTTP status when there was one, and an answer with JSON is returned whatever the status. */
json_t *ctl_get(const char *endpoint, const char *path, long *status_out, struct error *error);

/* POST `body`, likewise. It may have a secret in it: what is made of it here is wiped. */
json_t *ctl_post(const char *endpoint, const char *path, const json_t *body, long *status_out, struct error *error);

/* `text` as a part of a path or a query. The caller frees it. */
char *ctl_escape(const char *text);

/* The daemon's own word for what went wrong, or NULL. */
const char *ctl_error_of(const json_t *answer);

/* Asks: POST with a `question`, GET without. False when there is nothing to say to people any more: it failed, which
 * was complained about, or the answer was printed as JSON. The answer is the caller's either way, perhaps NULL. */
bool ctl_ask(const char *endpoint, const char *path, const json_t *question, bool as_json, json_t **answer_out,
             int *code_out);

/* ---- daemon.c: asking a daemon that is not running ---- */

/* The gatepostd installed or built with this program, else whatever PATH has. The caller frees it. */
char *ctl_find_daemon(void);
/* Its exit status; a signal is complained about. */
int ctl_wait_for(pid_t child);

/* ---- text.c: for people ---- */

/* Text of a stranger on a terminal: control characters escaped. */
void ctl_print_safe(const char *text);

/* A list of objects as a table: the keys are the columns. */
void ctl_print_table(const json_t *rows);

/* 93784 -> "1d 2h 3m" */
void ctl_print_duration(json_int_t seconds);

#endif
