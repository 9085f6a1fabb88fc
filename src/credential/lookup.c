/* SPDX-License-Identifier: Apache-2.0
 *
 * One lookup, on the thread of him who asks: from store to store in their order, until one decides. What the cache
 * knows needs no other thread and no memory; the rest becomes a question to the lookup thread, and the walk goes on
 * where it stood when the answer comes home. A store that fails ends the walk: the next one might know another user of
 * that name.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "credential/credential_private.h"
#include "log/diag.h"
#include "metrics/metrics.h"

/* Answers that a purge has overtaken before we give up. */
#define TRIES_MOST 4

struct lookup {
    struct stores *stores; /* counted once kept */
    struct loop *loop;
    const char *user;   /* owned once kept; NULL: a token's */
    struct span secret; /* likewise */
    struct ip peer;
    enum lookup_mode mode;
    bool is_token;
    lookup_done_fn *on_done;
    void *ctx;

    bool is_kept; /* on the heap, with copies: somebody waits */
    size_t index; /* of the store being asked */
    unsigned tries;
    bool used_cache;
    struct question *question; /* out, or NULL */
};

enum step {
    STEP_NEXT, /* this store has nothing to say */
    STEP_TOLD, /* on_done has run */
    STEP_WAIT,
};

/* ---- telling ---- */

static void count_result(enum store_outcome outcome)
{
    static const enum metric metric_of[] = {[STORE_FOUND] = METRIC_LOOKUPS_FOUND,
                                            [STORE_NOT_FOUND] = METRIC_LOOKUPS_NOT_FOUND,
                                            [STORE_REFUSED] = METRIC_LOOKUPS_REFUSED,
                                            [STORE_FAILED] = METRIC_LOOKUPS_FAILED};

    metrics_count(metric_of[outcome]);
}

static enum step tell(struct lookup *lookup, struct lookup_result *result)
{
    result->is_cached = lookup->used_cache;
    count_result(result->outcome);
    lookup->on_done(lookup->ctx, result);
    return STEP_TOLD;
}

static struct lookup_result result_from(const struct slot *slot, enum store_outcome outcome)
{
    return (struct lookup_result){.outcome = outcome, .store = slot->setup.name, .kind = slot->setup.driver->kind};
}

static enum step tell_failed(struct lookup *lookup, const struct slot *slot, enum error_kind kind, const char *sentence)
{
    struct lookup_result result = result_from(slot, STORE_FAILED);

    error_set(&result.error, kind, "%s", sentence);
    return tell(lookup, &result);
}

static enum step tell_nobody(struct lookup *lookup)
{
    struct lookup_result result = {.outcome = STORE_NOT_FOUND, .store = "", .kind = STORE_RECORDS};

    if (lookup->is_token)
        result.kind = STORE_TOKENS;
    return tell(lookup, &result);
}

/* ---- waiting ---- */

static struct lookup *keep(const struct lookup *lookup)
{
    struct lookup *kept = mem_zalloc(sizeof *kept);
    char *secret = mem_alloc(lookup->secret.len + 1);

    *kept = *lookup;
    kept->is_kept = true;
    stores_ref(kept->stores);
    kept->user = lookup->user ? mem_strdup(lookup->user) : NULL;
    if (lookup->secret.len)
        memcpy(secret, lookup->secret.data, lookup->secret.len);
    kept->secret = span_make(secret, lookup->secret.len);
    return kept;
}

static void lookup_free(struct lookup *lookup)
{
    char *secret = (char *)(uintptr_t)lookup->secret.data;

    secret_wipe(secret, lookup->secret.len);
    free(secret);
    free((char *)(uintptr_t)lookup->user);
    stores_unref(&lookup->stores);
    free(lookup);
}

static enum step ask_store(struct lookup **lookup, struct slot *slot, const char *user)
{
    struct span secret = slot->setup.driver->kind == STORE_RECORDS ? SPAN_LIT("") : (*lookup)->secret;
    struct question *question = question_new(slot, (*lookup)->loop, user, secret, &(*lookup)->peer);

    if (!(*lookup)->is_kept)
        *lookup = keep(*lookup);
    question->lookup = *lookup;
    (*lookup)->question = question;
    if (service_ask(question) == 0)
        return STEP_WAIT;
    (*lookup)->question = NULL;
    question_unref(&question);
    return tell_failed(*lookup, slot, ERROR_CANCELLED, "lookups have ended");
}

/* ---- one store ---- */

static void count_cache(struct stores *stores, enum cache_answer answer)
{
    switch (answer) {
    case CACHE_MISS:
        atomic_fetch_add_explicit(&stores->misses, 1, memory_order_relaxed);
        metrics_count(METRIC_LOOKUP_CACHE_MISSES);
        break;
    case CACHE_FOUND:
        atomic_fetch_add_explicit(&stores->hits, 1, memory_order_relaxed);
        metrics_count(METRIC_LOOKUP_CACHE_HITS);
        break;
    case CACHE_NOT_FOUND:
        atomic_fetch_add_explicit(&stores->negative_hits, 1, memory_order_relaxed);
        metrics_count(METRIC_LOOKUP_CACHE_NEGATIVE);
        break;
    case CACHE_STALE:
        atomic_fetch_add_explicit(&stores->stale, 1, memory_order_relaxed);
        metrics_count(METRIC_LOOKUP_CACHE_STALE);
        break;
    }
}

static enum step tell_record(struct lookup *lookup, const struct slot *slot, struct credential *credential,
                             bool is_stale)
{
    struct lookup_result result = result_from(slot, STORE_FOUND);

    result.credential = credential;
    result.is_stale = is_stale;
    return tell(lookup, &result);
}

static enum step read_table(struct lookup *lookup, const struct slot *slot, const char *user)
{
    struct credential *credential = store_table_find(slot->setup.store, user);

    return credential ? tell_record(lookup, slot, credential, false) : STEP_NEXT;
}

static enum step read_cache(struct lookup **lookup, struct slot *slot, const char *user)
{
    struct stores *stores = (*lookup)->stores;
    struct credential *credential = NULL;
    enum cache_answer answer = cache_get(slot->cache, slot->number, user, (*lookup)->mode, &credential);
    enum step step;

    count_cache(stores, answer);
    if (answer == CACHE_MISS)
        return ask_store(lookup, slot, user);
    (*lookup)->used_cache = true;
    if (answer == CACHE_NOT_FOUND)
        return STEP_NEXT;
    step = tell_record(*lookup, slot, credential, answer == CACHE_STALE);
    credential_unref(&credential);
    return step;
}

static bool is_for(const struct lookup *lookup, const struct slot *slot)
{
    enum store_kind kind = slot->setup.driver->kind;

    if (lookup->is_token || kind == STORE_TOKENS)
        return lookup->is_token && kind == STORE_TOKENS;
    return kind == STORE_RECORDS || lookup->secret.len > 0;
}

static const char *name_for(const struct slot *slot, const char *user, char room[CREDENTIAL_TEXT_LIMIT + 1])
{
    size_t len = 0;

    if (!user || !slot->setup.lower_case)
        return user;
    for (; user[len] && len < CREDENTIAL_TEXT_LIMIT; len++)
        room[len] = ascii_lower(user[len]);
    room[len] = '\0';
    return room;
}

static enum step try_store(struct lookup **lookup)
{
    struct slot *slot = (*lookup)->stores->slots[(*lookup)->index];
    char room[CREDENTIAL_TEXT_LIMIT + 1];
    const char *user = name_for(slot, (*lookup)->user, room);

    if (!is_for(*lookup, slot))
        return STEP_NEXT;
    if (slot->setup.driver == &store_table)
        return read_table(*lookup, slot, user);
    if (slot->setup.driver->kind == STORE_RECORDS)
        return read_cache(lookup, slot, user);
    return ask_store(lookup, slot, user);
}

/* ---- the walk ---- */

/* STEP_TOLD or STEP_WAIT; `*lookup` becomes one on the heap when somebody has to wait. */
static enum step walk(struct lookup **lookup)
{
    for (; (*lookup)->index < (*lookup)->stores->slot_count; (*lookup)->index++) {
        enum step step = try_store(lookup);

        if (step != STEP_NEXT)
            return step;
    }
    return tell_nobody(*lookup);
}

static struct lookup *walk_from_start(struct lookup *borrowed)
{
    struct lookup *lookup = borrowed;
    enum step step;

    if (lookup->user ? !credential_text_is_sound(span_of(lookup->user)) : !lookup->is_token)
        step = tell_nobody(lookup);
    else
        step = walk(&lookup);
    if (step == STEP_WAIT)
        return lookup;
    if (lookup->is_kept)
        lookup_free(lookup);
    return NULL;
}

static enum step tell_answer(struct lookup *lookup, const struct question *question)
{
    struct lookup_result result = result_from(question->slot, question->outcome);

    result.credential = question->credential;
    result.fields = question->fields;
    result.error = question->error;
    result.is_stale = question->is_stale;
    return tell(lookup, &result);
}

/* A purge since the store was asked: ask again, but not for ever. */
static bool is_overtaken(const struct question *question)
{
    return question->slot->setup.driver->kind == STORE_RECORDS && question->outcome != STORE_FAILED &&
           !cache_is_current(question->slot->cache, question->stamp, question->user, question->credential);
}

/* An operator who wonders why a token is nobody's finds here what each store made of it. */
static void say_why_not(const struct lookup *lookup, const struct question *question)
{
    if (lookup->is_token && question->error.kind != ERROR_NONE)
        diag(DIAG_DEBUG, NULL, "login: store %s does not know the token: %s", question->slot->setup.name,
             question->error.sentence);
}

static enum step go_on(struct lookup **lookup, const struct question *question)
{
    if (is_overtaken(question)) {
        if (++(*lookup)->tries == TRIES_MOST)
            return tell_failed(*lookup, question->slot, ERROR_AGAIN, "the cache is being purged again and again");
        return walk(lookup);
    }
    if (question->is_stale) {
        (*lookup)->used_cache = true;
        count_cache((*lookup)->stores, CACHE_STALE);
    }
    if (question->outcome != STORE_NOT_FOUND)
        return tell_answer(*lookup, question);
    say_why_not(*lookup, question);
    (*lookup)->index++;
    return walk(lookup);
}

void lookup_on_question(struct question *question)
{
    struct lookup *lookup = question->lookup;

    question->lookup = NULL;
    lookup->question = NULL;
    if (go_on(&lookup, question) == STEP_TOLD)
        lookup_free(lookup);
}

/* ---- the door ---- */

struct lookup *lookup_user(struct stores *stores, struct loop *loop, const char *user, struct span password,
                           const struct ip *peer, enum lookup_mode mode, lookup_done_fn *on_done, void *ctx)
{
    struct lookup lookup = {.stores = stores,
                            .loop = loop,
                            .user = user,
                            .secret = password,
                            .peer = peer ? *peer : (struct ip){0},
                            .mode = mode,
                            .on_done = on_done,
                            .ctx = ctx};

    return walk_from_start(&lookup);
}

struct lookup *lookup_token(struct stores *stores, struct loop *loop, const char *user, struct span token,
                            const struct ip *peer, lookup_done_fn *on_done, void *ctx)
{
    struct lookup lookup = {.stores = stores,
                            .loop = loop,
                            .user = user,
                            .secret = token,
                            .peer = peer ? *peer : (struct ip){0},
                            .is_token = true,
                            .on_done = on_done,
                            .ctx = ctx};

    return walk_from_start(&lookup);
}

void lookup_cancel(struct lookup *lookup)
{
    if (!lookup)
        return;
    if (question_give_up(lookup->question))
        service_cancel(lookup->question);
    lookup_free(lookup);
}

/* Also the stores of other sets: rules that nobody loads any more may be found again. */
size_t stores_purge(struct stores *stores, const char *user)
{
    slots_lock();
    for (struct slot *slot = slots_next(NULL); slot; slot = slots_next(slot))
        if (slot->setup.driver->purge)
            slot->setup.driver->purge(slot->setup.store);
    slots_unlock();
    return cache_purge(stores->cache, user);
}
