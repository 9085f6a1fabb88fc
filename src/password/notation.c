/* SPDX-License-Identifier: Apache-2.0
 *
 * The alphabets and separators that stored forms are written in. Every implementation has its own base64; reading
 * takes them all for one, since no two of them give the same text different meanings.
 */
#include "base/base64.h"
#include "password/password_private.h"

bool take_prefix(struct span *rest, const char *prefix)
{
    if (!span_starts_with(*rest, span_of(prefix)))
        return false;
    *rest = span_from(*rest, strlen(prefix));
    return true;
}

bool take_until(struct span *rest, char end, struct span *part_out)
{
    size_t at = span_find(*rest, end);

    if (at == rest->len)
        return false;
    *part_out = span_head(*rest, at);
    *rest = span_from(*rest, at + 1);
    return true;
}

bool take_number(struct span *rest, char end, uint32_t *value_out)
{
    struct span digits;
    uint64_t value;

    if (!take_until(rest, end, &digits) || span_to_u64(digits, &value) || value > UINT32_MAX)
        return false;
    *value_out = (uint32_t)value;
    return true;
}

/* ---- base64 ---- */

int read_base64(struct span text, unsigned char *out, size_t most, size_t *len_out)
{
    uint32_t bits = 0;
    size_t len = 0;

    while (text.len && text.data[text.len - 1] == '=')
        text.len--;
    if (text.len % 4 == 1)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64_value(text.data[i] == '.' ? '+' : text.data[i]);

        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 0)
            continue;
        if (len == most)
            return -1;
        out[len++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    *len_out = len;
    return 0;
}

int read_hex(struct span text, unsigned char *out, size_t most, size_t *len_out)
{
    if (text.len % 2 || text.len / 2 > most)
        return -1;
    for (size_t i = 0; i < text.len; i += 2) {
        int high = ascii_hex_value(text.data[i]), low = ascii_hex_value(text.data[i + 1]);

        if (high < 0 || low < 0)
            return -1;
        out[i / 2] = (unsigned char)(high << 4 | low);
    }
    *len_out = text.len / 2;
    return 0;
}

int read_digest(struct span text, struct form *form)
{
    if (read_base64(text, form->digest.data, FORM_DIGEST_MOST, &form->digest.len))
        return -1;
    return form->digest.len < FORM_DIGEST_LEAST ? -1 : 0;
}

int read_salt(struct span text, struct form *form)
{
    return read_base64(text, form->salt, sizeof form->salt, &form->salt_len);
}

int copy_salt(struct span text, struct form *form)
{
    if (text.len > sizeof form->salt)
        return -1;
    memcpy(form->salt, text.data, text.len);
    form->salt_len = text.len;
    return 0;
}

int write_base64(const unsigned char *bytes, size_t len, enum base64_style style, struct buf *out)
{
    size_t before = buf_len(out);

    if (base64_encode(span_make((const char *)bytes, len), out))
        return -1;
    if (style == BASE64_PADDED)
        return 0;
    while (buf_len(out) > before && out->data[out->end - 1] == '=')
        buf_truncate(out, buf_len(out) - 1);
    for (size_t i = out->start + before; style == BASE64_DOTTED && i < out->end; i++)
        if (out->data[i] == '+')
            out->data[i] = '.';
    return 0;
}

/* ---- crypt(3)'s alphabet ---- */

bool crypt64_value(char c, uint32_t *value_out)
{
    const char *at = c ? strchr(CRYPT64, c) : NULL;

    if (at)
        *value_out = (uint32_t)(at - CRYPT64);
    return at != NULL;
}

bool take_crypt64(struct span *rest, size_t chars, uint32_t *value_out)
{
    uint32_t value = 0, digit;

    if (rest->len < chars)
        return false;
    for (size_t i = 0; i < chars; i++) {
        if (!crypt64_value(rest->data[i], &digit))
            return false;
        value |= digit << (6 * i);
    }
    *rest = span_from(*rest, chars);
    *value_out = value;
    return true;
}
