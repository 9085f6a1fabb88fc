/* SPDX-License-Identifier: Apache-2.0
 *
 * One round of SHA over password and salt, as slapd writes it ({SSHA} and its sisters; the base64 holds digest and
 * salt) and as "htpasswd -s" does ({SHA}, without a salt). Read, never made: a stolen one is soon a password.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "password/password_private.h"

static enum crypto_hash hash_of(const struct form *form)
{
    if (form->scheme == PASSWORD_SSHA512)
        return CRYPTO_SHA512;
    return form->scheme == PASSWORD_SSHA256 ? CRYPTO_SHA256 : CRYPTO_SHA1;
}

int salted_parse(struct form *form, struct span text)
{
    unsigned char both[CRYPTO_DIGEST_MOST_BYTES + FORM_SALT_MOST];
    size_t digest_len = crypto_hash_bytes(hash_of(form));
    size_t len;

    if (read_base64(text, both, sizeof both, &len) || len < digest_len)
        return -1;
    if ((len == digest_len) != (form->scheme == PASSWORD_SHA))
        return -1;
    memcpy(form->digest.data, both, digest_len);
    form->digest.len = digest_len;
    return copy_salt(span_make((const char *)both + digest_len, len - digest_len), form);
}

int salted_compute(const struct form *form, struct span password, struct form_bytes *out)
{
    char *text = mem_alloc(password.len + form->salt_len + 1);

    if (password.len)
        memcpy(text, password.data, password.len);
    memcpy(text + password.len, form->salt, form->salt_len);
    out->len = crypto_digest(hash_of(form), span_make(text, password.len + form->salt_len), out->data);
    secret_wipe(text, password.len + form->salt_len);
    free(text);
    return 0;
}

int salted_write(const struct form *form, struct buf *out)
{
    unsigned char both[CRYPTO_DIGEST_MOST_BYTES + FORM_SALT_MOST];

    memcpy(both, form->digest.data, form->digest.len);
    memcpy(both + form->digest.len, form->salt, form->salt_len);
    if (buf_appendf(out, "{%s}", form->row->name))
        return -1;
    return write_base64(both, form->digest.len + form->salt_len, BASE64_PADDED, out);
}
