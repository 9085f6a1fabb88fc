/* SPDX-License-Identifier: Apache-2.0
 *
 * The hashes that crypt(3) knows: bcrypt, yescrypt and the SHA-crypts. A form is a setting (method, cost, salt),
 * which is kept as text in place of a salt, and what the library puts behind it. The costs are read here only to
 * refuse what would keep a core busy for a minute.
 */
#include <crypt.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "password/password_private.h"

#define BCRYPT_SETTING_CHARS 29
#define BCRYPT_DIGEST_CHARS 31
#define SHA_CRYPT_ROUNDS_UNSAID 5000
#define YESCRYPT_DIGEST_CHARS 43
#define SHA512_CRYPT_DIGEST_CHARS 86
#define SHA256_CRYPT_DIGEST_CHARS 43

static size_t digest_chars(enum password_scheme scheme)
{
    switch (scheme) {
    case PASSWORD_BCRYPT:
        return BCRYPT_DIGEST_CHARS;
    case PASSWORD_YESCRYPT:
        return YESCRYPT_DIGEST_CHARS;
    case PASSWORD_SHA256_CRYPT:
        return SHA256_CRYPT_DIGEST_CHARS;
    default:
        return SHA512_CRYPT_DIGEST_CHARS;
    }
}

static bool is_crypt_text(struct span text)
{
    uint32_t value;

    for (size_t i = 0; i < text.len; i++)
        if (!crypt64_value(text.data[i], &value))
            return false;
    return true;
}

/* The last `digest_chars` of the text are the digest, all before is the setting. */
static int split(struct form *form, struct span text, size_t digest_chars)
{
    struct span digest;

    if (text.len <= digest_chars)
        return -1;
    digest = span_from(text, text.len - digest_chars);
    if (!is_crypt_text(digest))
        return -1;
    memcpy(form->digest.data, digest.data, digest.len);
    form->digest.len = digest.len;
    return copy_salt(span_head(text, text.len - digest_chars), form);
}

int bcrypt_parse(struct form *form, struct span text)
{
    struct span rest = text;

    if (text.len != BCRYPT_SETTING_CHARS + BCRYPT_DIGEST_CHARS)
        return -1;
    if (!take_prefix(&rest, "$2a$") && !take_prefix(&rest, "$2b$") && !take_prefix(&rest, "$2y$"))
        return -1;
    if (!take_number(&rest, '$', &form->cost.rounds) || form->cost.rounds > form->row->most.rounds)
        return -1;
    return split(form, text, BCRYPT_DIGEST_CHARS);
}

/* "$y$j9T$": the flavour, the logarithm of N and r, each as one character. What has more (parallelism, a ROM) is
 * nothing that a crypt_gensalt writes. Said as `rounds` is what its `count` argument would have been. */
static int yescrypt_cost(struct form *form, struct span *rest)
{
    uint32_t log2_n, r;
    uint64_t kib;

    if (!take_prefix(rest, "j") || !take_crypt64(rest, 1, &log2_n) || !take_crypt64(rest, 1, &r) ||
        !take_prefix(rest, "$"))
        return -1;
    log2_n++;
    r++;
    if (log2_n > 30)
        return -1;
    kib = ((uint64_t)r << log2_n) / 8; /* a block has 128 r octets */
    if (kib > FORM_MEMORY_KIB_MOST)
        return -1;
    for (uint32_t of_count_one = 1024; of_count_one < kib; of_count_one *= 2)
        form->cost.rounds++;
    form->cost.rounds++;
    return 0;
}

static int split_at_last_dollar(struct form *form, struct span text, size_t digest_chars)
{
    if (text.len <= digest_chars || text.data[text.len - digest_chars - 1] != '$')
        return -1;
    return split(form, text, digest_chars);
}

int yescrypt_parse(struct form *form, struct span text)
{
    struct span rest = text;

    if (!take_prefix(&rest, "$y$") || yescrypt_cost(form, &rest))
        return -1;
    return split_at_last_dollar(form, text, YESCRYPT_DIGEST_CHARS);
}

int sha_crypt_parse(struct form *form, struct span text)
{
    bool is_512 = form->scheme == PASSWORD_SHA512_CRYPT;
    struct span rest = text;

    if (!take_prefix(&rest, is_512 ? "$6$" : "$5$"))
        return -1;
    form->cost.rounds = SHA_CRYPT_ROUNDS_UNSAID;
    if (take_prefix(&rest, "rounds=") && !take_number(&rest, '$', &form->cost.rounds))
        return -1;
    if (form->cost.rounds > form->row->most.rounds)
        return -1;
    return split_at_last_dollar(form, text, digest_chars(form->scheme));
}

/* ---- hashing ---- */

/* crypt(3) takes strings of a limited length: what does not fit is hashed in part, for the time it takes, and matches
 * nothing. False for such. */
static bool phrase_of(struct span password, char phrase[CRYPT_MAX_PASSPHRASE_SIZE])
{
    size_t len = password.len < CRYPT_MAX_PASSPHRASE_SIZE ? password.len : CRYPT_MAX_PASSPHRASE_SIZE - 1;

    if (len)
        memcpy(phrase, password.data, len);
    phrase[len] = '\0';
    return len == password.len;
}

static int take_digest(const struct form *form, const char *whole, struct form_bytes *out)
{
    struct span rest = span_of(whole);

    if (!rest.data || !span_starts_with(rest, span_make((const char *)form->salt, form->salt_len)))
        return -1;
    rest = span_from(rest, form->salt_len);
    if (rest.len > FORM_DIGEST_MOST * 2)
        return -1;
    memcpy(out->data, rest.data, rest.len);
    out->len = rest.len;
    return 0;
}

int crypt3_compute(const struct form *form, struct span password, struct form_bytes *out)
{
    struct crypt_data *data = mem_zalloc(sizeof *data);
    bool fits = phrase_of(password, data->input);
    int status;

    memcpy(data->setting, form->salt, form->salt_len); /* shorter by far than the field: FORM_SALT_MOST */
    status = take_digest(form, crypt_rn(data->input, data->setting, data, sizeof *data), out);
    if (!fits)
        out->len = 0;
    secret_wipe(data, sizeof *data);
    free(data);
    return status;
}

static const char *gensalt_prefix(enum password_scheme scheme)
{
    switch (scheme) {
    case PASSWORD_BCRYPT:
        return "$2b$";
    case PASSWORD_YESCRYPT:
        return "$y$";
    case PASSWORD_SHA256_CRYPT:
        return "$5$";
    default:
        return "$6$";
    }
}

/* bcrypt's digest follows its salt without a separator; the others' settings end with one. */
int crypt3_prepare(struct form *form, struct error *error)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE + 1] = "";

    if (!crypt_gensalt_rn(gensalt_prefix(form->scheme), form->cost.rounds, NULL, 0, setting, CRYPT_GENSALT_OUTPUT_SIZE))
        return error_set(error, ERROR_PERM, "crypt(3) does not take this cost for %s", form->row->name);
    if (form->scheme != PASSWORD_BCRYPT)
        memcpy(setting + strlen(setting), "$", 2);
    form->digest.len = digest_chars(form->scheme);
    if (copy_salt(span_of(setting), form))
        return error_set(error, ERROR_PERM, "crypt(3) made a setting that is too long");
    return 0;
}

int crypt3_write(const struct form *form, struct buf *out)
{
    return buf_append(out, form->salt, form->salt_len) || buf_append(out, form->digest.data, form->digest.len) ? -1 : 0;
}
