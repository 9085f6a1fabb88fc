/* SPDX-License-Identifier: Apache-2.0
 *
 * MAIL and RCPT arguments, and XCLIENT: a refusal always is a reply.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "smtp/params.h"
#include "smtp/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span args = span_make((const char *)data, size);
    struct smtp_xclient xclient;
    struct smtp_reply refusal;
    struct smtp_mail mail;
    struct smtp_rcpt rcpt;

    refusal.code = 0;
    MUST(smtp_mail_parse(args, &mail, &refusal) == 0 || smtp_reply_is_permanent(&refusal));
    refusal.code = 0;
    MUST(smtp_rcpt_parse(args, size % 2 == 0, &rcpt, &refusal) == 0 || smtp_reply_is_permanent(&refusal));
    refusal.code = 0;
    MUST(smtp_xclient_parse(args, &xclient, &refusal) == 0 || smtp_reply_is_permanent(&refusal));
    return 0;
}
