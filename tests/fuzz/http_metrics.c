/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as exposition text for /metrics.json: an object that can be written out, or NULL.
 */
#include <stdint.h>
#include <stdlib.h>

#include "admin/admin_private.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value = metrics_json(span_make((const char *)data, size));

    if (value) {
        char *text = json_dumps(value, JSON_COMPACT);

        MUST(text);
        free(text);
    }
    json_decref(value);
    return 0;
}
