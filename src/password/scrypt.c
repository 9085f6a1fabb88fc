/* SPDX-License-Identifier: Apache-2.0
 *
 * scrypt (RFC 7914), in two notations: that of passlib and others ("$scrypt$ln=16,r=8,p=2$salt$digest", the
 * logarithm of N), which we write, and that of crypt(3) ("$7$", numbers in its own alphabet), which we read.
 */
#include "base/random.h"
#include "crypto/digest.h"
#include "password/password_private.h"

#define BLOCK_SIZE 8
#define DIGEST_BYTES 32
#define SEVEN_DIGEST_CHARS 43

/* N blocks of 128 r octets each. */
static bool take_cost(struct form *form, uint32_t log2_n)
{
    uint64_t kib;

    if (log2_n < 1 || log2_n > 30 || form->block_size < 1 || form->block_size > 64 || form->cost.parallelism < 1 ||
        form->cost.parallelism > form->row->most.parallelism)
        return false;
    kib = ((uint64_t)form->block_size << log2_n) / 8;
    if (kib > FORM_MEMORY_KIB_MOST || kib * form->cost.parallelism > FORM_MEMORY_WORK_MOST)
        return false;
    form->cost.memory_kib = kib ? (uint32_t)kib : 1;
    form->version = log2_n;
    return true;
}

static int parse_own(struct form *form, struct span text)
{
    struct span salt;
    uint32_t log2_n;

    if (!take_prefix(&text, "ln=") || !take_number(&text, ',', &log2_n) || !take_prefix(&text, "r=") ||
        !take_number(&text, ',', &form->block_size) || !take_prefix(&text, "p=") ||
        !take_number(&text, '$', &form->cost.parallelism) || !take_cost(form, log2_n))
        return -1;
    if (!take_until(&text, '$', &salt) || read_salt(salt, form) || read_digest(text, form))
        return -1;
    return form->digest.len < DIGEST_BYTES ? -1 : 0; /* one that was cut would still verify */
}

/* Four characters make three octets, the least significant first. */
static int read_seven_digest(struct span text, struct form *form)
{
    uint32_t bits;

    if (text.len != SEVEN_DIGEST_CHARS)
        return -1;
    form->digest.len = 0;
    while (text.len > 0) {
        size_t chars = text.len < 4 ? text.len : 4;

        if (!take_crypt64(&text, chars, &bits))
            return -1;
        for (size_t i = 0; i + 1 < chars; i++, bits >>= 8)
            form->digest.data[form->digest.len++] = (unsigned char)bits;
    }
    return 0;
}

static int parse_seven(struct form *form, struct span text)
{
    struct span salt;
    uint32_t log2_n;

    if (!take_crypt64(&text, 1, &log2_n) || !take_crypt64(&text, 5, &form->block_size) ||
        !take_crypt64(&text, 5, &form->cost.parallelism) || !take_cost(form, log2_n))
        return -1;
    return take_until(&text, '$', &salt) && !copy_salt(salt, form) ? read_seven_digest(text, form) : -1;
}

int scrypt_parse(struct form *form, struct span text)
{
    if (take_prefix(&text, "$7$"))
        return parse_seven(form, text);
    return take_prefix(&text, "$scrypt$") ? parse_own(form, text) : -1;
}

int scrypt_compute(const struct form *form, struct span password, struct form_bytes *out)
{
    struct span salt = span_make((const char *)form->salt, form->salt_len);
    uint64_t memory = (uint64_t)(FORM_MEMORY_KIB_MOST + 1024) * 1024; /* with the working blocks beside */

    out->len = form->digest.len;
    return crypto_scrypt(password, salt, 1ULL << form->version, form->block_size, form->cost.parallelism, memory,
                         out->data, out->len, NULL);
}

int scrypt_write(const struct form *form, struct buf *out)
{
    if (buf_appendf(out, "$scrypt$ln=%u,r=%u,p=%u$", form->version, form->block_size, form->cost.parallelism) ||
        write_base64(form->salt, form->salt_len, BASE64_BARE, out) || buf_append(out, "$", 1))
        return -1;
    return write_base64(form->digest.data, form->digest.len, BASE64_BARE, out);
}

/* N is a power of two: a memory that is none is rounded up. */
int scrypt_prepare(struct form *form, struct error *error)
{
    uint32_t log2_n = 1;

    while ((1U << log2_n) < form->cost.memory_kib)
        log2_n++;
    form->block_size = BLOCK_SIZE;
    form->digest.len = DIGEST_BYTES;
    if (!take_cost(form, log2_n))
        return error_set(error, ERROR_PERM, "this memory and parallelism together are too much for scrypt");
    return form_salt(form, error);
}
