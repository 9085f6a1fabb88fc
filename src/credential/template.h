/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts of an operator with a place for the user name: paths, URLs, filters, distinguished names. What goes into the
 * place is always encoded for where it stands: a name is data, never syntax.
 */
#ifndef GATEPOST_CREDENTIAL_TEMPLATE_H
#define GATEPOST_CREDENTIAL_TEMPLATE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"

bool template_has_user(const char *text); /* "{user}" stands in it */

/* Appends `text` with each "{user}" replaced by `put(user)`. -1 when `out` is full. */
int template_put(const char *text, struct span user, int (*put)(struct span user, struct buf *out), struct buf *out)
    __attribute__((warn_unused_result));

int template_put_as_is(struct span user, struct buf *out) __attribute__((warn_unused_result));
/* An assertion value of a search filter (RFC 4515, section 3). */
int template_put_filter(struct span user, struct buf *out) __attribute__((warn_unused_result));
/* An attribute value of a distinguished name (RFC 4514, section 2.4). */
int template_put_dn(struct span user, struct buf *out) __attribute__((warn_unused_result));

#endif
