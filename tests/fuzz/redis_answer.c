/* SPDX-License-Identifier: Apache-2.0
 *
 * What Redis answers to our two scripts, as its library has parsed it: whatever comes, the numbers are numbers, the
 * operation that refused is one of ours, and the keys listed are where they were.
 */
#include <hiredis/hiredis.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "tally/tally_private.h"

#define ITEMS 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_run(const redisReply *reply)
{
    struct tally_batch *batch = tally_batch_new();

    batch->count = ITEMS;
    if (!script_read_run(reply, batch)) {
        MUST(batch->refused_by >= -1 && batch->refused_by < ITEMS);
        for (size_t i = 0; i < ITEMS; i++)
            MUST(isfinite(batch->results[i].value));
    }
    batch->count = 0;
    tally_batch_free(batch);
}

static void read_show(const redisReply *reply)
{
    struct tally_call call = {.wanted.limit = 100};
    bool is_last = false;

    if (!script_read_show(reply, "gatepost", &call, &is_last))
        MUST(memchr(call.cursor, '\0', sizeof call.cursor));
    for (size_t i = 0; i < call.found.count; i++)
        MUST(isfinite(call.found.entries[i].value));
    tally_found_settle(&call.found);
    tally_found_clear(&call.found);
}

/* The library makes room for as many elements as are announced: that is not ours to try. */
static bool announces_too_much(const uint8_t *data, size_t size)
{
    size_t digits = 0;

    for (size_t i = 0; i < size; i++) {
        digits = data[i] >= '0' && data[i] <= '9' ? digits + 1 : 0;
        if (digits > 4)
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    redisReader *reader;
    void *reply = NULL;

    if (announces_too_much(data, size))
        return 0;
    reader = redisReaderCreate();
    MUST(reader);
    redisReaderFeed(reader, (const char *)data, size);
    while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
        read_run(reply);
        read_show(reply);
        freeReplyObject(reply);
        reply = NULL;
    }
    redisReaderFree(reader);
    return 0;
}
