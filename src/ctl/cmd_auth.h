/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of gatectl auth share.
 */
#ifndef GATEPOST_CTL_CMD_AUTH_H
#define GATEPOST_CTL_CMD_AUTH_H

#include "ctl/ctl.h"

/* What the command line says. */
struct auth_words {
    const char *endpoint, *who, *duration, *user, *authzid, *from, *listener, *mechanism, *mail_from;
    const char *config, *daemon, *run_as;
    bool as_json, closes_sessions, is_all, reads_password;
};

/* Prints `answer` for --json, else complains when the daemon refused. True: there is an answer to be shown to people.
 * *code_out is the exit code otherwise. */
bool auth_has_answer(const struct auth_words *words, const json_t *answer, long http, const struct error *error,
                     int *code_out);

int auth_test(const struct auth_words *words); /* cmd_auth_test.c */

#endif
