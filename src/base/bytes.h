/* SPDX-License-Identifier: Apache-2.0
 *
 * Immutable bytes with a counted owner: a message's body, shared by the recipients of
 * one transaction and by the threads it passes through. The count is atomic; the bytes
 * never change after they are made.
 */
#ifndef GATEPOST_BASE_BYTES_H
#define GATEPOST_BASE_BYTES_H

#include <stddef.h>

#include "base/span.h"

struct bytes;

/* Takes `data` (from malloc; may be NULL when len is 0). Count 1. */
struct bytes *bytes_take(char *data, size_t len) __attribute__((returns_nonnull));

/* A copy; NULL when there is no memory for it. */
struct bytes *bytes_copy(struct span s);

struct bytes *bytes_ref(struct bytes *bytes);      /* NULL is fine */
void bytes_unref(struct bytes **bytes);            /* clears the pointer; NULL inside is fine */
struct span bytes_span(const struct bytes *bytes); /* empty for NULL */

#endif
