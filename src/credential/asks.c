/* SPDX-License-Identifier: Apache-2.0
 *
 * What is asked of one store, on the lookup thread. A record is asked for once at a time, however many wait for it; a
 * password or a token is judged for him who brought it and for nobody else. A store has so many asks out, so many more
 * wait for their turn, and the next one fails at once: a store that hangs costs the sessions that need it a bounded
 * wait, and no other store anything.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "credential/credential_private.h"
#include "log/diag.h"
#include "metrics/metrics.h"
#include "password/password.h"

#define SERVICE_NAME "smtp"

struct ask {
    struct store_ask asked; /* what the driver sees */
    struct slot *slot;
    struct list_node node; /* in the slot's `out` or `queued` */
    struct list waiters;   /* questions; at least one */
    struct timer limit;    /* from the first question to the answer, the turn in the queue included */
    struct cache_stamp stamp;
    uint64_t began_us;
    char *user;
    bool is_out, is_shared;
};

/* How an ask ended; what is counted in it is ask_end's. */
struct answer {
    enum store_outcome outcome;
    struct credential *credential;
    const json_t *fields;
    struct error error;
    bool is_stale;
};

static bool is_of_records(const struct slot *slot) { return slot->setup.driver->kind == STORE_RECORDS; }

static struct span span_of_user(const struct ask *ask) { return span_of(ask->user); }

/* ---- the queue ---- */

/* A driver may answer within its `ask`, which comes back here: the first caller does all the work. */
static void dispatch(struct slot *slot)
{
    struct list_node *node;

    if (slot->is_dispatching)
        return;
    slot->is_dispatching = true;
    while (slot->out.count < slot->setup.concurrency && (node = list_take_first(&slot->queued))) {
        struct ask *ask = CONTAINER_OF(node, struct ask, node);

        ask->is_out = true;
        list_push_back(&slot->out, &ask->node);
        atomic_fetch_add_explicit(&slot->asks, 1, memory_order_relaxed);
        slot->setup.driver->ask(slot->setup.store, &ask->asked);
    }
    slot->is_dispatching = false;
}

static void part_with(struct ask *ask)
{
    if (ask->is_shared)
        map_remove(&ask->slot->shared, span_of_user(ask));
    ask->is_shared = false;
}

/* From here on no question finds it; the driver must have let go of it. */
static void take_out(struct ask *ask)
{
    part_with(ask);
    timer_stop(&ask->limit);
    list_remove(ask->is_out ? &ask->slot->out : &ask->slot->queued, &ask->node);
}

static void call_back(struct ask *ask)
{
    if (ask->is_out)
        ask->slot->setup.driver->cancel(ask->slot->setup.store, &ask->asked);
}

static void ask_free(struct ask *ask)
{
    free(ask->user);
    free(ask);
}

/* ---- the end of an ask ---- */

static void tell(struct ask *ask, const struct answer *answer)
{
    struct list_node *node;

    while ((node = list_take_first(&ask->waiters))) {
        struct question *question = CONTAINER_OF(node, struct question, node);

        question->ask = NULL;
        question->outcome = answer->outcome;
        question->credential = credential_ref(answer->credential);
        question->fields = is_of_records(ask->slot) ? NULL : json_deep_copy(answer->fields);
        question->error = answer->error;
        question->is_stale = answer->is_stale;
        question->stamp = ask->stamp;
        question_send_home(question);
    }
}

/* A failure is not kept, but what the store said before may still serve. */
static void consult_cache(struct ask *ask, struct answer *answer)
{
    struct cache *cache = ask->slot->cache;

    if (answer->outcome != STORE_FAILED) {
        cache_put(cache, ask->slot->number, ask->user, ask->stamp, answer->credential);
        return;
    }
    answer->credential = cache_get_stale(cache, ask->slot->number, ask->user);
    if (!answer->credential)
        return;
    answer->outcome = STORE_FOUND;
    answer->is_stale = true;
}

static void count(struct ask *ask, const struct answer *answer)
{
    uint64_t took_us = clock_mono_us() - ask->began_us;

    atomic_fetch_add_explicit(&ask->slot->took_us, took_us, memory_order_relaxed);
    metrics_observe_us(HISTOGRAM_STORE_LOOKUP, took_us);
    if (answer->outcome == STORE_FAILED)
        atomic_fetch_add_explicit(&ask->slot->failures, 1, memory_order_relaxed);
}

static void ask_end(struct ask *ask, struct answer *answer)
{
    struct slot *slot = ask->slot;

    take_out(ask);
    count(ask, answer);
    if (is_of_records(slot))
        consult_cache(ask, answer);
    tell(ask, answer);
    credential_unref(&answer->credential);
    ask_free(ask);
    dispatch(slot);
}

/* Whose record it is: who was asked for, or whom the token names. */
static const char *user_of(const struct ask *ask, const json_t *fields)
{
    return ask->user ? ask->user : json_string_value(json_object_get(fields, "name"));
}

/* Once for each store: it works, but whoever reads the store has the passwords. */
static void warn_of_weak(struct slot *slot, const struct credential *credential)
{
    for (size_t i = 0; i < credential->secret_count && !slot->has_warned; i++) {
        if (!password_is_weak(credential->secrets[i].stored))
            continue;
        slot->has_warned = true;
        diag(DIAG_WARN, NULL, "store %s: users with plain passwords or fast hashes, \"%s\" among them",
             slot->setup.name, credential->name);
    }
}

static void make_credential(struct ask *ask, const json_t *fields, struct answer *answer)
{
    const char *user = user_of(ask, fields);

    if (!user)
        return;
    if (!fields && !is_of_records(ask->slot)) {
        answer->credential = credential_new(user);
        return;
    }
    answer->credential = credential_from_json(user, fields, true, &answer->error);
    if (answer->credential)
        warn_of_weak(ask->slot, answer->credential);
    else
        answer->outcome = STORE_FAILED; /* a user we cannot understand is neither known nor unknown */
}

static void on_driver_done(struct store_ask *asked, enum store_outcome outcome, const json_t *fields,
                           const struct error *error)
{
    struct ask *ask = CONTAINER_OF(asked, struct ask, asked);
    struct answer answer = {.outcome = outcome, .fields = fields};

    MUST(outcome != STORE_REFUSED || !is_of_records(ask->slot));
    if (error)
        answer.error = *error;
    if (outcome == STORE_FOUND)
        make_credential(ask, fields, &answer);
    ask_end(ask, &answer);
}

static void on_limit(void *ctx)
{
    struct ask *ask = ctx;
    struct answer answer = {.outcome = STORE_FAILED};

    error_set(&answer.error, ERROR_TEMP, "%s within %" PRIu64 " ms", ask->is_out ? "no answer" : "no turn to ask",
              ask->slot->setup.timeout_ms);
    call_back(ask);
    ask_end(ask, &answer);
}

/* ---- its beginning ---- */

static void wait_for(struct ask *ask, struct question *question)
{
    question->ask = ask;
    list_push_back(&ask->waiters, &question->node);
}

static struct ask *ask_new(struct question *question)
{
    struct ask *ask = mem_zalloc(sizeof *ask);
    struct slot *slot = question->slot;
    struct span secret = span_make(question->secret, question->secret_len);

    ask->slot = slot;
    ask->user = question->user ? mem_strdup(question->user) : NULL;
    ask->asked = (struct store_ask){
        .user = ask->user, .peer = question->peer, .service = SERVICE_NAME, .on_done = on_driver_done};
    if (slot->setup.driver->kind == STORE_PASSWORDS)
        ask->asked.password = secret; /* the question outlives the ask: it is the only one that waits */
    if (slot->setup.driver->kind == STORE_TOKENS)
        ask->asked.token = secret;
    ask->began_us = clock_mono_us();
    list_init(&ask->waiters);
    timer_init(&ask->limit, loop_current(), on_limit, ask);
    return ask;
}

static void share(struct ask *ask)
{
    ask->stamp = cache_stamp(ask->slot->cache, ask->user);
    ask->is_shared = true;
    map_put(&ask->slot->shared, span_of_user(ask), ask);
}

/* One that is under way for the same user; not from before a purge. */
static struct ask *find_shared(const struct question *question)
{
    struct ask *ask = map_find(&question->slot->shared, span_of(question->user));

    if (!ask || cache_is_current(question->slot->cache, ask->stamp, ask->user, NULL))
        return ask;
    part_with(ask);
    return NULL;
}

static void refuse(struct question *question)
{
    struct slot *slot = question->slot;

    if (is_of_records(slot))
        cache_not_asked(slot->cache, slot->number, question->user);
    atomic_fetch_add_explicit(&slot->failures, 1, memory_order_relaxed);
    question_fail(question, ERROR_AGAIN, "too many wait for an answer already");
}

void asks_take(struct question *question)
{
    struct slot *slot = question->slot;
    struct ask *ask = is_of_records(slot) ? find_shared(question) : NULL;

    if (ask) {
        wait_for(ask, question);
        return;
    }
    if (slot->out.count + slot->queued.count >= slot->setup.waiting_limit) {
        refuse(question);
        return;
    }
    ask = ask_new(question);
    wait_for(ask, question);
    if (is_of_records(slot))
        share(ask);
    list_push_back(&slot->queued, &ask->node);
    timer_start(&ask->limit, slot->setup.timeout_ms);
    dispatch(slot);
}

static void abandon(struct ask *ask)
{
    struct slot *slot = ask->slot;

    if (is_of_records(slot))
        cache_not_asked(slot->cache, slot->number, ask->user);
    call_back(ask);
    take_out(ask);
    ask_free(ask);
    dispatch(slot);
}

void asks_drop(struct question *question)
{
    struct ask *ask = question->ask;

    if (!ask)
        return;
    list_remove(&ask->waiters, &question->node);
    question->ask = NULL;
    if (list_is_empty(&ask->waiters))
        abandon(ask);
    question_unref(&question);
}

static void end_all(struct list *asks)
{
    struct list_node *node;

    while ((node = list_first(asks))) {
        struct ask *ask = CONTAINER_OF(node, struct ask, node);
        struct answer answer = {.outcome = STORE_FAILED};

        error_set(&answer.error, ERROR_CANCELLED, "the stores are being closed");
        call_back(ask);
        take_out(ask);
        tell(ask, &answer);
        ask_free(ask);
    }
}

void asks_end(struct slot *slot)
{
    end_all(&slot->queued);
    end_all(&slot->out);
}
