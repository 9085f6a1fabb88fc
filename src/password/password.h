/* SPDX-License-Identifier: Apache-2.0
 *
 * Stored passwords: what a verifier looks like, whether a password matches it, and how to make one.
 * A stored form may carry a prefix as Dovecot and OpenLDAP write it ("{ARGON2ID}$argon2id$..."), or be known by
 * its own shape ("$2b$...", "$y$...", "$argon2id$..."); without either it is taken for a plain password. What looks
 * like a prefix or a hash but is none of ours, and what is empty, is unusable: taken for plain it would be a password
 * that anybody knows who has seen the file. What is locked ("!", "*", "!$6$...") matches nothing.
 *
 * Pure functions that may take long (tens of milliseconds) on purpose: call those not named cheap from a pool.
 */
#ifndef GATEPOST_PASSWORD_PASSWORD_H
#define GATEPOST_PASSWORD_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"
#include "crypto/digest.h"

#define PASSWORD_STORED_LIMIT 1024 /* octets of a stored form */
#define PASSWORD_LIMIT 4096        /* octets of a password we are willing to hash */

enum password_scheme {
    PASSWORD_PLAIN,
    PASSWORD_ARGON2ID,
    PASSWORD_ARGON2I,
    PASSWORD_BCRYPT,
    PASSWORD_YESCRYPT,
    PASSWORD_SCRYPT,
    PASSWORD_SHA512_CRYPT,
    PASSWORD_SHA256_CRYPT,
    PASSWORD_PBKDF2_SHA256,
    PASSWORD_PBKDF2_SHA512,
    PASSWORD_PBKDF2_SHA1,
    PASSWORD_SCRAM_SHA_256, /* the keys of RFC 5803: they serve SCRAM and PLAIN alike */
    PASSWORD_SCRAM_SHA_1,
    /* what htpasswd and slapd leave behind: verified, never made */
    PASSWORD_APR1,
    PASSWORD_MD5_CRYPT,
    PASSWORD_SHA,
    PASSWORD_SSHA,
    PASSWORD_SSHA256,
    PASSWORD_SSHA512,
    PASSWORD_SCHEME_COUNT,
};

/* "argon2id", whatever the case; also the names in {...}. PASSWORD_SCHEME_COUNT when unknown. */
enum password_scheme password_scheme_find(struct span name);
const char *password_scheme_name(enum password_scheme scheme); /* "argon2id" */
/* Of a stored form; PASSWORD_SCHEME_COUNT when its prefix names none of ours, or it is malformed. */
enum password_scheme password_scheme_of(const char *stored);

enum password_verdict {
    PASSWORD_MATCHES,
    PASSWORD_DIFFERS,
    PASSWORD_LOCKED,   /* a verdict like DIFFERS, which takes no time: who must not tell spends it on a dummy */
    PASSWORD_UNUSABLE, /* the stored form is broken or of a scheme we lack, or wants absurd memory or time: the
                          store's fault, never a verdict about the user */
};

enum password_verdict password_verify(struct span password, const char *stored);

/* Whether a password could match it; else -1 with a sentence that says why and shows nothing of it. */
int password_check(const char *stored, struct error *error) __attribute__((warn_unused_result));

/* What verifying a stored form costs: of two that are equal in this, neither takes longer. -1: it is unusable. */
struct password_shape {
    enum password_scheme scheme;
    uint32_t memory_kib, rounds, parallelism; /* 0 where the scheme has no such cost */
};
int password_shape_of(const char *stored, struct password_shape *shape_out) __attribute__((warn_unused_result));

/* The account was closed where passwords are kept: the form is "!" or "*", alone or before a hash. */
bool password_is_locked(const char *stored);

/* Costs microseconds: no pool needed. */
bool password_is_cheap(const char *stored);

/* A stored form that gives the password away, or nearly so: plain, or a fast hash. To be warned about. */
bool password_is_weak(const char *stored);

/* Costs of a new hash; 0 means our default (docs/authentication.md lists them). */
struct password_cost {
    uint32_t memory_kib;  /* argon2, scrypt */
    uint32_t rounds;      /* passes, rounds, log2 of the cost, or iterations, as the scheme counts */
    uint32_t parallelism; /* argon2, scrypt */
};

/* A stored form of the same scheme and cost that no password matches, for users who do not exist: verifying
 * against it takes as long. NULL, or a form that is unusable, stands for our defaults. The caller frees it. */
char *password_dummy(const char *like) __attribute__((returns_nonnull));
/* The same of a new hash, which is not computed; of our defaults where there can be none. */
char *password_dummy_at(enum password_scheme scheme, const struct password_cost *cost) __attribute__((returns_nonnull));

/* Whether password_hash would take this cost, without the time that it would. */
int password_cost_check(enum password_scheme scheme, const struct password_cost *cost, struct error *error)
    __attribute__((warn_unused_result));

/* Appends a new stored form, with its {PREFIX} where the scheme has no shape of its own. ERROR_PERM: a cost out of
 * range, a scheme that is only verified, or a password that the scheme cannot tell from others (empty, with a NUL,
 * too long). */
int password_hash(enum password_scheme scheme, const struct password_cost *cost, struct span password,
                  struct buf *stored_out, struct error *error) __attribute__((warn_unused_result));

/* Appends keys of SCRAM with the hash, salt and iteration count of `former`, which is a stored form of them: one
 * challenge then does for both. Errors as password_hash. */
int password_hash_beside(const char *former, struct span password, struct buf *stored_out, struct error *error)
    __attribute__((warn_unused_result));

/* True when `stored` is of another scheme, or cheaper than `cost` says. */
bool password_needs_rehash(const char *stored, enum password_scheme scheme, const struct password_cost *cost);

/* ---- SCRAM (RFC 5802, RFC 7677, RFC 5803) ---- */

#define SCRAM_KEY_BYTES 32
#define SCRAM_SALT_LIMIT 64

struct scram_keys {
    enum crypto_hash hash; /* CRYPTO_SHA256 or CRYPTO_SHA1 */
    uint32_t iterations;
    size_t salt_len;
    unsigned char salt[SCRAM_SALT_LIMIT];
    unsigned char stored_key[SCRAM_KEY_BYTES];
    unsigned char server_key[SCRAM_KEY_BYTES];
    unsigned char mark[CRYPTO_SHA256_BYTES]; /* for who gave them, to know them again; means nothing here */
};

/* Of one user's secrets, with one salt and iteration count, so that one challenge does for all. */
#define SCRAM_SET_MOST 4
struct scram_set {
    struct scram_keys keys[SCRAM_SET_MOST];
    size_t count; /* 1 at least */
};

/* From "{SCRAM-SHA-256}iterations,salt,stored_key,server_key" (base64) or RFC 5803's
 * "SCRAM-SHA-256$iterations:salt$stored:server" (also PostgreSQL's). -1 when it is neither. */
int scram_keys_parse(const char *stored, struct scram_keys *keys_out) __attribute__((warn_unused_result));
/* From a password, which is prepared as RFC 7677 asks (SASLprep, or as it is where that fails). Blocks. */
void scram_keys_derive(enum crypto_hash hash, struct span password, struct span salt, uint32_t iterations,
                       struct scram_keys *keys_out);
/* Keys for a user who does not exist, the same each time for the same name: salt from a keyed hash, proofs that
 * nobody can give. */
void scram_keys_dummy(enum crypto_hash hash, struct span user, struct span process_key, uint32_t iterations,
                      struct scram_keys *keys_out);

#endif
