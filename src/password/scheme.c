/* SPDX-License-Identifier: Apache-2.0
 *
 * The schemes, and finding which of them a stored form is of. A form that has the look of a hash and is of no scheme
 * here is never taken for a plain password: whoever reads it in the file could then log in with it.
 */
#include "base/random.h"
#include "base/secret.h"
#include "password/password_private.h"

#define KIB_MOST FORM_MEMORY_KIB_MOST
#define PBKDF2_MOST 10000000 /* a few seconds */
#define BCRYPT_OCTETS 72     /* what follows is not looked at by bcrypt */
#define CRYPT3_OCTETS 511

#define ARGON2 .parse = argon2_parse, .compute = argon2_compute, .write = argon2_write, .prepare = argon2_prepare
#define CRYPT3 .compute = crypt3_compute, .write = crypt3_write, .prepare = crypt3_prepare
#define SCRYPT .parse = scrypt_parse, .compute = scrypt_compute, .write = scrypt_write, .prepare = scrypt_prepare
#define PBKDF2 .parse = pbkdf2_parse, .compute = pbkdf2_compute, .write = pbkdf2_write, .prepare = pbkdf2_prepare
#define SCRAM .parse = scram_parse, .compute = scram_compute, .write = scram_write, .prepare = scram_prepare
#define PLAIN .parse = plain_parse, .compute = plain_compute, .write = plain_write, .prepare = plain_prepare
#define MD5_CRYPT .parse = md5_crypt_parse, .compute = md5_crypt_compute, .write = crypt3_write
#define SALTED .parse = salted_parse, .compute = salted_compute, .write = salted_write

/* costs: {memory_kib, rounds, parallelism} */
static const struct scheme schemes[PASSWORD_SCHEME_COUNT] = {
    [PASSWORD_PLAIN] = {"plain", PLAIN, .password_most = 512, .is_cheap = true, .is_weak = true},
    [PASSWORD_ARGON2ID] = {"argon2id", ARGON2, {19456, 2, 1}, {8, 1, 1}, {KIB_MOST, 1000, 64}},
    [PASSWORD_ARGON2I] = {"argon2i", ARGON2, {19456, 3, 1}, {8, 1, 1}, {KIB_MOST, 1000, 64}},
    [PASSWORD_BCRYPT] = {"bcrypt", .parse = bcrypt_parse, CRYPT3, {0, 12, 0}, {0, 4, 0}, {0, 16, 0}, BCRYPT_OCTETS},
    [PASSWORD_YESCRYPT] =
        {"yescrypt", .parse = yescrypt_parse, CRYPT3, {0, 5, 0}, {0, 1, 0}, {0, 11, 0}, CRYPT3_OCTETS},
    [PASSWORD_SCRYPT] = {"scrypt", SCRYPT, {65536, 0, 2}, {2, 0, 1}, {KIB_MOST, 0, 64}},
    [PASSWORD_SHA512_CRYPT] = {"sha512-crypt",
                               .parse = sha_crypt_parse,
                               CRYPT3,
                               {0, 300000, 0},
                               {0, 1000, 0},
                               {0, 5000000, 0},
                               CRYPT3_OCTETS},
    [PASSWORD_SHA256_CRYPT] = {"sha256-crypt",
                               .parse = sha_crypt_parse,
                               CRYPT3,
                               {0, 300000, 0},
                               {0, 1000, 0},
                               {0, 5000000, 0},
                               CRYPT3_OCTETS},
    [PASSWORD_PBKDF2_SHA256] = {"pbkdf2-sha256", PBKDF2, {0, 600000, 0}, {0, 1000, 0}, {0, PBKDF2_MOST, 0}},
    [PASSWORD_PBKDF2_SHA512] = {"pbkdf2-sha512", PBKDF2, {0, 220000, 0}, {0, 1000, 0}, {0, PBKDF2_MOST, 0}},
    [PASSWORD_PBKDF2_SHA1] = {"pbkdf2-sha1", PBKDF2, {0, 1300000, 0}, {0, 1000, 0}, {0, PBKDF2_MOST, 0}},
    [PASSWORD_SCRAM_SHA_256] = {"scram-sha-256", SCRAM, {0, 20000, 0}, {0, 4096, 0}, {0, PBKDF2_MOST, 0}},
    [PASSWORD_SCRAM_SHA_1] = {"scram-sha-1", SCRAM, {0, 20000, 0}, {0, 4096, 0}, {0, PBKDF2_MOST, 0}},
    [PASSWORD_APR1] = {"apr1", MD5_CRYPT, .is_weak = true},
    [PASSWORD_MD5_CRYPT] = {"md5-crypt", MD5_CRYPT, .is_weak = true},
    [PASSWORD_SHA] = {"sha", SALTED, .is_cheap = true, .is_weak = true},
    [PASSWORD_SSHA] = {"ssha", SALTED, .is_cheap = true, .is_weak = true},
    [PASSWORD_SSHA256] = {"ssha256", SALTED, .is_cheap = true, .is_weak = true},
    [PASSWORD_SSHA512] = {"ssha512", SALTED, .is_cheap = true, .is_weak = true},
};

static const struct {
    const char *name;
    enum password_scheme scheme;
} aliases[] = {
    {"cleartext", PASSWORD_PLAIN},    {"clear", PASSWORD_PLAIN}, {"blf-crypt", PASSWORD_BCRYPT},
    {"pbkdf2", PASSWORD_PBKDF2_SHA1}, {"sha1", PASSWORD_SHA},
};

/* What a stored form begins with. PASSWORD_SCHEME_COUNT: a hash of somebody's that we lack. */
static const struct {
    const char *beginning;
    enum password_scheme scheme;
} shapes[] = {
    {"$argon2id$", PASSWORD_ARGON2ID},
    {"$argon2i$", PASSWORD_ARGON2I},
    {"$2a$", PASSWORD_BCRYPT},
    {"$2b$", PASSWORD_BCRYPT},
    {"$2y$", PASSWORD_BCRYPT},
    {"$y$", PASSWORD_YESCRYPT},
    {"$scrypt$", PASSWORD_SCRYPT},
    {"$7$", PASSWORD_SCRYPT},
    {"$6$", PASSWORD_SHA512_CRYPT},
    {"$5$", PASSWORD_SHA256_CRYPT},
    {"$pbkdf2-sha256$", PASSWORD_PBKDF2_SHA256},
    {"pbkdf2_sha256$", PASSWORD_PBKDF2_SHA256},
    {"$pbkdf2-sha512$", PASSWORD_PBKDF2_SHA512},
    {"pbkdf2_sha512$", PASSWORD_PBKDF2_SHA512},
    {"$pbkdf2$", PASSWORD_PBKDF2_SHA1},
    {"pbkdf2_sha1$", PASSWORD_PBKDF2_SHA1},
    {"SCRAM-SHA-256$", PASSWORD_SCRAM_SHA_256},
    {"SCRAM-SHA-1$", PASSWORD_SCRAM_SHA_1},
    {"$apr1$", PASSWORD_APR1},
    {"$1$", PASSWORD_MD5_CRYPT},
    {"argon2$argon2", PASSWORD_SCHEME_COUNT}, /* Django's further ones */
    {"bcrypt$$2", PASSWORD_SCHEME_COUNT},
    {"bcrypt_sha256$$2", PASSWORD_SCHEME_COUNT},
    {"scrypt$", PASSWORD_SCHEME_COUNT},
};

const struct scheme *scheme_row(enum password_scheme scheme) { return &schemes[scheme]; }

const char *password_scheme_name(enum password_scheme scheme)
{
    return (unsigned)scheme < PASSWORD_SCHEME_COUNT ? schemes[scheme].name : "unknown";
}

enum password_scheme password_scheme_find(struct span name)
{
    for (size_t i = 0; i < PASSWORD_SCHEME_COUNT; i++)
        if (span_ieq(name, span_of(schemes[i].name)))
            return (enum password_scheme)i;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (span_ieq(name, span_of(aliases[i].name)))
            return aliases[i].scheme;
    return PASSWORD_SCHEME_COUNT;
}

/* ---- finding the scheme of a form ---- */

static bool is_name(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.data[i]);

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return text.len > 0;
}

/* "$name$": what crypt(3) and its followers look like. */
static bool has_the_look_of_a_hash(struct span text)
{
    struct span name;

    return take_prefix(&text, "$") && take_until(&text, '$', &name) && is_name(name);
}

/* Alone, or before the hash. */
bool password_is_locked(const char *stored)
{
    return (stored[0] == '!' || stored[0] == '*') && strchr("!*$", stored[1]); /* or its end */
}

static int find_by_shape(struct span text, enum password_scheme *scheme_out, struct error *error)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (span_starts_with(text, span_of(shapes[i].beginning)) && shapes[i].scheme < PASSWORD_SCHEME_COUNT) {
            *scheme_out = shapes[i].scheme;
            return 0;
        }
    }
    return error_set(error, ERROR_PERM, "the stored password is a hash of a kind that is not known");
}

static bool has_a_shape(struct span text)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (span_starts_with(text, span_of(shapes[i].beginning)))
            return true;
    return has_the_look_of_a_hash(text);
}

static int find_unprefixed(struct span text, enum password_scheme *scheme_out, struct error *error)
{
    if (password_is_locked(text.data))
        return error_set(error, ERROR_PERM, "the stored password is locked");
    if (has_a_shape(text))
        return find_by_shape(text, scheme_out, error);
    *scheme_out = PASSWORD_PLAIN;
    return 0;
}

/* {CRYPT} says that it is a hash, and its shape says which; so does {ARGON2}. */
static int find_prefixed(struct span name, struct span text, enum password_scheme *scheme_out, struct error *error)
{
    enum password_scheme scheme = password_scheme_find(name);

    if (span_ieq(name, SPAN_LIT("crypt")) || span_ieq(name, SPAN_LIT("argon2")))
        return find_by_shape(text, scheme_out, error);
    if (scheme == PASSWORD_SCHEME_COUNT)
        return error_set(error, ERROR_PERM, "the stored password's {PREFIX} names a scheme that is not known");
    *scheme_out = scheme;
    return 0;
}

static int find_scheme(struct span *text, enum password_scheme *scheme_out, struct error *error)
{
    struct span rest = *text, name;

    if (!take_prefix(&rest, "{") || !take_until(&rest, '}', &name) || !is_name(name))
        return find_unprefixed(*text, scheme_out, error);
    *text = rest;
    return find_prefixed(name, rest, scheme_out, error);
}

int form_parse(const char *stored, struct form *form, struct error *error)
{
    size_t len = strnlen(stored, PASSWORD_STORED_LIMIT + 1);
    struct span text = span_make(stored, len);

    *form = (struct form){.scheme = PASSWORD_SCHEME_COUNT};
    if (len == 0)
        return error_set(error, ERROR_PERM, "the stored password is empty");
    if (len > PASSWORD_STORED_LIMIT)
        return error_set(error, ERROR_PERM, "the stored password is longer than %d octets", PASSWORD_STORED_LIMIT);
    if (find_scheme(&text, &form->scheme, error))
        return -1;
    form->row = scheme_row(form->scheme);
    if (form->row->parse(form, text))
        return error_set(error, ERROR_PERM,
                         "the stored password is not a well-formed %s one, or wants more memory or time than it may",
                         form->row->name);
    return 0;
}

void form_wipe(struct form *form) { secret_wipe(form, sizeof *form); }

int form_salt(struct form *form, struct error *error)
{
    (void)error;
    form->salt_len = 16;
    random_bytes(form->salt, form->salt_len);
    return 0;
}
