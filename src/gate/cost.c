/* SPDX-License-Identifier: Apache-2.0
 *
 * What a refusal costs. Whoever guesses must not learn from a stopwatch whether a user exists, so a user who does not
 * is verified too, against a dummy of the form that users here have: the last one that was verified. Where users have
 * several secrets each refusal costs as many verifications as the richest record's, or the number would tell.
 *
 * The awkward truth: where records of very different forms live side by side (an old hash and a new one), a dummy can
 * be like one of them only, and the others can be told apart by a patient peer until they are hashed anew. And a
 * record of more than GATE_ROUNDS_MOST secrets costs more than a dummy does: the price of a guess has to end.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "gate/gate_private.h"

#define SCRAM_ITERATIONS 4096 /* RFC 7677, section 4 */

static char *dummy_of_scheme(enum password_scheme scheme, const struct password_cost *hash_cost)
{
    struct buf stored;
    char *dummy;

    buf_init(&stored, PASSWORD_STORED_LIMIT);
    if (password_hash(scheme, hash_cost, SPAN_LIT("nobody"), &stored, NULL))
        dummy = password_dummy(NULL);
    else
        dummy = password_dummy(buf_cstr(&stored));
    buf_done(&stored);
    return dummy;
}

void gate_cost_init(struct gate_cost *cost, const char *like, enum password_scheme scheme,
                    const struct password_cost *hash_cost)
{
    pthread_mutex_init(&cost->lock, NULL);
    cost->dummy = like ? password_dummy(like) : dummy_of_scheme(scheme, hash_cost);
    cost->learnt = like ? map_hash(span_of(like)) : 0;
    cost->rounds = 1;
    cost->scram_iterations = SCRAM_ITERATIONS;
}

void gate_cost_done(struct gate_cost *cost)
{
    secret_free(cost->dummy);
    pthread_mutex_destroy(&cost->lock);
}

void gate_cost_learn(struct gate_cost *cost, const char *stored)
{
    uint64_t hash = map_hash(span_of(stored));
    char *former = NULL;

    pthread_mutex_lock(&cost->lock);
    if (cost->learnt != hash) {
        former = cost->dummy;
        cost->dummy = password_dummy(stored);
        cost->learnt = hash;
    }
    pthread_mutex_unlock(&cost->lock);
    secret_free(former);
}

void gate_cost_learn_count(struct gate_cost *cost, size_t secrets)
{
    size_t rounds = secrets < GATE_ROUNDS_MOST ? secrets : GATE_ROUNDS_MOST;

    pthread_mutex_lock(&cost->lock);
    if (rounds > cost->rounds)
        cost->rounds = rounds;
    pthread_mutex_unlock(&cost->lock);
}

void gate_cost_learn_scram(struct gate_cost *cost, uint32_t iterations, bool derives)
{
    pthread_mutex_lock(&cost->lock);
    cost->scram_iterations = iterations;
    cost->scram_derives = derives;
    pthread_mutex_unlock(&cost->lock);
}

char *gate_cost_dummy(struct gate_cost *cost, size_t *rounds_out)
{
    char *dummy;

    pthread_mutex_lock(&cost->lock);
    dummy = mem_strdup(cost->dummy);
    *rounds_out = cost->rounds;
    pthread_mutex_unlock(&cost->lock);
    return dummy;
}

void gate_cost_scram(struct gate_cost *cost, uint32_t *iterations_out, bool *derives_out)
{
    pthread_mutex_lock(&cost->lock);
    *iterations_out = cost->scram_iterations;
    *derives_out = cost->scram_derives;
    pthread_mutex_unlock(&cost->lock);
}
