/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses as the guard compares them, and the patterns that say which of them a user may send as.
 *
 *   ann@example.com      that address
 *   @example.com         every address of that domain; written without the @ it means the same
 *   *.example.com        every address of a name below it, not of itself
 *   *                    every address
 *   {user}               in an address: the login name. `{user}` alone is for logins that are addresses
 *
 * Comparing is by octet but for the case of ASCII letters, after quotes are taken off: "ann"@EXAMPLE.com. is
 * ann@example.com. A name in UTF-8 and its xn-- form are two names: whoever may use both lists both.
 *
 * What two readers could take for two different addresses is none here: a local part that holds an @, blanks,
 * brackets or an encoded word is not read at all, nor is what is shown in another order than it stands in.
 */
#ifndef GATEPOST_GATE_IDENTITY_ADDRESS_H
#define GATEPOST_GATE_IDENTITY_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

#define GATE_ADDRESS_BYTES 512

struct gate_address {
    char text[GATE_ADDRESS_BYTES]; /* local@domain: unquoted, lower case, no dot at the end */
    size_t at;                     /* where the @ stands */
};

/* local@domain, as it stands in MAIL FROM or between < and > of a header. -1 when it is not that. */
int gate_address_read(struct span text, struct gate_address *address_out) __attribute__((warn_unused_result));

/* `user` may be NULL: then {user} covers nothing. */
bool gate_pattern_covers(const char *pattern, const char *user, const struct gate_address *address);

/* The address that a pattern stands for. -1 when it stands for many, or for none. */
int gate_pattern_address(const char *pattern, const char *user, struct gate_address *address_out)
    __attribute__((warn_unused_result));

/* Can it cover anything at all, for some user? */
bool gate_pattern_is_sound(const char *pattern);

#endif
