/* SPDX-License-Identifier: Apache-2.0
 *
 * Immutable bytes with a counted owner: a message's body, shared by the recipients of
 * one transaction and by the threads it passes through. The count is atomic; the bytes
 * never change after they are made; their one owner may put more in front of them.
 */
#ifndef GATEPOST_BASE_BYTES_H
#define GATEPOST_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

struct bytes;

/* Takes `data` (from malloc; may be NULL when len is 0). Count 1. */
struct bytes *bytes_take(char *data, size_t len) __attribute__((returns_nonnull));

/* The same where the bytes start `room` into the block: what is before them is free for
 * bytes_prepend. */
struct bytes *bytes_take_after(char *block, size_t room, size_t len) __attribute__((returns_nonnull));

/* Puts `s` in front, in place: only for the one owner of bytes that have the room. False: nothing was done. */
bool bytes_prepend(struct bytes *bytes, struct span s) __attribute__((warn_unused_result));

/* A copy; NULL when there is no memory for it. */
struct bytes *bytes_copy(struct span s);

struct bytes *bytes_ref(struct bytes *bytes);      /* NULL is fine */
void bytes_unref(struct bytes **bytes);            /* clears the pointer; NULL inside is fine */
struct span bytes_span(const struct bytes *bytes); /* empty for NULL */

#endif
