/* SPDX-License-Identifier: Apache-2.0
 *
 * PBKDF2 (RFC 8018), in four notations, of which we write the first:
 *
 *     $pbkdf2-sha256$600000$salt$digest          passlib; base64 with '.' and no padding; "$pbkdf2$" is SHA-1
 *     pbkdf2_sha256$600000$salt$digest           Django; the salt is text
 *     {PBKDF2}$1$salt$5000$hexdigest             Dovecot; SHA-1, the salt is text
 *     {PBKDF2-SHA256}600000$salt$digest          OpenLDAP; otherwise as the first
 */
#include "crypto/digest.h"
#include "password/password_private.h"

static const struct notation {
    enum password_scheme scheme;
    enum crypto_hash hash;
    const char *passlib, *django;
} notations[] = {
    {PASSWORD_PBKDF2_SHA256, CRYPTO_SHA256, "$pbkdf2-sha256$", "pbkdf2_sha256$"},
    {PASSWORD_PBKDF2_SHA512, CRYPTO_SHA512, "$pbkdf2-sha512$", "pbkdf2_sha512$"},
    {PASSWORD_PBKDF2_SHA1, CRYPTO_SHA1, "$pbkdf2$", "pbkdf2_sha1$"},
};

static const struct notation *notation_of(const struct form *form)
{
    const struct notation *notation = notations;

    while (notation->scheme != form->scheme)
        notation++;
    return notation;
}

static bool is_bearable(const struct form *form)
{
    return form->cost.rounds > 0 && form->cost.rounds <= form->row->most.rounds;
}

static int parse_dovecot(struct form *form, struct span text)
{
    struct span salt;

    if (!take_until(&text, '$', &salt) || copy_salt(salt, form) || !take_number(&text, '$', &form->cost.rounds) ||
        !is_bearable(form))
        return -1;
    return read_hex(text, form->digest.data, FORM_DIGEST_MOST, &form->digest.len);
}

static int parse(struct form *form, struct span text)
{
    const struct notation *notation = notation_of(form);
    struct span salt;
    bool is_django;

    if (notation->scheme == PASSWORD_PBKDF2_SHA1 && take_prefix(&text, "$1$"))
        return parse_dovecot(form, text);
    is_django = take_prefix(&text, notation->django);
    if (!is_django)
        take_prefix(&text, notation->passlib); /* OpenLDAP has its own prefix and no other */
    if (!take_number(&text, '$', &form->cost.rounds) || !is_bearable(form) || !take_until(&text, '$', &salt))
        return -1;
    if (is_django ? copy_salt(salt, form) : read_salt(salt, form))
        return -1;
    return read_digest(text, form);
}

/* A digest that was cut is the digest of a shorter output: right by the standard, and the sign of a column that was too
 * narrow. */
int pbkdf2_parse(struct form *form, struct span text)
{
    return parse(form, text) || form->digest.len != crypto_hash_bytes(notation_of(form)->hash) ? -1 : 0;
}

int pbkdf2_compute(const struct form *form, struct span password, struct form_bytes *out)
{
    struct span salt = span_make((const char *)form->salt, form->salt_len);

    out->len = form->digest.len;
    crypto_pbkdf2(notation_of(form)->hash, password, salt, form->cost.rounds, out->data, out->len);
    return 0;
}

int pbkdf2_write(const struct form *form, struct buf *out)
{
    if (buf_appendf(out, "%s%u$", notation_of(form)->passlib, form->cost.rounds) ||
        write_base64(form->salt, form->salt_len, BASE64_DOTTED, out) || buf_append(out, "$", 1))
        return -1;
    return write_base64(form->digest.data, form->digest.len, BASE64_DOTTED, out);
}

int pbkdf2_prepare(struct form *form, struct error *error)
{
    form->digest.len = crypto_hash_bytes(notation_of(form)->hash);
    return form_salt(form, error);
}
