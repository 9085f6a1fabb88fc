/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths and mailboxes: what is accepted stays within its limits and reads the same again.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "smtp/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_make((const char *)data, size);
    struct smtp_mailbox mailbox;
    struct smtp_mailbox again;
    char local[SMTP_LOCAL_LIMIT + 1];
    size_t used;

    for (unsigned allow = 0; allow < 8; allow++) {
        if (smtp_path_parse(text, allow, &mailbox, &used))
            continue;
        MUST(used <= size);
        MUST(mailbox.text.len <= SMTP_PATH_LIMIT - 2 && mailbox.domain.len <= SMTP_DOMAIN_LIMIT);
        MUST(!memchr(mailbox.text.data, '\r', mailbox.text.len) && !memchr(mailbox.text.data, '\n', mailbox.text.len));
        MUST(smtp_mailbox_parse(mailbox.text, allow, &again) == SMTP_ADDRESS_FINE);
        MUST(span_eq(again.domain, mailbox.domain));
        MUST(smtp_local_unquote(mailbox.local, local) <= mailbox.local.len);
    }
    return 0;
}
