/* SPDX-License-Identifier: Apache-2.0
 *
 * Which records are wanted, and how one looks to a person.
 */
#ifndef GATEPOST_CTL_LOG_FILTER_H
#define GATEPOST_CTL_LOG_FILTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cidr.h"
#include "base/error.h"

/* NULL and 0: anything. Patterns are shell patterns without regard to case ("*@example.com"). */
struct log_filter {
    const char *types; /* "Delivery,Bounce" */
    const char *recipient;
    const char *sender;
    const char *tenant;
    const char *user;      /* of logins: as it was given, or by its record's name */
    const char *reason;    /* "bad_password,no_user": results of logins count too ("refused") */
    struct cidr addresses; /* of logins; family 0: any */
    int64_t since;         /* unix seconds */
};

/* "2026-11-22T10:00:00Z", "2026-11-22", unix seconds, or how long ago ("1h30m"). `now` in unix seconds. */
int log_filter_since(const char *text, int64_t now, int64_t *since_out, struct error *error)
    __attribute__((warn_unused_result));

/* False, with an error, for a type that no record has. */
bool log_filter_types_are_known(const char *types, struct error *error);

bool log_filter_matches(const struct log_filter *filter, const json_t *record);

/* One line for people. */
void log_record_print(const json_t *record);

#endif
