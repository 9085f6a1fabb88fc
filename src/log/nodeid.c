/* SPDX-License-Identifier: Apache-2.0
 *
 * Who wrote a record, where the logs of many nodes are read together: a UUID that is made
 * once and kept. A node without a state directory has a new one with every start.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/random.h"
#include "log/log_private.h"

static char node_id[LOG_NODE_ID_CHARS + 1];
static pthread_once_t once = PTHREAD_ONCE_INIT;

void log_uuid(char out[LOG_NODE_ID_CHARS + 1])
{
    unsigned char b[16];

    random_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, LOG_NODE_ID_CHARS + 1, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static void make_own(void)
{
    if (!*node_id)
        log_uuid(node_id);
}

const char *log_node_id(void)
{
    pthread_once(&once, make_own);
    return node_id;
}

static bool is_uuid(const char *text)
{
    if (strlen(text) != LOG_NODE_ID_CHARS)
        return false;
    for (size_t i = 0; i < LOG_NODE_ID_CHARS; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (is_dash ? text[i] != '-' : !strchr("0123456789abcdef", text[i]))
            return false;
    }
    return true;
}

static int read_id(const char *path, char out[LOG_NODE_ID_CHARS + 1], struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        return error_set_errno(error, ERROR_TEMP, errno, "%s", path);
    got = read(fd, out, LOG_NODE_ID_CHARS);
    close(fd);
    out[got > 0 ? got : 0] = '\0';
    return is_uuid(out) ? 0 : error_set(error, ERROR_PERM, "%s does not hold a UUID", path);
}

/* Whole or not at all: a name appears only once its content is there. */
static int write_id(const char *path, const char *id, struct error *error)
{
    char *temporary = mem_printf("%s.%d", path, (int)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int result = 0;

    if (fd < 0 || dprintf(fd, "%s\n", id) < 0 || fsync(fd) < 0 || rename(temporary, path) < 0)
        result = error_set_errno(error, ERROR_TEMP, errno, "writing %s", path);
    if (fd >= 0)
        close(fd);
    if (result < 0)
        unlink(temporary);
    free(temporary);
    return result;
}

int log_node_id_load(const char *state_dir, struct error *error)
{
    char *path = mem_printf("%s/node-id", state_dir);
    char id[LOG_NODE_ID_CHARS + 1];
    int result;

    if (access(path, F_OK) == 0) {
        result = read_id(path, id, error);
    } else {
        log_uuid(id);
        result = write_id(path, id, error);
    }
    if (result == 0)
        memcpy(node_id, id, sizeof node_id);
    free(path);
    return result;
}
