/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share: a stored form taken apart, the table of schemes, and reading and writing the
 * notations that stored forms are made of. One file per family of schemes.
 */
#ifndef GATEPOST_PASSWORD_PRIVATE_H
#define GATEPOST_PASSWORD_PRIVATE_H

#include "password/password.h"

#define FORM_SALT_MOST 256
#define FORM_DIGEST_LEAST 16 /* octets of a digest: shorter ones are too easily met by chance */
#define FORM_DIGEST_MOST 64

/* What one stored form may cost us, whoever wrote it: a few seconds of a core, and a memory that a machine has. */
#define FORM_MEMORY_KIB_MOST (1U << 20)
#define FORM_MEMORY_WORK_MOST (4ULL << 20) /* KiB times passes over them */

struct form_bytes {
    size_t len;
    unsigned char data[PASSWORD_STORED_LIMIT];
};

/* A stored form taken apart. Holds secrets: form_wipe when done. */
struct form {
    enum password_scheme scheme;
    const struct scheme *row;
    struct password_cost cost; /* 0 where the scheme has no such cost */
    uint32_t version;          /* argon2 */
    uint32_t block_size;       /* scrypt's r */
    size_t salt_len;
    unsigned char salt[FORM_SALT_MOST]; /* crypt(3) and its like: the whole setting, as text */
    struct form_bytes digest;           /* what verifying must come to; text for some */
};

struct scheme {
    const char *name;
    /* From the text behind a {PREFIX}, or all of it. -1: malformed, or beyond what we are willing to spend. */
    int (*parse)(struct form *form, struct span text);
    /* What `password` comes to under the form's salt and cost; of length 0 when no password like this can match.
     * -1: it cannot be computed. */
    int (*compute)(const struct form *form, struct span password, struct form_bytes *out);
    /* Appends the form as stored text. */
    int (*write)(const struct form *form, struct buf *out);
    /* A fresh salt for the form's cost. NULL: forms of this scheme are not made any more. */
    int (*prepare)(struct form *form, struct error *error);
    struct password_cost usual, least, most;
    size_t password_most; /* longer ones the scheme would cut; 0: PASSWORD_LIMIT */
    bool is_cheap, is_weak;
};

const struct scheme *scheme_row(enum password_scheme scheme);

/* -1 with `error` (may be NULL), which shows nothing of the text. */
int form_parse(const char *stored, struct form *form, struct error *error) __attribute__((warn_unused_result));
void form_wipe(struct form *form);
int form_salt(struct form *form, struct error *error); /* 16 random octets: `prepare` of most */

/* ---- families ---- */

int argon2_parse(struct form *form, struct span text);
int argon2_compute(const struct form *form, struct span password, struct form_bytes *out);
int argon2_write(const struct form *form, struct buf *out);
int argon2_prepare(struct form *form, struct error *error);

int bcrypt_parse(struct form *form, struct span text);
int yescrypt_parse(struct form *form, struct span text);
int sha_crypt_parse(struct form *form, struct span text);
int crypt3_compute(const struct form *form, struct span password, struct form_bytes *out);
int crypt3_prepare(struct form *form, struct error *error);
int md5_crypt_parse(struct form *form, struct span text);
int md5_crypt_compute(const struct form *form, struct span password, struct form_bytes *out);
int crypt3_write(const struct form *form, struct buf *out); /* of md5_crypt too */

int scrypt_parse(struct form *form, struct span text);
int scrypt_compute(const struct form *form, struct span password, struct form_bytes *out);
int scrypt_write(const struct form *form, struct buf *out);
int scrypt_prepare(struct form *form, struct error *error);

int pbkdf2_parse(struct form *form, struct span text);
int pbkdf2_compute(const struct form *form, struct span password, struct form_bytes *out);
int pbkdf2_write(const struct form *form, struct buf *out);
int pbkdf2_prepare(struct form *form, struct error *error);

int scram_parse(struct form *form, struct span text);
int scram_compute(const struct form *form, struct span password, struct form_bytes *out);
int scram_write(const struct form *form, struct buf *out);
int scram_prepare(struct form *form, struct error *error);

int salted_parse(struct form *form, struct span text);
int salted_compute(const struct form *form, struct span password, struct form_bytes *out);
int salted_write(const struct form *form, struct buf *out);

int plain_parse(struct form *form, struct span text);
int plain_compute(const struct form *form, struct span password, struct form_bytes *out);
int plain_write(const struct form *form, struct buf *out);
int plain_prepare(struct form *form, struct error *error);

/* ---- notation.c ---- */

#define CRYPT64 "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

bool take_prefix(struct span *rest, const char *prefix); /* false: not there, nothing taken */
/* Decimal digits up to `end`, which is taken too; 32 bits. */
bool take_number(struct span *rest, char end, uint32_t *value_out);
bool take_until(struct span *rest, char end, struct span *part_out); /* false when `end` is not there */

/* Base64 as the writers of stored forms understand it: with or without padding, with '.' for '+'. */
int read_base64(struct span text, unsigned char *out, size_t most, size_t *len_out);
int read_hex(struct span text, unsigned char *out, size_t most, size_t *len_out);
int read_digest(struct span text, struct form *form); /* base64, of a length that we take */
int read_salt(struct span text, struct form *form);   /* base64 */
int copy_salt(struct span text, struct form *form);   /* as it is */

enum base64_style { BASE64_PADDED, BASE64_BARE, BASE64_DOTTED /* bare, with '.' for '+' */ };
int write_base64(const unsigned char *bytes, size_t len, enum base64_style style, struct buf *out);

/* The value of one character of crypt(3)'s alphabet, least significant first where several make a number. */
bool crypt64_value(char c, uint32_t *value_out);
bool take_crypt64(struct span *rest, size_t chars, uint32_t *value_out);

/* ---- saslprep.c ---- */

/* The password as SCRAM wants it (RFC 4013), or as it is where that fails. */
void saslprep(struct span password, struct buf *out);

#endif
