/* SPDX-License-Identifier: Apache-2.0
 *
 * The encodings of RFC 4648: bytes as text of 16, 32 or 64 characters.
 */
#ifndef GATEPOST_POLICY_MODULES_RADIX_H
#define GATEPOST_POLICY_MODULES_RADIX_H

#include <lua.h>
#include <stdbool.h>

#include "base/span.h"

struct radix {
    const char *name;     /* "base64url_nopad" */
    const char *alphabet; /* 2 to the power of `bits` characters */
    unsigned bits;
    unsigned group;   /* characters that padding fills up to; 1: none is ever needed */
    bool is_padded;   /* written, and wanted when reading */
    bool takes_upper; /* hex: the other case is read too */
};

extern const struct radix *const radixes; /* ends with one whose name is NULL */

const struct radix *radix_find(const char *name); /* or NULL */

void radix_push_encoded(lua_State *L, const struct radix *radix, struct span bytes);
/* Strict: no other characters, no missing padding, no stray bits at the end. False, pushing
 * nothing, when it is not that. */
bool radix_push_decoded(lua_State *L, const struct radix *radix, struct span text);

#endif
