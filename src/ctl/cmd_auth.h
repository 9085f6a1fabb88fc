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

/* The daemon blocks no longer than this for a duration; without one, for good. */
#define AUTH_BLOCK_MOST_S (365 * 86400)

/* ---- cmd_auth_test.c ---- */

bool auth_test_is_meant(const struct auth_words *words); /* the command line has one of its options */
int auth_test(const struct auth_words *words);

#endif
