/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be done with a stored form, whatever its scheme: verify, make, imitate, judge. A form is taken apart, its
 * scheme computes what a password comes to, and the comparison is here, once, in constant time.
 */
#include "password/password.h"

#include "base/must.h"
#include "base/random.h"
#include "base/secret.h"
#include "password/password_private.h"

#define DEFAULT_SCHEME PASSWORD_ARGON2ID

/* ---- judging ---- */

int password_check(const char *stored, struct error *error)
{
    struct form form;
    int status = form_parse(stored, &form, error);

    form_wipe(&form);
    return status;
}

enum password_scheme password_scheme_of(const char *stored)
{
    struct form form;
    enum password_scheme scheme = form_parse(stored, &form, NULL) ? PASSWORD_SCHEME_COUNT : form.scheme;

    form_wipe(&form);
    return scheme;
}

int password_shape_of(const char *stored, struct password_shape *shape_out)
{
    struct form form;
    int status = form_parse(stored, &form, NULL);

    if (!status)
        *shape_out =
            (struct password_shape){form.scheme, form.cost.memory_kib, form.cost.rounds, form.cost.parallelism};
    form_wipe(&form);
    return status;
}

bool password_is_cheap(const char *stored)
{
    enum password_scheme scheme = password_scheme_of(stored);

    return scheme == PASSWORD_SCHEME_COUNT || scheme_row(scheme)->is_cheap; /* saying so takes no time */
}

bool password_is_weak(const char *stored)
{
    enum password_scheme scheme = password_scheme_of(stored);

    return scheme < PASSWORD_SCHEME_COUNT && scheme_row(scheme)->is_weak;
}

/* ---- verifying ---- */

static struct span bytes_span(const struct form_bytes *bytes)
{
    return span_make((const char *)bytes->data, bytes->len);
}

/* To HMAC, and so to PBKDF2 and scrypt, a password and the same with NULs behind it are one; to crypt(3) it ends at
 * the first. No password has any (RFC 4616), so what has is right for nothing. */
static bool can_match(struct span password) { return !password.len || !memchr(password.data, '\0', password.len); }

static enum password_verdict compare(const struct form *form, struct span password)
{
    struct form_bytes given = {.len = 0};
    enum password_verdict verdict = PASSWORD_UNUSABLE;

    if (form->row->compute(form, password, &given) == 0)
        verdict = secret_equal(bytes_span(&given), bytes_span(&form->digest)) && can_match(password) ? PASSWORD_MATCHES
                                                                                                     : PASSWORD_DIFFERS;
    secret_wipe(&given, sizeof given);
    return verdict;
}

enum password_verdict password_verify(struct span password, const char *stored)
{
    enum password_verdict verdict = PASSWORD_UNUSABLE;
    struct form form;

    if (password_is_locked(stored))
        return PASSWORD_LOCKED;
    if (form_parse(stored, &form, NULL) == 0)
        verdict = password.len > PASSWORD_LIMIT ? PASSWORD_DIFFERS : compare(&form, password);
    form_wipe(&form);
    return verdict;
}

/* ---- costs ---- */

static int resolve_one(const char *what, const struct scheme *row, uint32_t usual, uint32_t least, uint32_t most,
                       uint32_t *value, struct error *error)
{
    if (*value == 0)
        *value = usual;
    else if (most == 0)
        return error_set(error, ERROR_PERM, "%s has no %s to choose", row->name, what);
    if (*value < least || *value > most)
        return error_set(error, ERROR_PERM, "%s of %s is from %u to %u", what, row->name, least, most);
    return 0;
}

static int resolve(const struct scheme *row, const struct password_cost *wanted, struct password_cost *cost_out,
                   struct error *error)
{
    struct password_cost cost = wanted ? *wanted : (struct password_cost){0};

    if (resolve_one("memory_kib", row, row->usual.memory_kib, row->least.memory_kib, row->most.memory_kib,
                    &cost.memory_kib, error) ||
        resolve_one("rounds", row, row->usual.rounds, row->least.rounds, row->most.rounds, &cost.rounds, error) ||
        resolve_one("parallelism", row, row->usual.parallelism, row->least.parallelism, row->most.parallelism,
                    &cost.parallelism, error))
        return -1;
    if ((uint64_t)cost.memory_kib * (cost.rounds ? cost.rounds : 1) > FORM_MEMORY_WORK_MOST)
        return error_set(error, ERROR_PERM, "memory_kib times rounds of %s is at most %llu", row->name,
                         (unsigned long long)FORM_MEMORY_WORK_MOST);
    *cost_out = cost;
    return 0;
}

bool password_needs_rehash(const char *stored, enum password_scheme scheme, const struct password_cost *cost)
{
    struct password_cost wanted;
    struct form form;
    bool needs = true;

    if (form_parse(stored, &form, NULL) == 0 && form.scheme == scheme &&
        resolve(scheme_row(scheme), cost, &wanted, NULL) == 0)
        needs = form.cost.memory_kib < wanted.memory_kib || form.cost.rounds < wanted.rounds ||
                (scheme == PASSWORD_SCRYPT && form.cost.parallelism < wanted.parallelism);
    form_wipe(&form);
    return needs;
}

/* ---- making ---- */

static int check_password(const struct scheme *row, struct span password, struct error *error)
{
    size_t most = row->password_most ? row->password_most : PASSWORD_LIMIT;

    if (password.len == 0)
        return error_set(error, ERROR_PERM, "the password is empty");
    if (password.len > most)
        return error_set(error, ERROR_PERM, "%s takes passwords of at most %zu octets", row->name, most);
    if (!can_match(password))
        return error_set(error, ERROR_PERM, "the password has a NUL octet");
    return 0;
}

/* All but the digest: the salt and the costs are as `wanted` says, or ours. */
static int prepare(enum password_scheme scheme, const struct password_cost *wanted, struct form *form,
                   struct error *error)
{
    MUST((unsigned)scheme < PASSWORD_SCHEME_COUNT);
    *form = (struct form){.scheme = scheme, .row = scheme_row(scheme)};
    if (!form->row->prepare)
        return error_set(error, ERROR_PERM, "%s is only verified, not made", form->row->name);
    return resolve(form->row, wanted, &form->cost, error) ? -1 : form->row->prepare(form, error);
}

int password_cost_check(enum password_scheme scheme, const struct password_cost *cost, struct error *error)
{
    struct form form;
    int status = prepare(scheme, cost, &form, error);

    form_wipe(&form);
    return status;
}

static int fill(struct form *form, struct span password, struct error *error)
{
    struct form_bytes digest = {.len = 0};
    int status = form->row->compute(form, password, &digest);

    form->digest = digest;
    secret_wipe(&digest, sizeof digest);
    return status ? error_set(error, ERROR_TEMP, "%s cannot be computed at this cost", form->row->name) : 0;
}

static int finish(struct form *form, struct span password, struct buf *stored_out, struct error *error)
{
    if (check_password(form->row, password, error) || fill(form, password, error))
        return -1;
    if (form->row->write(form, stored_out))
        return error_set(error, ERROR_AGAIN, "no room for the stored password");
    return 0;
}

int password_hash(enum password_scheme scheme, const struct password_cost *cost, struct span password,
                  struct buf *stored_out, struct error *error)
{
    struct form form;
    int status = prepare(scheme, cost, &form, error);

    if (!status)
        status = finish(&form, password, stored_out, error);
    form_wipe(&form);
    return status;
}

int password_hash_beside(const char *former, struct span password, struct buf *stored_out, struct error *error)
{
    struct form form;
    int status = form_parse(former, &form, error);

    if (!status && form.scheme != PASSWORD_SCRAM_SHA_256 && form.scheme != PASSWORD_SCRAM_SHA_1)
        status = error_set(error, ERROR_PERM, "the former password is not kept as keys of SCRAM");
    if (!status)
        status = finish(&form, password, stored_out, error);
    form_wipe(&form);
    return status;
}

/* ---- imitating ---- */

/* Of the alphabet that those schemes use whose digests are text; for the others they are octets as good as any. */
static void randomize(struct form_bytes *digest)
{
    if (digest->len < FORM_DIGEST_LEAST) /* a short plain password: its dummy is not to be guessed */
        digest->len = 2 * FORM_DIGEST_LEAST;
    random_bytes(digest->data, digest->len);
    for (size_t i = 0; i < digest->len; i++)
        digest->data[i] = (unsigned char)CRYPT64[digest->data[i] & 63];
}

static char *imitate(struct form *form)
{
    struct buf text;
    char *dummy;

    randomize(&form->digest);
    buf_init(&text, 2 * PASSWORD_STORED_LIMIT);
    MUST(form->row->write(form, &text) == 0);
    dummy = span_dup(buf_span(&text));
    secret_wipe(text.data, text.capacity);
    buf_done(&text);
    form_wipe(form);
    return dummy;
}

char *password_dummy_at(enum password_scheme scheme, const struct password_cost *cost)
{
    struct form form;

    if (prepare(scheme, cost, &form, NULL))
        MUST(prepare(DEFAULT_SCHEME, NULL, &form, NULL) == 0);
    return imitate(&form);
}

char *password_dummy(const char *like)
{
    struct form form;

    if (!like || form_parse(like, &form, NULL))
        return password_dummy_at(DEFAULT_SCHEME, NULL);
    return imitate(&form);
}
