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

/* What is read of a message that waits puts it into the same queue as all of it does. */
static void waits_in_its_queue(const struct message *whole, struct span record)
{
    struct error error;
    struct message *waiting = message_decode_waiting(record, 1, &error);
    struct buf name, whole_name;

    MUST(waiting && !message_meta(waiting));
    buf_init(&name, 1 << 24);
    buf_init(&whole_name, 1 << 24);
    MUST(message_queue_name(waiting, &name) == message_queue_name(whole, &whole_name));
    MUST(span_eq(buf_span(&name), buf_span(&whole_name)));
    message_free(waiting);
    buf_done(&name);
    buf_done(&whole_name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error;
    struct message *message = message_decode(span_make((const char *)data, size), &error);
    struct message *again;
    struct buf record;

    if (!message)
        return 0;
    waits_in_its_queue(message, span_make((const char *)data, size));
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
