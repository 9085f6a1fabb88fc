/* SPDX-License-Identifier: Apache-2.0
 *
 * PROXY headers: bounded, and more bytes never change an answer.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "smtp/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum smtp_proxy_progress last = SMTP_PROXY_MORE;
    struct smtp_proxy proxy;
    size_t step = size > 256 ? 37 : 1;

    for (size_t len = 0; len <= size; len += step) {
        size_t used = 0;
        enum smtp_proxy_progress progress = smtp_proxy_parse(span_make((const char *)data, len), &proxy, &used);

        MUST(last == SMTP_PROXY_MORE || progress == last);
        MUST(progress != SMTP_PROXY_MORE || len < SMTP_PROXY_LIMIT);
        MUST(progress != SMTP_PROXY_DONE || (used > 0 && used <= len));
        last = progress;
    }
    return 0;
}
