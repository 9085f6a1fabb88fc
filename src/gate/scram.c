/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys that SCRAM asks for. Where a record has them they are read; where it has a plain password they are made,
 * which takes milliseconds and goes to the password pool. Who does not exist gets keys that nobody can prove, with
 * the salt that this name always has and after the same work.
 *
 * A challenge has one salt. So it does for all secrets of a user that have keys with the same salt, and for plain ones,
 * whose keys are made with any.
 *
 * How many secrets a user has is told by no stopwatch: each is read once for the challenge and once after the proof,
 * and for whoever has fewer than the richest user so far, or is nobody, another is read in place of each that is
 * missing. Marks are made likewise. Reading them all takes less than the rest of a challenge by far, so nobody is asked
 * to wait.
 */
#include <stdatomic.h>
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

/* ---- reading secrets, as many for everybody ---- */

/* As many as the record with the most that was asked for. A set is made of so many at least. */
static atomic_size_t secrets_most = SCRAM_SET_MOST;

static size_t count_for_show(const struct credential *credential)
{
    size_t count = credential ? credential->secret_count : 0;
    size_t most = atomic_load_explicit(&secrets_most, memory_order_relaxed);

    while (count > most && !atomic_compare_exchange_weak_explicit(&secrets_most, &most, count, memory_order_relaxed,
                                                                  memory_order_relaxed))
        continue;
    return count > most ? count : most;
}

/* Stands for those that a user does not have. */
static const char stored_for_show[] = "{SCRAM-SHA-256}4096,c2FsdHNhbHRzYWx0c2FsdA==,"
                                      "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=,"
                                      "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";

enum use { USE_KEYS, USE_PLAIN, USE_NONE };

static enum use read_secret(const char *stored, enum crypto_hash hash, struct scram_keys *keys_out)
{
    if (!scram_keys_parse(stored, keys_out))
        return keys_out->hash == hash ? USE_KEYS : USE_NONE;
    return password_scheme_of(stored) == PASSWORD_PLAIN ? USE_PLAIN : USE_NONE;
}

/* ---- which secrets ---- */

/* What one challenge does for; the first gives salt and iterations if any has keys. */
struct choice {
    const struct credential_secret *secrets[SCRAM_SET_MOST];
    struct scram_keys keys[SCRAM_SET_MOST]; /* of those that are not plain */
    bool is_plain[SCRAM_SET_MOST];
    size_t count;
};

static bool is_of_one_challenge(const struct scram_keys *a, const struct scram_keys *b)
{
    return a->iterations == b->iterations && a->salt_len == b->salt_len && !memcmp(a->salt, b->salt, a->salt_len);
}

static bool has_base(const struct choice *choice) { return choice->count && !choice->is_plain[0]; }

/* At the end, or the first keys before the plain ones, of which the last may have to go. */
static void choose_one(struct choice *choice, const struct credential_secret *secret, const struct scram_keys *keys)
{
    bool is_base = keys && !has_base(choice);
    size_t at = is_base ? 0 : choice->count;

    if (choice->count < SCRAM_SET_MOST)
        choice->count++;
    else if (!is_base)
        return;
    for (size_t i = choice->count - 1; i > at; i--) {
        choice->secrets[i] = choice->secrets[i - 1];
        choice->is_plain[i] = true;
    }
    choice->secrets[at] = secret;
    choice->is_plain[at] = !keys;
    if (keys)
        choice->keys[at] = *keys;
}

static void choose(const struct credential *credential, const struct ip *peer, enum crypto_hash hash, int64_t now_ms,
                   struct choice *choice)
{
    size_t order[CREDENTIAL_SECRETS_MOST];
    size_t usable = credential ? gate_secrets_in_order(credential, peer, now_ms, order) : 0;
    size_t most = count_for_show(credential);
    struct scram_keys keys;

    choice->count = 0;
    for (size_t i = 0; i < most; i++) {
        const struct credential_secret *secret = i < usable ? &credential->secrets[order[i]] : NULL;
        enum use use = read_secret(secret ? secret->stored : stored_for_show, hash, &keys);

        if (!secret || use == USE_NONE)
            continue;
        if (use == USE_PLAIN)
            choose_one(choice, secret, NULL);
        else if (!has_base(choice) || is_of_one_challenge(&choice->keys[0], &keys))
            choose_one(choice, secret, &keys);
    }
    secret_wipe(&keys, sizeof keys);
}

size_t gate_scram_secrets(const struct credential *credential, const struct ip *peer, enum crypto_hash hash,
                          int64_t now_ms, const struct credential_secret *secrets_out[SCRAM_SET_MOST])
{
    struct choice choice;

    choose(credential, peer, hash, now_ms, &choice);
    for (size_t i = 0; i < choice.count; i++)
        secrets_out[i] = choice.secrets[i];
    secret_wipe(choice.keys, sizeof choice.keys);
    return choice.count;
}

/* ---- knowing them again ---- */

/* No HMAC: what is marked has a length of its own, nobody is shown a mark, and this takes a sixth of the time. */
static void make_mark(const char *stored, unsigned char mark_out[CRYPTO_SHA256_BYTES])
{
    char text[CRYPTO_SHA256_BYTES + PASSWORD_STORED_LIMIT];
    size_t len = strnlen(stored, PASSWORD_STORED_LIMIT); /* longer ones are of no use */
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];

    memcpy(text, dummy_key, CRYPTO_SHA256_BYTES);
    memcpy(text + CRYPTO_SHA256_BYTES, stored, len);
    crypto_digest(CRYPTO_SHA256, span_make(text, CRYPTO_SHA256_BYTES + len), digest);
    memcpy(mark_out, digest, CRYPTO_SHA256_BYTES);
    secret_wipe(text, CRYPTO_SHA256_BYTES + len);
}

const struct credential_secret *gate_scram_marked(const struct credential *credential, const struct ip *peer,
                                                  int64_t now_ms, const struct scram_keys *keys)
{
    size_t order[CREDENTIAL_SECRETS_MOST];
    size_t count = credential ? credential->secret_count : 0, most = count_for_show(credential);
    const struct credential_secret *found = NULL;

    if (credential)
        gate_secrets_in_order(credential, peer, now_ms, order);
    for (size_t i = 0; i < most; i++) {
        const struct credential_secret *secret = i < count ? &credential->secrets[order[i]] : NULL;
        unsigned char mark[CRYPTO_SHA256_BYTES];

        make_mark(secret ? secret->stored : stored_for_show, mark);
        if (secret_equal(span_make((const char *)mark, sizeof mark),
                         span_make((const char *)keys->mark, sizeof keys->mark)) &&
            !found)
            found = secret;
    }
    return found;
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

/* Keys of a secret, or where it is plain, what they will be made with: the salt and count of the first. */
static void add_secret(struct gate_scram *scram, const struct choice *choice, size_t at)
{
    struct scram_keys *keys = &scram->set.keys[at];

    if (!choice->is_plain[at]) {
        *keys = choice->keys[at];
    } else {
        if (at > 0)
            *keys = scram->set.keys[0];
        scram->plain[at] = mem_strdup(plain_text(choice->secrets[at]->stored));
    }
    scram->set.count++;
}

static void mark_all(struct gate_scram *scram, const struct choice *choice)
{
    unsigned char unseen[CRYPTO_SHA256_BYTES];

    for (size_t i = 0; i < SCRAM_SET_MOST; i++) {
        if (i < choice->count)
            make_mark(choice->secrets[i]->stored, scram->set.keys[i].mark);
        else
            make_mark(stored_for_show, unseen);
    }
}

/* Nobody's set: made-up keys, and what keys made from plain passwords would take. */
static void give_dummies(struct gate_scram *scram, const char *user, const struct gate_scram_form *form)
{
    scram->set.count = 1;
    scram->made_for_show = form->derives;
    (void)gate_cost_scram(&scram->rules->cost, user); /* as learn() does: under the same lock */
}

/* Dummies are made for everybody, lest their making tells. */
static void prepare(struct gate_scram *scram, const char *user, enum crypto_hash hash, const struct choice *choice)
{
    const struct gate_scram_form made = {.iterations = DERIVED_ITERATIONS, .salt_len = DERIVED_SALT_BYTES};
    struct gate_scram_form form = gate_cost_scram(&scram->rules->cost, user);

    make_dummies(user, hash, choice->count && choice->is_plain[0] ? &made : &form, &scram->set.keys[0]);
    for (size_t i = 0; i < choice->count; i++)
        add_secret(scram, choice, i);
    mark_all(scram, choice);
    if (choice->count)
        learn(scram);
    else
        give_dummies(scram, user, &form);
}

struct gate_scram *gate_scram_start(struct loop *loop, struct gate_rules *rules, const char *user,
                                    const struct credential *credential, enum crypto_hash hash, const struct ip *peer,
                                    gate_scram_fn *on_done, void *ctx)
{
    struct gate_scram *scram = mem_zalloc(sizeof *scram);
    struct choice choice;

    pthread_once(&dummy_key_made, make_dummy_key);
    scram->job = (struct job){.reply_to = loop, .owner = gate_owner_of(peer), .run = run_job, .done = job_done};
    scram->rules = gate_rules_ref(rules);
    scram->on_done = on_done;
    scram->ctx = ctx;
    choose(credential, peer, hash, clock_wall_ms(), &choice);
    prepare(scram, user, hash, &choice);
    secret_wipe(choice.keys, sizeof choice.keys);
    if (!count_made(scram) && !scram->made_for_show) {
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
