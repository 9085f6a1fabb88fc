/* SPDX-License-Identifier: Apache-2.0
 *
 * The files that auth.toml names (secrets, keys, certificates), in keys that end in "_file", or in "_credential" for
 * one in $CREDENTIALS_DIRECTORY: part of what it says, so that a new one is new content. Left out are those that their
 * store looks at anew whenever it needs them (Vault's `token_file` and `jwt_file`): what somebody else rewrites every
 * hour is no reason to begin afresh.
 */
#ifndef GATEPOST_CREDENTIAL_NAMED_FILES_H
#define GATEPOST_CREDENTIAL_NAMED_FILES_H

#include <jansson.h>

#include "base/buf.h"

typedef void named_file_fn(void *ctx, const char *path);

/* Each one in `table` and below; a relative path is taken from the folder of `settings_path`, where the table stands.
 */
void named_files_each(const json_t *table, const char *settings_path, named_file_fn *on_file, void *ctx);
/* The same of one key of a table. */
void named_files_of(const char *key, const json_t *value, const char *settings_path, named_file_fn *on_file, void *ctx);

/* What tells this version of the file from another. Of one that is not there, too: whoever reads it will say so. */
int named_file_write(const char *path, struct buf *out) __attribute__((warn_unused_result));

#endif
