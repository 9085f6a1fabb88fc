/* SPDX-License-Identifier: Apache-2.0
 *
 * Putting names that strangers chose into URLs, and telling whether a URL may carry secrets.
 * Pure functions. A part of a path that would lead elsewhere (empty, "." or "..") and control
 * characters are refused rather than encoded: servers and what stands before them undo the
 * encoding at different times.
 */
#ifndef GATEPOST_HTTP_URL_H
#define GATEPOST_HTTP_URL_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"

/* Percent-encodes all but RFC 3986's unreserved characters. */
int url_put_encoded(struct span part, struct buf *out) __attribute__((warn_unused_result));

/* Appends "/part/part": each part of `path`, as slashes divide it, encoded by itself. Returns NULL, or what is
 * wrong, to be said after "has": "an empty part". */
const char *url_put_parts(struct span path, struct buf *out);

/* What is wrong with one part of a path, or NULL. A slash is part of the part, and wrong. */
const char *url_fault_of_part(struct span part);

/* An http or https address without user name, query, fragment or blanks: what a setting may name. */
int url_check_base(const char *url, struct error *error) __attribute__((warn_unused_result));

/* The same, but a query is allowed. */
int url_check(const char *url, struct error *error) __attribute__((warn_unused_result));

bool url_is_https(const char *url);
/* Its host is localhost, 127.0.0.0/8 or [::1]: what is sent there in clear stays on this machine. For schemes of any
 * name ("ldap://..."). */
bool url_is_loopback(const char *url);

#endif
