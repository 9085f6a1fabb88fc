/* SPDX-License-Identifier: Apache-2.0
 *
 * Changing one user's password in a passwd-file ("user:stored" and what may follow, as htpasswd and Dovecot have it)
 * while others read it.
 */
#ifndef GATEPOST_CTL_USER_FILE_H
#define GATEPOST_CTL_USER_FILE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/span.h"

/* Whether a user of this name can be in such a file. */
int user_file_check_name(const char *user, struct error *error) __attribute__((warn_unused_result));

/* Replaces the password of `user`, or adds the user behind the last line; all else stays as it is, the file's mode
 * and owner too. A file that is not there is made, readable by its owner alone. Whoever reads sees the old file or
 * the new one, and after a power failure too; a second writer waits. */
int user_file_set(const char *path, const char *user, struct span stored, bool *was_there_out, struct error *error)
    __attribute__((warn_unused_result));

#endif
