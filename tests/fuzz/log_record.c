/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a message's header section and as what a peer said: the record is one line of
 * JSON.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "log/log_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = span_dup(span_make((const char *)data, size));
    char *const headers[] = {(char[]){"*"}, NULL};
    char *const meta[] = {NULL};
    struct log_fields fields = {headers, meta};
    struct record record = {.type = RECORD_REJECTION,
                            .sender = text,
                            .response_content = text,
                            .header_block = span_make((const char *)data, size)};
    struct buf out;

    buf_init(&out, (size_t)64 << 20);
    if (record_format(&record, &fields, "node", 0, &out) == 0) {
        json_t *value = json_loadb(buf_span(&out).data, buf_len(&out), JSON_REJECT_DUPLICATES, NULL);

        MUST(value && span_find(buf_span(&out), '\n') == buf_len(&out) - 1);
        json_decref(value);
    }
    buf_done(&out);
    free(text);
    return 0;
}
