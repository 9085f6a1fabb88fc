/* SPDX-License-Identifier: Apache-2.0
 *
 * What a refusal costs. Whoever guesses must not learn from a stopwatch whether a user exists, so a user who does not
 * is verified too, against a dummy. Where users have several secrets each refusal costs as many verifications as the
 * richest record's, or the number would tell.
 *
 * Where users have stored forms of several kinds (an old hash and a new one), each name that is unknown is taken to
 * have one of them, and always the same one: which, is drawn by a keyed hash of the name and the form. A dummy of
 * whatever form was verified last would change as others log in, and give itself away to who asks twice. The same goes
 * for what a challenge of SCRAM shows: iterations, and the length of the salt.
 *
 * The awkward truth: the key is a new one with each start, so a name that costs as much before as after a restart is
 * more likely to exist; a form that is seen for the first time moves some of the unknown names to it; and a record of
 * more than GATE_ROUNDS_MOST secrets costs more than a dummy does: the price of a guess has to end.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "gate/gate_private.h"

#define SCRAM_ITERATIONS 4096 /* RFC 7677, section 4 */
#define SCRAM_SALT_BYTES 16   /* what most programs make */

/* ---- which form a name has that nobody has ---- */

struct draw {
    uint64_t user;
    uint32_t form[4];
};

/* The form that draws highest: so a new one takes some names over, and leaves the others where they are. */
static uint64_t draw(uint64_t user, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    struct draw lot = {user, {a, b, c, d}};

    return map_hash(span_make((const char *)&lot, sizeof lot));
}

static uint64_t draw_form(uint64_t user, const struct password_shape *shape)
{
    return draw(user, (uint32_t)shape->scheme, shape->memory_kib, shape->rounds, shape->parallelism);
}

static uint64_t draw_scram(uint64_t user, const struct gate_scram_form *form)
{
    return draw(user, form->iterations, form->salt_len, form->derives, 0);
}

/* ---- passwords ---- */

void gate_cost_init(struct gate_cost *cost, enum password_scheme scheme, const struct password_cost *hash_cost)
{
    struct gate_form *guess = &cost->forms[0];

    *cost =
        (struct gate_cost){.form_count = 1, .is_guess = true, .rounds = 1, .scram_count = 1, .is_scram_guess = true};
    pthread_mutex_init(&cost->lock, NULL);
    guess->dummy = password_dummy_at(scheme, hash_cost);
    MUST(password_shape_of(guess->dummy, &guess->shape) == 0);
    cost->scram_forms[0] = (struct gate_scram_form){.iterations = SCRAM_ITERATIONS, .salt_len = SCRAM_SALT_BYTES};
}

void gate_cost_done(struct gate_cost *cost)
{
    for (size_t i = 0; i < cost->form_count; i++)
        secret_free(cost->forms[i].dummy);
    if (cost->form_count)
        pthread_mutex_destroy(&cost->lock);
}

static bool is_of(const struct gate_form *form, const struct password_shape *shape)
{
    return form->shape.scheme == shape->scheme && form->shape.memory_kib == shape->memory_kib &&
           form->shape.rounds == shape->rounds && form->shape.parallelism == shape->parallelism;
}

/* Room for a new one: the guess gives way to the first that is known, later the one not seen for longest. */
static struct gate_form *room_for_form(struct gate_cost *cost)
{
    struct gate_form *oldest = &cost->forms[0];

    if (!cost->is_guess && cost->form_count < GATE_FORMS_MOST)
        return &cost->forms[cost->form_count++];
    for (size_t i = 1; i < cost->form_count; i++)
        if (cost->forms[i].seen < oldest->seen)
            oldest = &cost->forms[i];
    cost->is_guess = false;
    secret_free(oldest->dummy);
    return oldest;
}

void gate_cost_learn(struct gate_cost *cost, const char *stored)
{
    struct password_shape shape;
    struct gate_form *form = NULL;

    if (password_shape_of(stored, &shape))
        return;
    pthread_mutex_lock(&cost->lock);
    for (size_t i = 0; i < cost->form_count && !form; i++)
        if (is_of(&cost->forms[i], &shape))
            form = &cost->forms[i];
    if (form) {
        cost->is_guess = false;
    } else {
        form = room_for_form(cost);
        *form = (struct gate_form){.shape = shape, .dummy = password_dummy(stored)};
    }
    form->seen = ++cost->turn;
    pthread_mutex_unlock(&cost->lock);
}

void gate_cost_learn_count(struct gate_cost *cost, size_t secrets)
{
    size_t rounds = secrets < GATE_ROUNDS_MOST ? secrets : GATE_ROUNDS_MOST;

    pthread_mutex_lock(&cost->lock);
    if (rounds > cost->rounds)
        cost->rounds = rounds;
    pthread_mutex_unlock(&cost->lock);
}

char *gate_cost_dummy(struct gate_cost *cost, const char *user, size_t *rounds_out)
{
    uint64_t hash = map_hash(span_of(user)), best = 0;
    const char *drawn;
    char *dummy;

    pthread_mutex_lock(&cost->lock);
    drawn = cost->forms[0].dummy;
    for (size_t i = 0; cost->form_count > 1 && i < cost->form_count; i++) {
        uint64_t lot = draw_form(hash, &cost->forms[i].shape);

        if (lot >= best) {
            best = lot;
            drawn = cost->forms[i].dummy;
        }
    }
    dummy = mem_strdup(drawn);
    *rounds_out = cost->rounds;
    pthread_mutex_unlock(&cost->lock);
    return dummy;
}

/* ---- challenges of SCRAM ---- */

static struct gate_scram_form *room_for_scram(struct gate_cost *cost)
{
    struct gate_scram_form *oldest = &cost->scram_forms[0];

    if (!cost->is_scram_guess && cost->scram_count < GATE_FORMS_MOST)
        return &cost->scram_forms[cost->scram_count++];
    for (size_t i = 1; i < cost->scram_count; i++)
        if (cost->scram_forms[i].seen < oldest->seen)
            oldest = &cost->scram_forms[i];
    return oldest;
}

void gate_cost_learn_scram(struct gate_cost *cost, const struct gate_scram_form *learnt)
{
    struct gate_scram_form *form = NULL;

    pthread_mutex_lock(&cost->lock);
    for (size_t i = 0; i < cost->scram_count && !form; i++) {
        struct gate_scram_form *known = &cost->scram_forms[i];

        if (known->iterations == learnt->iterations && known->salt_len == learnt->salt_len &&
            known->derives == learnt->derives)
            form = known;
    }
    if (!form)
        form = room_for_scram(cost);
    *form = *learnt;
    form->seen = ++cost->turn;
    cost->is_scram_guess = false;
    pthread_mutex_unlock(&cost->lock);
}

struct gate_scram_form gate_cost_scram(struct gate_cost *cost, const char *user)
{
    uint64_t hash = map_hash(span_of(user)), best = 0;
    struct gate_scram_form drawn;

    pthread_mutex_lock(&cost->lock);
    drawn = cost->scram_forms[0];
    for (size_t i = 0; cost->scram_count > 1 && i < cost->scram_count; i++) {
        uint64_t lot = draw_scram(hash, &cost->scram_forms[i]);

        if (lot >= best) {
            best = lot;
            drawn = cost->scram_forms[i];
        }
    }
    pthread_mutex_unlock(&cost->lock);
    return drawn;
}
