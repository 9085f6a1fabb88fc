/* SPDX-License-Identifier: Apache-2.0
 *
 * What smtp_server_auth_scram returned, made into keys. A plain password takes thousands of rounds of hashing, which is
 * the password pool's work and not this thread's. Whoever the policy does not know gets keys too, with a salt that
 * stays the same for as long as we run, and after as much work as the last user who was known: else the challenge would
 * tell who exists.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "base/secret.h"
#include "password/password.h"
#include "receive/auth_attempt.h"

#define ITERATIONS 4096 /* RFC 7677, section 4: the least, which is what clients can be asked for on phones */
#define ITERATIONS_MOST 10000000
#define DERIVED_ITERATIONS_MOST 100000
#define PROCESS_KEY_BYTES 32

/* ---- users who do not exist ---- */

static char process_key[PROCESS_KEY_BYTES];
static atomic_bool has_passwords; /* the last known user's result was a password: unknown ones cost as much */

static void make_process_key(void) { random_bytes(process_key, sizeof process_key); }

static void make_dummy(const struct auth_question *question, uint32_t iterations, struct scram_keys *keys_out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_process_key);
    scram_keys_dummy(question->scram_hash, span_of(question->authcid), span_make(process_key, sizeof process_key),
                     iterations, keys_out);
}

/* ---- keys made from a password, in the pool ---- */

struct scram_making {
    struct job job;
    struct session *session; /* NULL: it has gone */
    char *password;
    bool is_dummy; /* the keys made are thrown away */
    struct scram_keys keys;
};

static void free_making(struct scram_making *making)
{
    secret_free(making->password);
    secret_wipe(making, sizeof *making);
    free(making);
}

static void run_making(struct job *job)
{
    struct scram_making *making = CONTAINER_OF(job, struct scram_making, job);
    struct scram_keys made;
    struct span salt = span_make((const char *)making->keys.salt, making->keys.salt_len);

    scram_keys_derive(making->keys.hash, span_of(making->password), salt, making->keys.iterations, &made);
    if (!making->is_dummy)
        making->keys = made;
    secret_wipe(&made, sizeof made);
}

static void give_one(struct session *session, const struct scram_keys *keys)
{
    struct scram_set set = {.keys = {*keys}, .count = 1};

    auth_give_keys(session, &set);
    secret_wipe(&set, sizeof set);
}

static void on_made(struct job *job)
{
    struct scram_making *making = CONTAINER_OF(job, struct scram_making, job);
    struct session *session = making->session;

    gate_work_ended();
    if (session) {
        session->attempt->making = NULL;
        session->waiting = WAITING_NOT;
        if (job->expired)
            auth_no_verdict(session, AUTH_REASON_BUSY);
        else
            give_one(session, &making->keys);
        session_resume_soon(session);
    }
    free_making(making);
}

void auth_abandon_keys(struct session *session)
{
    if (session->attempt->making)
        session->attempt->making->session = NULL;
    session->attempt->making = NULL;
}

/* The salt is the dummy's own, so that a user who is made up cannot be told from one with a password. */
static void derive(struct session *session, const char *password, uint32_t iterations, bool is_dummy)
{
    struct scram_making *making = mem_zalloc(sizeof *making);

    make_dummy(auth_exchange_question(session->attempt->exchange), iterations, &making->keys);
    making->password = mem_strdup(password);
    making->is_dummy = is_dummy;
    making->session = session;
    making->job = (struct job){.reply_to = session->listener->loop,
                               .owner = gate_owner_of(&session->connection->remote_ip),
                               .run = run_making,
                               .done = on_made};
    if (gate_work_begin(&making->job)) {
        free_making(making);
        auth_no_verdict(session, AUTH_REASON_BUSY);
        return;
    }
    session->attempt->making = making;
    session->waiting = WAITING_GATE;
}

/* ---- results ---- */

static void give(struct session *session, const struct scram_keys *keys)
{
    atomic_store_explicit(&has_passwords, false, memory_order_relaxed);
    give_one(session, keys);
}

static void give_dummy(struct session *session, uint32_t iterations)
{
    struct scram_keys keys;

    if (iterations <= DERIVED_ITERATIONS_MOST && atomic_load_explicit(&has_passwords, memory_order_relaxed)) {
        derive(session, "", iterations, true);
        return;
    }
    make_dummy(auth_exchange_question(session->attempt->exchange), iterations, &keys);
    give_one(session, &keys);
}

static int decode(const json_t *value, unsigned char *out, size_t least, size_t most, size_t *len_out)
{
    struct buf octets;
    int failed = -1;

    buf_init(&octets, 2 * SCRAM_SALT_LIMIT);
    if (json_is_string(value) && base64_decode(span_of(json_string_value(value)), &octets) == 0 &&
        buf_len(&octets) >= least && buf_len(&octets) <= most) {
        memcpy(out, buf_span(&octets).data, buf_len(&octets));
        *len_out = buf_len(&octets);
        failed = 0;
    }
    buf_done(&octets);
    return failed;
}

static int read_iterations(const json_t *table, uint32_t most, uint32_t *iterations_out)
{
    const json_t *value = json_object_get(table, "iterations");

    if (value && (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > most))
        return -1;
    *iterations_out = value ? (uint32_t)json_integer_value(value) : ITERATIONS;
    return 0;
}

static int read_keys(const json_t *table, enum crypto_hash hash, struct scram_keys *keys_out)
{
    struct scram_keys keys = {.hash = hash};
    size_t bytes = crypto_hash_bytes(hash);
    size_t len;

    if (decode(json_object_get(table, "salt"), keys.salt, 1, SCRAM_SALT_LIMIT, &keys.salt_len) ||
        decode(json_object_get(table, "stored_key"), keys.stored_key, bytes, bytes, &len) ||
        decode(json_object_get(table, "server_key"), keys.server_key, bytes, bytes, &len) ||
        read_iterations(table, ITERATIONS_MOST, &keys.iterations))
        return -1;
    *keys_out = keys;
    return 0;
}

static void bad_keys(struct session *session, const char *why)
{
    struct error error;

    error_set(&error, ERROR_PERM, "%s", why); /* with none of what was returned */
    diag_error(&session->scope, &error, "smtp_server_auth_scram");
    auth_no_verdict(session, AUTH_REASON_BAD_RESULT);
}

static void take_stored(struct session *session, const char *stored, enum crypto_hash wanted)
{
    struct scram_keys keys;

    if (scram_keys_parse(stored, &keys))
        bad_keys(session, "the string is no stored form of SCRAM keys");
    else if (keys.hash != wanted)
        give_dummy(session, keys.iterations); /* he cannot use this mechanism: nobody can tell from outside */
    else
        give(session, &keys);
    secret_wipe(&keys, sizeof keys);
}

/* Whoever has no password is not to be let in by an empty one. A NUL would hide what is behind it. */
static bool is_password(const json_t *value)
{
    return json_string_length(value) > 0 && strlen(json_string_value(value)) == json_string_length(value);
}

static void take_table(struct session *session, const json_t *table, enum crypto_hash wanted)
{
    const json_t *password = json_object_get(table, "password");
    struct scram_keys keys;
    uint32_t iterations;

    if (json_object_get(table, "stored_key")) {
        if (read_keys(table, wanted, &keys))
            bad_keys(session, "salt, stored_key and server_key are base64, iterations is a number");
        else
            give(session, &keys);
        secret_wipe(&keys, sizeof keys);
    } else if (read_iterations(table, password ? DERIVED_ITERATIONS_MOST : ITERATIONS_MOST, &iterations)) {
        bad_keys(session, "iterations is no number, or too large a one");
    } else if (json_is_string(password) && !is_password(password)) {
        bad_keys(session, "the password is empty, or has a NUL");
    } else if (json_is_string(password)) {
        atomic_store_explicit(&has_passwords, true, memory_order_relaxed);
        derive(session, json_string_value(password), iterations, false);
    } else if (!password && json_object_get(table, "iterations")) {
        give_dummy(session, iterations); /* "unknown, and these are the iterations of those who are known" */
    } else {
        bad_keys(session, "the table has neither a password nor keys");
    }
}

void auth_take_keys(struct session *session, const json_t *value)
{
    enum crypto_hash wanted = auth_exchange_question(session->attempt->exchange)->scram_hash;

    session->attempt->has_handlers_keys = true;
    if (json_is_false(value))
        give_dummy(session, ITERATIONS);
    else if (json_is_string(value))
        take_stored(session, json_string_value(value), wanted);
    else if (json_is_object(value))
        take_table(session, value, wanted);
    else
        bad_keys(session, "expected a table, a string, false or nil");
}
