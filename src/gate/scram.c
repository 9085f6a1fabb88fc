/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys that SCRAM asks for. Where a record has them they are read; where it has a plain password they are made,
 * which takes milliseconds and goes to the password pool. Who does not exist gets keys that nobody can prove, with
 * the salt that this name always has and after the same work.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/random.h"
#include "base/secret.h"
#include "gate/gate_private.h"

struct gate_scram {
    struct job job;
    gate_scram_fn *on_done; /* NULL: cancelled */
    void *ctx;

    struct gate_rules *rules;
    char *plain; /* NULL: nobody's, and the work is for show */
    struct scram_keys keys;
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

const struct credential_secret *gate_scram_secret(const struct credential *credential, const struct ip *peer,
                                                  enum crypto_hash hash, int64_t now_ms)
{
    size_t order[CREDENTIAL_SECRETS_MOST];
    size_t usable = credential ? gate_secrets_in_order(credential, peer, now_ms, order) : 0;
    const struct credential_secret *found = NULL;

    for (size_t i = 0; i < usable && !found; i++) {
        const struct credential_secret *secret = &credential->secrets[order[i]];
        struct scram_keys keys;

        if (is_plain(secret->stored) || (!scram_keys_parse(secret->stored, &keys) && keys.hash == hash))
            found = secret;
        secret_wipe(&keys, sizeof keys);
    }
    return found;
}

static void free_scram(struct gate_scram *scram)
{
    secret_free(scram->plain);
    secret_wipe(&scram->keys, sizeof scram->keys);
    gate_rules_unref(&scram->rules);
    free(scram);
}

static void run_job(struct job *job)
{
    struct gate_scram *scram = CONTAINER_OF(job, struct gate_scram, job);
    struct scram_keys made;

    scram_keys_derive(scram->keys.hash, span_of(scram->plain ? scram->plain : "nobody"),
                      span_make((const char *)scram->keys.salt, scram->keys.salt_len), scram->keys.iterations, &made);
    if (scram->plain)
        scram->keys = made;
    secret_wipe(&made, sizeof made);
}

static void job_done(struct job *job)
{
    struct gate_scram *scram = CONTAINER_OF(job, struct gate_scram, job);

    gate_work_ended();
    if (scram->on_done)
        scram->on_done(scram->ctx, job->expired ? NULL : &scram->keys);
    free_scram(scram);
}

static void learn(struct gate_scram *scram)
{
    const struct gate_scram_form form = {.iterations = scram->keys.iterations,
                                         .salt_len = (uint32_t)scram->keys.salt_len,
                                         .derives = scram->plain != NULL};

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

    for (int i = 0; i < 2; i++)
        MUST(password_scheme_of(stored) == PASSWORD_SCRAM_SHA_256 && !scram_keys_parse(stored, &keys));
    secret_wipe(&keys, sizeof keys);
    (void)gate_cost_scram(&scram->rules->cost, user); /* as learn() does: under the same lock */
}

/* True when there is work to do. Dummies are made for everybody, lest their making tells. */
static bool prepare(struct gate_scram *scram, const char *user, const struct credential_secret *secret,
                    enum crypto_hash hash)
{
    const struct gate_scram_form made = {.iterations = DERIVED_ITERATIONS, .salt_len = DERIVED_SALT_BYTES};
    struct gate_scram_form form = gate_cost_scram(&scram->rules->cost, user);
    bool is_made = secret && is_plain(secret->stored);

    pthread_once(&dummy_key_made, make_dummy_key);
    make_dummies(user, hash, is_made ? &made : &form, &scram->keys);
    if (!secret) {
        read_for_show(scram, user);
        return form.derives;
    }
    if (is_made)
        scram->plain = mem_strdup(plain_text(secret->stored));
    else
        MUST(!scram_keys_parse(secret->stored, &scram->keys));
    learn(scram);
    return is_made;
}

struct gate_scram *gate_scram_start(struct loop *loop, struct gate_rules *rules, const char *user,
                                    const struct credential_secret *secret, enum crypto_hash hash,
                                    const struct ip *peer, gate_scram_fn *on_done, void *ctx)
{
    struct gate_scram *scram = mem_zalloc(sizeof *scram);

    scram->job = (struct job){.reply_to = loop, .owner = gate_owner_of(peer), .run = run_job, .done = job_done};
    scram->rules = gate_rules_ref(rules);
    scram->on_done = on_done;
    scram->ctx = ctx;
    if (!prepare(scram, user, secret, hash)) {
        on_done(ctx, &scram->keys);
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
