/* SPDX-License-Identifier: Apache-2.0
 *
 * The arguments of XCLIENT: what is taken is printable, within its ceiling and an address where it says so.
 */
#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "base/must.h"
#include "smtp/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_xclient xclient;
    struct smtp_reply refusal;

    if (smtp_xclient_parse(span_make((const char *)data, size), &xclient, &refusal)) {
        MUST(refusal.code >= 500);
        return 0;
    }
    for (int i = 0; i < SMTP_XCLIENT_COUNT; i++) {
        const struct smtp_xclient_value *value = &xclient.values[i];

        MUST(strlen(value->text) <= SMTP_XCLIENT_VALUE_LIMIT);
        MUST((value->state == SMTP_XCLIENT_SAID) == (value->text[0] != '\0'));
        for (const char *p = value->text; *p; p++)
            MUST(isprint((unsigned char)*p) || (unsigned char)*p >= 0x80);
    }
    return 0;
}
