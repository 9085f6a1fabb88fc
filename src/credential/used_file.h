/* SPDX-License-Identifier: Apache-2.0
 *
 * The file in which it is kept when secrets were last used. All of it blocks.
 */
#ifndef GATEPOST_CREDENTIAL_USED_FILE_H
#define GATEPOST_CREDENTIAL_USED_FILE_H

#include "base/error.h"

/* What is in it is known from now on. One that is not there is an empty one; one that cannot be read, or holds
 * something else, is an error. From any thread. */
int used_file_load(const char *path, struct error *error) __attribute__((warn_unused_result));

/* From now on this is the file; NULL: none. From any thread. */
void used_file_use(const char *path);

/* Writes it, if there is one and something was used since. A crash leaves the former one whole. From any thread. */
int used_file_save(struct error *error) __attribute__((warn_unused_result));

#endif
