/* SPDX-License-Identifier: Apache-2.0
 *
 * EHLO replies: whatever a server says, the mechanisms' list stays a list.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "smtp/ehlo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_capabilities capabilities;

    smtp_capabilities_parse(span_make((const char *)data, size), &capabilities);
    MUST(memchr(capabilities.auth, '\0', sizeof capabilities.auth));
    MUST(!strchr(capabilities.auth, '\n') && !strchr(capabilities.auth, '\r'));
    return 0;
}
