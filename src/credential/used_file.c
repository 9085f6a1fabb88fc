/* SPDX-License-Identifier: Apache-2.0
 *
 * See used_file.h. The file is written beside itself and renamed. It is a help to the operator and no promise to
 * anybody: what was used in the minute before a crash may be missing.
 */
#include "credential/used_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "credential/used.h"
#include "data/data.h"

#define LIMIT_BYTES ((size_t)64 << 20)

static struct {
    pthread_mutex_t lock;
    /* under lock */
    char *path; /* NULL: none */
    uint64_t saved;
} file = {.lock = PTHREAD_MUTEX_INITIALIZER};

int used_file_load(const char *path, struct error *error)
{
    struct buf text;
    int status;

    if (access(path, F_OK) && errno == ENOENT)
        return 0;
    buf_init(&text, LIMIT_BYTES);
    status = data_read_file(path, LIMIT_BYTES, &text, error);
    if (!status && credential_used_read(buf_span(&text)))
        status = error_set(error, ERROR_PERM, "%s holds something else than when secrets were used", path);
    buf_done(&text);
    return status;
}

void used_file_use(const char *path)
{
    pthread_mutex_lock(&file.lock);
    free(file.path);
    file.path = path ? mem_strdup(path) : NULL;
    pthread_mutex_unlock(&file.lock);
}

static int write_all(int fd, struct span text)
{
    while (text.len) {
        ssize_t wrote = write(fd, text.data, text.len);

        if (wrote < 0 && errno != EINTR)
            return -1;
        text = span_from(text, wrote > 0 ? (size_t)wrote : 0);
    }
    return 0;
}

static int write_beside(const char *beside, struct span text)
{
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int status = fd < 0 || write_all(fd, text) || fsync(fd) ? -1 : 0;

    if (fd >= 0)
        close(fd);
    return status;
}

static int save(uint64_t *saved_out, struct error *error)
{
    char *beside = mem_printf("%s.new", file.path);
    struct buf text;
    int status = 0;

    buf_init(&text, LIMIT_BYTES);
    *saved_out = credential_used_write(&text);
    if (write_beside(beside, buf_span(&text)) || rename(beside, file.path))
        status = error_set_errno(error, ERROR_TEMP, errno, "cannot write %s", file.path);
    buf_done(&text);
    free(beside);
    return status;
}

int used_file_save(struct error *error)
{
    uint64_t saved;
    int status = 0;

    pthread_mutex_lock(&file.lock);
    if (file.path && credential_used_changes() != file.saved && !(status = save(&saved, error)))
        file.saved = saved;
    pthread_mutex_unlock(&file.lock);
    return status;
}
