/* SPDX-License-Identifier: Apache-2.0
 *
 * The thousand rounds of MD5 that FreeBSD's crypt(3) began with ("$1$") and that Apache's htpasswd still writes
 * unless told otherwise ("$apr1$", the same with another word mixed in). Weak by now; read, never made.
 */
#include "base/secret.h"
#include "crypto/digest.h"
#include "password/password_private.h"

#define ROUNDS 1000
#define SALT_MOST 8
#define MD5_BYTES 16
#define DIGEST_CHARS 22

static const char *magic_of(const struct form *form) { return form->scheme == PASSWORD_APR1 ? "$apr1$" : "$1$"; }

/* The salt is kept with the magic before and a '$' behind it, as crypt3_write wants it. */
static struct span salt_of(const struct form *form)
{
    size_t magic = strlen(magic_of(form));

    return span_make((const char *)form->salt + magic, form->salt_len - magic - 1);
}

int md5_crypt_parse(struct form *form, struct span text)
{
    struct span rest = text, salt;
    uint32_t value;

    if (!take_prefix(&rest, magic_of(form)) || !take_until(&rest, '$', &salt) || salt.len > SALT_MOST ||
        rest.len != DIGEST_CHARS)
        return -1;
    for (size_t i = 0; i < rest.len; i++)
        if (!crypt64_value(rest.data[i], &value))
            return -1;
    memcpy(form->digest.data, rest.data, rest.len);
    form->digest.len = rest.len;
    return copy_salt(span_head(text, text.len - rest.len), form);
}

/* ---- hashing: the text of each round is put together, then digested ---- */

struct rounds {
    struct span password, salt;
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];
    struct buf text;
    bool failed;
};

static void add(struct rounds *rounds, struct span part)
{
    if (buf_append_span(&rounds->text, part))
        rounds->failed = true;
}

static void add_digest(struct rounds *rounds, size_t len) { add(rounds, span_make((const char *)rounds->digest, len)); }

static void digest(struct rounds *rounds)
{
    crypto_digest(CRYPTO_MD5, buf_span(&rounds->text), rounds->digest);
    buf_clear(&rounds->text);
}

static void begin(struct rounds *rounds, const char *magic)
{
    add(rounds, rounds->password);
    add(rounds, rounds->salt);
    add(rounds, rounds->password);
    digest(rounds);
    add(rounds, rounds->password);
    add(rounds, span_of(magic));
    add(rounds, rounds->salt);
    for (size_t left = rounds->password.len; left > 0; left -= left < MD5_BYTES ? left : MD5_BYTES)
        add_digest(rounds, left < MD5_BYTES ? left : MD5_BYTES);
    for (size_t bits = rounds->password.len; bits > 0; bits >>= 1)
        add(rounds, bits & 1 ? span_make("", 1) : span_head(rounds->password, 1));
    digest(rounds);
}

static void turn(struct rounds *rounds, unsigned round)
{
    if (round & 1)
        add(rounds, rounds->password);
    else
        add_digest(rounds, MD5_BYTES);
    if (round % 3)
        add(rounds, rounds->salt);
    if (round % 7)
        add(rounds, rounds->password);
    if (round & 1)
        add_digest(rounds, MD5_BYTES);
    else
        add(rounds, rounds->password);
    digest(rounds);
}

static void write_text(const unsigned char d[MD5_BYTES], struct form_bytes *out)
{
    static const unsigned char order[][3] = {{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}};
    uint32_t bits;

    out->len = 0;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        bits = (uint32_t)d[order[i][0]] << 16 | (uint32_t)d[order[i][1]] << 8 | d[order[i][2]];
        for (int chars = 0; chars < 4; chars++, bits >>= 6)
            out->data[out->len++] = (unsigned char)CRYPT64[bits & 63];
    }
    out->data[out->len++] = (unsigned char)CRYPT64[d[11] & 63];
    out->data[out->len++] = (unsigned char)CRYPT64[d[11] >> 6];
}

int md5_crypt_compute(const struct form *form, struct span password, struct form_bytes *out)
{
    struct rounds rounds = {.password = password, .salt = salt_of(form)};

    /* all of it at once: growing would leave copies behind */
    buf_init(&rounds.text, 3 * password.len + 2 * MD5_BYTES + 64);
    rounds.failed = !buf_reserve(&rounds.text, rounds.text.limit_bytes);
    begin(&rounds, magic_of(form));
    for (unsigned round = 0; round < ROUNDS; round++)
        turn(&rounds, round);
    write_text(rounds.digest, out);
    if (rounds.text.data)
        secret_wipe(rounds.text.data, rounds.text.capacity);
    buf_done(&rounds.text);
    secret_wipe(rounds.digest, sizeof rounds.digest);
    return rounds.failed ? -1 : 0;
}
