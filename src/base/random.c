/* SPDX-License-Identifier: Apache-2.0
 *
 * getrandom(2), in small batches per thread so that an id costs no system call.
 */
#include "base/random.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/must.h"

#define POOL_BYTES 256

static _Thread_local unsigned char pool[POOL_BYTES];
static _Thread_local size_t pool_left;

static void fill(void *out, size_t len)
{
    unsigned char *at = out;

    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);

        MUST(got > 0 || (got < 0 && errno == EINTR));
        if (got > 0) {
            at += got;
            len -= (size_t)got;
        }
    }
}

void random_bytes(void *out, size_t len)
{
    if (len > POOL_BYTES / 4) {
        fill(out, len);
        return;
    }
    if (pool_left < len) {
        fill(pool, sizeof pool);
        pool_left = sizeof pool;
    }
    pool_left -= len;
    memcpy(out, pool + pool_left, len);
    /* what was handed out is not kept: it may have become a secret */
    explicit_bzero(pool + pool_left, len);
}

uint64_t random_below(uint64_t bound)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t value;

    MUST(bound > 0);
    do
        random_bytes(&value, sizeof value);
    while (value >= limit);
    return value % bound;
}
