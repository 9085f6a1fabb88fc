/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys that SCRAM asks for. Where a record has them they are read; where it has a plain password they are made,
 * which takes milliseconds and goes to the password pool. Who does not exist gets keys that nobody can prove, with
 * the salt that this name always has and after the same work.
 *
 * A challenge has one salt. So it does for all secrets of a user that have keys with the same salt, and for plain ones,
 * whose keys are made with any.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/secret.h"
#include "gate/gate_private.h"

struct gate_scram {
    struct job job;
    gate_scram_fn *on_done; /* NULL: cancelled */
    void *ctx;

    struct gate_rules *rules;
    struct scram_set set;
    char *plain[SCRAM_SET_MOST]; /* what keys are made from; NULL: they are there */
    size_t made_for_show;        /* so many from nobody's password */
};

/* Of keys that are made from a plain password. */
#define DERIVED_ITERATIONS 4096 /* RFC 7677, section 4 */
#define DERIVED_SALT_BYTES 16

/* Fixed with the first use, so that a user's dummy salt is the same each time. */
static unsigned char dummy_key[CRYPTO_SHA256_BYTES];
static pthread_once_t dummy_key_made = PTHREAD_ONCE_INIT;

static void make_dummy_key(void) { random_bytes(dummy_key, sizeof dummy_key); }

static void make_dummies(const char *user, enum crypto_hash hash, const struct gate_scram_form *form,
                         struct scram_keys *keys_out)
{
    struct span key = span_make((const char *)dummy_key, sizeof dummy_key);

    scram_keys_dummy(hash, span_of(user), key, form->iterations, keys_out);
    keys_out->salt_len = form->salt_len;
    crypto_pbkdf2(CRYPTO_SHA256, key, span_of(user), 1, keys_out->salt, keys_out->salt_len); /* of any length */
}

/* Behind a {PREFIX}; what looks like a prefix and is none of ours is no plain password. */
static const char *plain_text(const char *stored)
{
    const char *end = *stored == '{' ? strchr(stored, '}') : NULL;

    return end ? end + 1 : stored;
}

static bool is_plain(const char *stored) { return password_scheme_of(stored) == PASSWORD_PLAIN; }

static bool has_keys(const struct credential_secret *secret, enum crypto_hash hash, struct scram_keys *keys_out)
{
    return !scram_keys_parse(secret->stored, keys_out) && keys_out->hash == hash;
}

/* ---- which secrets ---- */

static bool is_of_one_challenge(const struct scram_keys *a, const struct scram_keys *b)
{
    return a->iterations == b->iterations && a->salt_len == b->salt_len && !memcmp(a->salt, b->salt, a->salt_len);
}

/* The first that has keys gives salt and iterations. */
static const struct credential_secret *first_of(const struct credential *credential, const size_t *order, size_t count,
                                                enum crypto_hash hash, struct scram_keys *keys_out)
{
    const struct credential_secret *plain = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct credential_secret *secret = &credential->secrets[order[i]];

        if (has_keys(secret, hash, keys_out))
            return secret;
        if (!plain && is_plain(secret->stored))
            plain = secret;
    }
    keys_out->iterations = 0; /* no other has keys either */
    return plain;
}

size_t gate_scram_secrets(const struct credential *credential, const struct ip *peer, enum crypto_hash hash,
                          int64_t now_ms, const struct credential_secret *secrets_out[SCRAM_SET_MOST])
{
    size_t order[CREDENTIAL_SECRETS_MOST];
    size_t usable = credential ? gate_secrets_in_order(credential, peer, now_ms, order) : 0, count = 0;
    struct scram_keys base, keys;
    const struct credential_secret *first = usable ? first_of(credential, order, usable, hash, &base) : NULL;

    if (first)
        secrets_out[count++] = first;
    for (size_t i = 0; first && i < usable && count < SCRAM_SET_MOST; i++) {
        const struct credential_secret *secret = &credential->secrets[order[i]];

        if (secret != first &&
            (is_plain(secret->stored) || (has_keys(secret, hash, &keys) && is_of_one_challenge(&base, &keys))))
            secrets_out[count++] = secret;
    }
    secret_wipe(&base, sizeof base);
    secret_wipe(&keys, sizeof keys);
    return count;
}

/* ---- knowing them again ---- */

static void make_mark(const char *stored, unsigned char mark_out[CRYPTO_SHA256_BYTES])
{
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];

    crypto_hmac(CRYPTO_SHA256, span_make((const char *)dummy_key, sizeof dummy_key), span_of(stored), digest);
    memcpy(mark_out, digest, CRYPTO_SHA256_BYTES);
}

const struct credential_secret *gate_scram_marked(const struct credential *credential, const struct ip *peer,
                                                  int64_t now_ms, const struct scram_keys *keys)
{
    size_t order[CREDENTIAL_SECRETS_MOST];

    if (credential)
        gate_secrets_in_order(credential, peer, now_ms, order);
    for (size_t i = 0; credential && i < credential->secret_count; i++) {
        const struct credential_secret *secret = &credential->secrets[order[i]];
        unsigned char mark[CRYPTO_SHA256_BYTES];

        make_mark(secret->stored, mark);
        if (secret_equal(span_make((const char *)mark, sizeof mark),
                         span_make((const char *)keys->mark, sizeof keys->mark)))
            return secret;
    }
    return NULL;
}

/* ---- the work ---- */

static void free_scram(struct gate_scram *scram)
{
    for (size_t i = 0; i < SCRAM_SET_MOST; i++)
        secret_free(scram->plain[i]);
    secret_wipe(&scram->set, sizeof scram->set);
    gate_rules_unref(&scram->rules);
    free(scram);
}

static void make_keys(const char *plain, struct scram_keys *keys)
{
    struct scram_keys made;

    scram_keys_derive(keys->hash, span_of(plain), span_make((const char *)keys->salt, keys->salt_len), keys->iterations,
                      &made);
    memcpy(made.mark, keys->mark, sizeof made.mark);
    *keys = made;
    secret_wipe(&made, sizeof made);
}

static void run_job(struct job *job)
{
    struct gate_scram *scram = CONTAINER_OF(job, struct gate_scram, job);
    struct scram_keys nobodys = scram->set.keys[0];

    for (size_t i = 0; i < scram->set.count; i++)
        if (scram->plain[i])
            make_keys(scram->plain[i], &scram->set.keys[i]);
    for (size_t i = 0; i < scram->made_for_show; i++)
        make_keys("nobody", &nobodys);
    secret_wipe(&nobodys, sizeof nobodys);
}

static void job_done(struct job *job)
{
    struct gate_scram *scram = CONTAINER_OF(job, struct gate_scram, job);

    gate_work_ended();
    if (scram->on_done)
        scram->on_done(scram->ctx, job->expired ? NULL : &scram->set);
    free_scram(scram);
}

static size_t count_made(const struct gate_scram *scram)
{
    size_t count = 0;

    for (size_t i = 0; i < scram->set.count; i++)
        count += scram->plain[i] != NULL;
    return count;
}

static void learn(struct gate_scram *scram)
{
    const struct gate_scram_form form = {.iterations = scram->set.keys[0].iterations,
                                         .salt_len = (uint32_t)scram->set.keys[0].salt_len,
                                         .derives = (uint32_t)count_made(scram)};

    gate_cost_learn_scram(&scram->rules->cost, &form);
}

/* What reading a record's keys costs, for who has none: they are read once to find the secret, and once to give them.
 */
static void read_for_show(struct gate_scram *scram, const char *user)
{
    static const char stored[] = "{SCRAM-SHA-256}4096,c2FsdHNhbHRzYWx0c2FsdA==,"
                                 "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=,"
                                 "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";
    struct scram_keys keys;

    make_mark(stored, keys.mark);
    for (int i = 0; i < 2; i++)
        MUST(password_scheme_of(stored) == PASSWORD_SCRAM_SHA_256 && !scram_keys_parse(stored, &keys));
    secret_wipe(&keys, sizeof keys);
    (void)gate_cost_scram(&scram->rules->cost, user); /* as learn() does: under the same lock */
}

/* Keys of a secret, or where it is plain, what they will be made with: the salt and count of the first. */
static void add_secret(struct gate_scram *scram, const struct credential_secret *secret)
{
    size_t at = scram->set.count++;
    struct scram_keys *keys = &scram->set.keys[at];

    if (at > 0)
        *keys = scram->set.keys[0];
    if (is_plain(secret->stored))
        scram->plain[at] = mem_strdup(plain_text(secret->stored));
    else
        MUST(!scram_keys_parse(secret->stored, keys));
    make_mark(secret->stored, keys->mark);
}

/* True when there is work to do. Dummies are made for everybody, lest their making tells. */
static bool prepare(struct gate_scram *scram, const char *user, const struct credential *credential,
                    enum crypto_hash hash, const struct ip *peer)
{
    const struct gate_scram_form made = {.iterations = DERIVED_ITERATIONS, .salt_len = DERIVED_SALT_BYTES};
    struct gate_scram_form form = gate_cost_scram(&scram->rules->cost, user);
    const struct credential_secret *secrets[SCRAM_SET_MOST];
    size_t count = gate_scram_secrets(credential, peer, hash, clock_wall_ms(), secrets);

    pthread_once(&dummy_key_made, make_dummy_key);
    make_dummies(user, hash, count && is_plain(secrets[0]->stored) ? &made : &form, &scram->set.keys[0]);
    for (size_t i = 0; i < count; i++)
        add_secret(scram, secrets[i]);
    if (count) {
        learn(scram);
        return count_made(scram) > 0;
    }
    scram->set.count = 1;
    scram->made_for_show = form.derives;
    read_for_show(scram, user);
    return form.derives > 0;
}

struct gate_scram *gate_scram_start(struct loop *loop, struct gate_rules *rules, const char *user,
                                    const struct credential *credential, enum crypto_hash hash, const struct ip *peer,
                                    gate_scram_fn *on_done, void *ctx)
{
    struct gate_scram *scram = mem_zalloc(sizeof *scram);

    scram->job = (struct job){.reply_to = loop, .owner = gate_owner_of(peer), .run = run_job, .done = job_done};
    scram->rules = gate_rules_ref(rules);
    scram->on_done = on_done;
    scram->ctx = ctx;
    if (!prepare(scram, user, credential, hash, peer)) {
        on_done(ctx, &scram->set);
    } else if (gate_work_begin(&scram->job)) {
        on_done(ctx, NULL);
    } else {
        return scram;
    }
    free_scram(scram);
    return NULL;
}

void gate_scram_cancel(struct gate_scram *scram)
{
    if (scram)
        scram->on_done = NULL;
}
