/* SPDX-License-Identifier: Apache-2.0
 *
 * When a secret was last good for something, so that an operator sees which one he can take away. In memory only and
 * of this process: what was not used since the start has no entry, and of very many the least recently used are
 * forgotten. From any thread.
 */
#ifndef GATEPOST_CREDENTIAL_USED_H
#define GATEPOST_CREDENTIAL_USED_H

#include <stddef.h>
#include <stdint.h>

#define CREDENTIAL_USED_MOST 100000

/* `user` is the record's canonical name; `label` the secret's, "" for the plain password. */
void credential_note_used(const char *user, const char *label);

/* Wall clock, ms since 1970; 0: not known to have been used. */
int64_t credential_last_used(const char *user, const char *label);

/* Forgets all; for the end of the process. */
void credential_forget_used(void);

#endif
