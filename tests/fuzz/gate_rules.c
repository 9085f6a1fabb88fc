/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole auth.toml: users, stores, rules and limits. What is not taken is refused with a sentence that names
 * the file; what is taken can be used and let go.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "gate/gate_private.h"
#include "log/diag.h"
#include "password/pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[] = "/tmp/gatepost-fuzz-XXXXXX.toml";

static void leave(void) { unlink(path); }

static void open_world(void)
{
    int fd = mkstemps(path, 5);
    struct error error;

    MUST(fd >= 0 && !password_pool_start(&error) && !gate_start(&error));
    close(fd);
    atexit(leave);
    diag_set_level(DIAG_ERROR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_open;
    struct error error = {0};
    struct gate_rules *rules;
    int fd;

    if (!is_open)
        open_world();
    is_open = true;
    if (size > 8192)
        return 0;
    fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    rules = gate_rules_load((const char *const[]){path}, 1, &error);
    MUST(rules || strstr(error.sentence, path));
    gate_rules_unref(&rules);
    return 0;
}
