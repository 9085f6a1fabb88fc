/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a TOML data file: a value that can be written out again, or an error.
 */
#include <stdint.h>

#include "base/must.h"
#include "data/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {0};
    json_t *value = data_parse_toml(span_make((const char *)data, size), "input", &error);

    MUST(value || error.sentence[0]);
    if (value) {
        struct buf out;
        struct error ignored;
        json_t *again = NULL;

        buf_init(&out, (size_t)1 << 24);
        if (!data_write_toml(value, size % 2, &out, &ignored)) {
            again = data_parse_toml(buf_span(&out), "again", &error);
            MUST(again && json_equal(value, again));
        }
        json_decref(again);
        buf_done(&out);
    }
    json_decref(value);
    return 0;
}
