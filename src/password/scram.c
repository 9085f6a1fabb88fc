/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys that SCRAM needs in place of a password (RFC 5802, section 3): salted and stretched, so that they serve
 * PLAIN as any hash does, and whoever steals them still has to guess. Two notations: Dovecot's
 * "{SCRAM-SHA-256}4096,salt,stored,server", which we write, and that of RFC 5803 and PostgreSQL.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "password/password_private.h"

/* SASLprep may lengthen: NFKC at most by this. */
#define PREPARED_TIMES 18

static const struct {
    enum password_scheme scheme;
    enum crypto_hash hash;
    const char *name;
} mechanisms[] = {
    {PASSWORD_SCRAM_SHA_256, CRYPTO_SHA256, "SCRAM-SHA-256"},
    {PASSWORD_SCRAM_SHA_1, CRYPTO_SHA1, "SCRAM-SHA-1"},
};

static size_t mechanism_of(enum password_scheme scheme) { return scheme == PASSWORD_SCRAM_SHA_256 ? 0 : 1; }

/* ---- stored forms ---- */

static int read_key(struct span text, unsigned char *out, size_t key_len)
{
    size_t len;

    return read_base64(text, out, key_len, &len) || len != key_len ? -1 : 0;
}

/* `first` stands between iterations and salt, `middle` behind the salt, `last` between the keys. */
static int parse_fields(struct form *form, struct span text, char first, char middle, char last)
{
    size_t key_len = crypto_hash_bytes(mechanisms[mechanism_of(form->scheme)].hash);
    struct span salt, stored_key;

    if (!take_number(&text, first, &form->cost.rounds) || form->cost.rounds < 1 ||
        form->cost.rounds > form->row->most.rounds || !take_until(&text, middle, &salt) || read_salt(salt, form) ||
        form->salt_len < 1 || form->salt_len > SCRAM_SALT_LIMIT || !take_until(&text, last, &stored_key))
        return -1;
    form->digest.len = 2 * key_len;
    return read_key(stored_key, form->digest.data, key_len) || read_key(text, form->digest.data + key_len, key_len) ? -1
                                                                                                                    : 0;
}

int scram_parse(struct form *form, struct span text)
{
    const char *name = mechanisms[mechanism_of(form->scheme)].name;

    if (take_prefix(&text, name))
        return take_prefix(&text, "$") ? parse_fields(form, text, ':', '$', ':') : -1;
    return parse_fields(form, text, ',', ',', ',');
}

int scram_write(const struct form *form, struct buf *out)
{
    size_t key_len = form->digest.len / 2;

    if (buf_appendf(out, "{%s}%u,", mechanisms[mechanism_of(form->scheme)].name, form->cost.rounds) ||
        write_base64(form->salt, form->salt_len, BASE64_PADDED, out) || buf_append(out, ",", 1) ||
        write_base64(form->digest.data, key_len, BASE64_PADDED, out) || buf_append(out, ",", 1))
        return -1;
    return write_base64(form->digest.data + key_len, key_len, BASE64_PADDED, out);
}

int scram_compute(const struct form *form, struct span password, struct form_bytes *out)
{
    struct span salt = span_make((const char *)form->salt, form->salt_len);
    size_t key_len = form->digest.len / 2;
    struct scram_keys keys;

    scram_keys_derive(mechanisms[mechanism_of(form->scheme)].hash, password, salt, form->cost.rounds, &keys);
    memcpy(out->data, keys.stored_key, key_len);
    memcpy(out->data + key_len, keys.server_key, key_len);
    out->len = 2 * key_len;
    secret_wipe(&keys, sizeof keys);
    return 0;
}

int scram_prepare(struct form *form, struct error *error)
{
    form->digest.len = 2 * crypto_hash_bytes(mechanisms[mechanism_of(form->scheme)].hash);
    return form_salt(form, error);
}

/* ---- keys ---- */

static void begin_keys(struct scram_keys *keys, enum crypto_hash hash, uint32_t iterations, struct span salt)
{
    MUST(salt.len <= SCRAM_SALT_LIMIT && crypto_hash_bytes(hash) <= SCRAM_KEY_BYTES);
    *keys = (struct scram_keys){.hash = hash, .iterations = iterations, .salt_len = salt.len};
    memcpy(keys->salt, salt.data, salt.len);
}

static void keyed(enum crypto_hash hash, struct span key, struct span text, unsigned char out[SCRAM_KEY_BYTES])
{
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];

    memcpy(out, digest, crypto_hmac(hash, key, text, digest));
    secret_wipe(digest, sizeof digest);
}

int scram_keys_parse(const char *stored, struct scram_keys *keys_out)
{
    struct form form;
    int status = form_parse(stored, &form, NULL);

    if (!status && form.scheme != PASSWORD_SCRAM_SHA_256 && form.scheme != PASSWORD_SCRAM_SHA_1)
        status = -1;
    if (!status) {
        begin_keys(keys_out, mechanisms[mechanism_of(form.scheme)].hash, form.cost.rounds,
                   span_make((const char *)form.salt, form.salt_len));
        memcpy(keys_out->stored_key, form.digest.data, form.digest.len / 2);
        memcpy(keys_out->server_key, form.digest.data + form.digest.len / 2, form.digest.len / 2);
    }
    form_wipe(&form);
    return status;
}

/* SaltedPassword, ClientKey, StoredKey and ServerKey of RFC 5802, section 3. */
static void derive_prepared(struct span password, struct scram_keys *keys)
{
    struct span salt = span_make((const char *)keys->salt, keys->salt_len);
    size_t len = crypto_hash_bytes(keys->hash);
    unsigned char salted[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES], digest[CRYPTO_DIGEST_MOST_BYTES];
    struct span salted_password = span_make((const char *)salted, len);

    crypto_pbkdf2(keys->hash, password, salt, keys->iterations, salted, len);
    keyed(keys->hash, salted_password, SPAN_LIT("Client Key"), client_key);
    memcpy(keys->stored_key, digest, crypto_digest(keys->hash, span_make((const char *)client_key, len), digest));
    keyed(keys->hash, salted_password, SPAN_LIT("Server Key"), keys->server_key);
    secret_wipe(salted, sizeof salted);
    secret_wipe(client_key, sizeof client_key);
    secret_wipe(digest, sizeof digest);
}

void scram_keys_derive(enum crypto_hash hash, struct span password, struct span salt, uint32_t iterations,
                       struct scram_keys *keys_out)
{
    struct buf prepared;

    begin_keys(keys_out, hash, iterations, salt);
    buf_init(&prepared, password.len * PREPARED_TIMES + 1);
    saslprep(password, &prepared);
    derive_prepared(buf_span(&prepared), keys_out);
    if (prepared.data)
        secret_wipe(prepared.data, prepared.capacity);
    buf_done(&prepared);
}

static void dummy_part(enum crypto_hash hash, struct span process_key, const char *what, struct span user,
                       unsigned char out[SCRAM_KEY_BYTES])
{
    char *text = mem_alloc(strlen(what) + 1 + user.len);

    memcpy(text, what, strlen(what) + 1);
    if (user.len)
        memcpy(text + strlen(what) + 1, user.data, user.len);
    keyed(hash, process_key, span_make(text, strlen(what) + 1 + user.len), out);
    free(text);
}

void scram_keys_dummy(enum crypto_hash hash, struct span user, struct span process_key, uint32_t iterations,
                      struct scram_keys *keys_out)
{
    unsigned char salt[SCRAM_KEY_BYTES];

    dummy_part(hash, process_key, "salt", user, salt);
    begin_keys(keys_out, hash, iterations, span_make((const char *)salt, 16));
    /* the hash of a client key that nobody has */
    dummy_part(hash, process_key, "stored", user, keys_out->stored_key);
    dummy_part(hash, process_key, "server", user, keys_out->server_key);
}
