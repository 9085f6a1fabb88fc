/* SPDX-License-Identifier: Apache-2.0
 *
 * When a secret was last good for something, so that an operator sees which one he can take away. In memory, and in a
 * file where the operator names one (used_file.h): without it, what was not used since the start has no entry. Of very
 * many the least recently used are forgotten. From any thread.
 */
#ifndef GATEPOST_CREDENTIAL_USED_H
#define GATEPOST_CREDENTIAL_USED_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

#define CREDENTIAL_USED_MOST 100000

/* `user` is the record's canonical name; `label` the secret's, "" for the plain password. */
void credential_note_used(const char *user, const char *label);

/* Wall clock, ms since 1970; 0: not known to have been used. */
int64_t credential_last_used(const char *user, const char *label);

/* Forgets all; for the end of the process. */
void credential_forget_used(void);

/* A number that is another one after each use. */
uint64_t credential_used_changes(void);

/* Appends all that is known, the eldest first and as far as there is room; a line for each. Returns the number of
 * changes that are in it. */
uint64_t credential_used_write(struct buf *out);

/* Takes lines like these, beside what is known. -1 at the first that is none. */
int credential_used_read(struct span text) __attribute__((warn_unused_result));

#endif
