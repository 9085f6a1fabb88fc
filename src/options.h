/* SPDX-License-Identifier: Apache-2.0
 *
 * gatepostd's command line.
 */
#ifndef GATEPOST_OPTIONS_H
#define GATEPOST_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "log/diag.h"

enum options_action { OPTIONS_RUN, OPTIONS_VALIDATE, OPTIONS_SCRIPT, OPTIONS_AUTH_TEST, OPTIONS_HELP, OPTIONS_VERSION };

struct options {
    enum options_action action;
    const char *policy; /* path */
    const char *user;   /* or NULL */
    const char *rules;  /* OPTIONS_AUTH_TEST: an auth.toml; NULL: the policy's */
    enum diag_format diag_format;
    size_t workers; /* 0: one per core */
    unsigned drain_seconds;
    char **script_args; /* what stands behind `--`; NULL-terminated */
    int script_arg_count;
};

/* Borrowed from argv. -1 with a sentence that names the argument. */
int options_parse(int argc, char **argv, struct options *options_out, struct error *error)
    __attribute__((warn_unused_result));

void options_print_help(void);
void options_print_version(void);

#endif
