/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading whole files that operators name. What is named may not be a file at all: a fifo
 * would block for ever and a device might never end, so only regular files are read.
 */
#include "data/data.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP_BYTES 65536

/* Room for what is expected, and a byte to see that it ends there: a buffer that grew would leave what it held behind,
 * unwiped, and it may be a secret. */
static int append_all(int fd, const char *path, size_t expected, struct buf *out, struct error *error)
{
    size_t step = expected + 1;

    for (;;) {
        char *room = buf_reserve(out, step);
        ssize_t got;

        if (!room)
            return error_set(error, ERROR_TEMP, "%s is larger than what is read of it", path);
        got = read(fd, room, step);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(error, ERROR_TEMP, errno, "cannot read %s", path);
        if (got == 0)
            return 0;
        buf_commit(out, (size_t)got);
        step = step > (size_t)got ? step - (size_t)got : READ_STEP_BYTES;
    }
}

int data_read_file(const char *path, size_t limit_bytes, struct buf *out, struct error *error)
{
    struct stat status;
    int result = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return error_set_errno(error, ERROR_TEMP, errno, "cannot open %s", path);
    if (fstat(fd, &status))
        error_set_errno(error, ERROR_TEMP, errno, "cannot look at %s", path);
    else if (!S_ISREG(status.st_mode))
        error_set(error, ERROR_TEMP, "%s is not a regular file", path);
    else if (status.st_size < 0 || (size_t)status.st_size > limit_bytes)
        error_set(error, ERROR_TEMP, "%s is larger than %zu bytes", path, limit_bytes);
    else
        result = append_all(fd, path, (size_t)status.st_size, out, error);
    close(fd);
    return result;
}

enum data_format data_format_of(const char *path)
{
    return span_ends_with(span_of(path), SPAN_LIT(".toml")) ? DATA_TOML : DATA_JSON;
}

json_t *data_load_file(const char *path, enum data_format format, struct error *error)
{
    struct buf text;
    json_t *value = NULL;

    buf_init(&text, DATA_FILE_LIMIT_BYTES + READ_STEP_BYTES);
    if (!data_read_file(path, DATA_FILE_LIMIT_BYTES, &text, error)) {
        if (format == DATA_TOML)
            value = data_parse_toml(buf_span(&text), path, error);
        else
            value = data_parse_json(buf_span(&text), path, error);
    }
    buf_done(&text);
    return value;
}
