/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole file of users, as passwd or Dovecot write it. What is at fault is told without any of the
 * line's content: no byte of a secret may get into a log.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"
#include "credential/passwd_file.h"
#include "credential/store_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The user named by the first bytes is looked up as well. */
static void look_up(const struct passwd_file *file, const uint8_t *data, size_t size)
{
    char user[64] = "";
    json_t *fields = NULL;
    struct error error;

    for (size_t i = 0; i < size && i < sizeof user - 1 && data[i] != ':' && data[i]; i++)
        user[i] = (char)data[i];
    if (passwd_file_find(file, user, &fields, &error) == STORE_FOUND)
        store_fields_free(fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("passwd", MFD_CLOEXEC);
    struct passwd_file *file;
    struct error error = {0};
    char path[64];

    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    file = passwd_file_load(path, &error);
    if (file)
        look_up(file, data, size);
    else
        MUST(error.sentence[0]);
    passwd_file_free(file);
    close(fd);
    return 0;
}
