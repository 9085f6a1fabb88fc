/* SPDX-License-Identifier: Apache-2.0
 *
 * A password as it is. There are systems that can hold nothing else; operators are warned.
 */
#include "password/password_private.h"

int plain_parse(struct form *form, struct span text)
{
    if (text.len == 0) /* would let in whoever sends nothing */
        return -1;
    memcpy(form->digest.data, text.data, text.len);
    form->digest.len = text.len;
    return 0;
}

int plain_compute(const struct form *form, struct span password, struct form_bytes *out)
{
    (void)form;
    out->len = password.len <= sizeof out->data ? password.len : 0;
    if (out->len)
        memcpy(out->data, password.data, out->len);
    return 0;
}

int plain_write(const struct form *form, struct buf *out)
{
    return buf_append_span(out, SPAN_LIT("{PLAIN}")) || buf_append(out, form->digest.data, form->digest.len) ? -1 : 0;
}

int plain_prepare(struct form *form, struct error *error)
{
    (void)form;
    (void)error;
    return 0;
}
