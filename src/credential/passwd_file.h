/* SPDX-License-Identifier: Apache-2.0
 *
 * The text of a passwd-file and its index by user. Immutable once loaded, wiped when freed.
 *
 *   # comment                 and empty lines
 *   ann:$2y$05$...            as htpasswd writes it
 *   bob:{ARGON2ID}$argon2id$...:uid:gid:gecos:home:shell:tenant=lions groups=a,b disabled
 *
 * What stands between the password and the extra fields is for others. The extra fields are those of the record (see
 * store_fields.h); `allow_nets` and `nologin` are Dovecot's words for networks and disabled; a field without a value
 * is a yes; those that are not ours are left alone, but `nopassword` is refused. A user on several lines has several
 * secrets and needs `label` on each.
 */
#ifndef GATEPOST_CREDENTIAL_PASSWD_FILE_H
#define GATEPOST_CREDENTIAL_PASSWD_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"
#include "credential/store.h"

#define PASSWD_FILE_LIMIT ((size_t)64 << 20)
#define PASSWD_LINE_LIMIT ((size_t)16 << 10)

/* What a file looks like from outside. */
struct passwd_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
    bool is_settled; /* changed long enough before that another change must show */
};

int passwd_stamp_of(const char *path, struct passwd_stamp *stamp_out, struct error *error)
    __attribute__((warn_unused_result));
bool passwd_stamp_equal(const struct passwd_stamp *known, const struct passwd_stamp *now);

struct passwd_file;

/* Blocks. Checks every line; NULL with "path:line: what is wrong", without any of the line's content. */
struct passwd_file *passwd_file_load(const char *path, struct error *error);
void passwd_file_free(struct passwd_file *file); /* NULL is fine */
const struct passwd_stamp *passwd_file_stamp(const struct passwd_file *file);

/* FOUND, NOT_FOUND, or FAILED with `error`. The caller frees the fields with store_fields_free. */
enum store_outcome passwd_file_find(const struct passwd_file *file, const char *user, json_t **fields_out,
                                    struct error *error);

#endif
