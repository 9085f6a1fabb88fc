/* SPDX-License-Identifier: Apache-2.0
 *
 * Replies: what was read can be written and is read the same again.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/must.h"
#include "smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_make((const char *)data, size);
    struct smtp_reply reply;
    struct smtp_reply again;
    struct buf wire;
    size_t used = 0;

    buf_init(&wire, 1 << 20);
    if (smtp_reply_parse(input, &reply, &used) == SMTP_REPLY_DONE) {
        MUST(used > 0 && used <= size);
        MUST(reply.code >= 200 && reply.code <= 599);
        MUST(smtp_reply_write(&reply, &wire) == 0);
        MUST(smtp_reply_parse(buf_span(&wire), &again, &used) == SMTP_REPLY_DONE);
        MUST(used == buf_len(&wire) && again.code == reply.code);
        buf_clear(&wire);
    }
    smtp_reply_set(&reply, 550, input);
    MUST(smtp_reply_write(&reply, &wire) == 0);
    MUST(smtp_reply_parse(buf_span(&wire), &again, &used) == SMTP_REPLY_DONE);
    MUST(used == buf_len(&wire) && again.code == 550);
    buf_done(&wire);
    return 0;
}
