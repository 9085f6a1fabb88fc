/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a JSON data file: a value that can be written out again, or an error.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "data/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {0};
    json_t *value = data_parse_json(span_make((const char *)data, size), "input", &error);

    MUST(value || error.sentence[0]);
    if (value) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

        MUST(text);
        free(text);
    }
    json_decref(value);
    return 0;
}
