/* SPDX-License-Identifier: Apache-2.0
 *
 * SASLprep (RFC 4013): one spelling for passwords that look the same. Clients of SCRAM do it before they hash, so
 * whoever makes keys from a password must do it alike. What it refuses (controls, text that is not UTF-8) is taken
 * as it is, as clients do in practice. The awkward truth: the library's own copies are freed unwiped.
 */
#include <stdlib.h>
#include <stringprep.h>

#include "base/must.h"
#include "base/secret.h"
#include "password/password_private.h"

void saslprep(struct span password, struct buf *out)
{
    char *text = NULL, *prepared = NULL;

    if (!span_is_ascii(password) && span_is_utf8(password) && !memchr(password.data, '\0', password.len)) {
        text = span_dup(password);
        if (stringprep_profile(text, &prepared, "SASLprep", 0) == STRINGPREP_OK)
            password = span_of(prepared);
    }
    MUST(buf_append_span(out, password) == 0);
    secret_free(text);
    secret_free(prepared);
}
