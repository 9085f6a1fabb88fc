/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder with one log segment, as gatectl reads it: the input is the file as it is when its first byte is even,
 * and lines that are packed first when it is odd. Whatever lines come out are printed for a person.
 */
#include <fcntl.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/must.h"
#include "ctl/log_filter.h"
#include "ctl/log_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory: on a disk, each new content of the file waits for the blocks of the last. */
static char folder[] = "/dev/shm/gatepost-fuzz-XXXXXX";
static char path[sizeof folder + 32];

static void leave(void)
{
    unlink(path);
    rmdir(folder);
}

static void open_world(void)
{
    MUST(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/20261128-120000.000000", folder);
    atexit(leave);
    MUST(freopen("/dev/null", "w", stdout));
}

static void put(const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

static void put_packed(const void *data, size_t size)
{
    size_t most = ZSTD_compressBound(size);
    void *packed = malloc(most);
    size_t len;

    MUST(packed);
    len = ZSTD_compress(packed, most, data, size, 1);
    MUST(!ZSTD_isError(len));
    put(packed, len);
    free(packed);
}

static void show(void *ctx, struct span line)
{
    static const struct log_filter filter = {
        .types = "Delivery,Bounce,Reception", .recipient = "*@*", .sender = "*a*", .user = "*", .reason = "refused"};
    json_t *record = json_loadb(line.data, line.len, 0, NULL);

    (void)ctx;
    if (json_is_object(record)) {
        (void)log_filter_matches(&filter, record);
        log_record_print(record);
    }
    json_decref(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_open;
    struct log_reader *reader;
    struct error error;

    if (!is_open)
        open_world();
    is_open = true;
    if (size == 0 || size > 65536)
        return 0;
    if (data[0] % 2)
        put_packed(data + 1, size - 1);
    else
        put(data + 1, size - 1);
    reader = log_reader_new(folder, 0, &error);
    MUST(reader);
    (void)!log_reader_read(reader, show, NULL, &error);
    log_reader_free(reader);
    return 0;
}
