/* SPDX-License-Identifier: Apache-2.0
 *
 * Message records: whatever the disk holds is refused or read, and what was read is
 * written and read again the same.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "message/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error;
    struct message *message = message_decode(span_make((const char *)data, size), &error);
    struct message *again;
    struct buf record;

    if (!message)
        return 0;
    buf_init(&record, 1 << 24);
    MUST(message_encode(message, &record) == 0);
    again = message_decode(buf_span(&record), &error);
    MUST(again && json_equal(message_meta(message), message_meta(again)));
    MUST(message_recipient_count(message) == message_recipient_count(again));
    message_free(again);
    message_free(message);
    buf_done(&record);
    return 0;
}
