/* SPDX-License-Identifier: Apache-2.0
 *
 * One instance: its memory, the Redis it may have, and the calls under way between threads. A call that Redis cannot
 * take is answered on the spot; one that Redis has taken comes home as mail, answered by Redis or, when that failed, by
 * memory. Every call is in a list until it is home, so that none is lost when a thread ends.
 */
#include "tally/tally.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "base/secret.h"
#include "crypto/digest.h"
#include "metrics/metrics.h"
#include "tally/tally_private.h"

#define BATCH_TEXT_BYTES 512

struct tally {
    /* fixed after start */
    struct memory *memory;
    /* shared */
    pthread_rwlock_t key_lock;
    unsigned char digest_key[CRYPTO_DIGEST_MOST_BYTES];
    pthread_mutex_t lock;
    struct redis *redis;
    struct list calls;
    char known_epoch[TALLY_EPOCH_BYTES];
    atomic_bool has_redis;
};

static struct tally *the_tally;

/* ---- batches ---- */

struct tally_batch *tally_batch_new(void)
{
    struct tally_batch *batch = mem_zalloc(sizeof *batch);

    batch->refused_by = -1;
    return batch;
}

void tally_batch_free(struct tally_batch *batch)
{
    if (batch)
        free(batch->text);
    free(batch);
}

static void grow_text(struct tally_batch *batch, size_t len)
{
    size_t capacity = batch->text_capacity ? batch->text_capacity : BATCH_TEXT_BYTES;
    char *former = batch->text;

    while (capacity < batch->text_len + len)
        capacity *= 2;
    if (capacity == batch->text_capacity)
        return;
    batch->text = mem_alloc(capacity);
    if (former)
        memcpy(batch->text, former, batch->text_len);
    for (size_t i = 0; i < batch->count; i++)
        batch->items[i].key.data = batch->text + (batch->items[i].key.data - former);
    batch->text_capacity = capacity;
    free(former);
}

bool tally_batch_add(struct tally_batch *batch, const struct tally_item *item)
{
    struct tally_item *added = &batch->items[batch->count];

    if (batch->count == TALLY_OPS_MOST)
        return false;
    grow_text(batch, item->key.len);
    *added = *item;
    added->key.data = memcpy(batch->text + batch->text_len, item->key.data, item->key.len);
    batch->text_len += item->key.len;
    batch->count++;
    return true;
}

static bool needs_time(enum tally_kind kind)
{
    return kind == TALLY_COUNT || kind == TALLY_TAKE || kind == TALLY_MARK || kind == TALLY_JOIN;
}

static void add_op(struct tally *tally, struct tally_batch *batch, const struct tally_op *op)
{
    struct tally_item item = {.kind = op->kind,
                              .keep = op->keep,
                              .if_new = op->if_new,
                              .most = op->most,
                              .amount = op->amount,
                              .limit = op->limit,
                              .time_ms = op->time_ms,
                              .key = span_make(op->key->text, op->key->len)};

    MUST(op->if_new <= batch->count && op->time_ms <= TALLY_TIME_MOST_MS);
    MUST(op->time_ms || !needs_time(op->kind));
    if (op->kind == TALLY_JOIN || op->kind == TALLY_LEAVE || op->kind == TALLY_MEMBERS)
        tally_digest(tally, op->member, item.member);
    MUST(tally_batch_add(batch, &item));
}

/* ---- the instance ---- */

static void set_secret(struct tally *tally, const char *secret)
{
    unsigned char random[32];
    struct span key = span_of(secret);

    if (!secret) {
        random_bytes(random, sizeof random);
        key = span_make((char *)random, sizeof random);
    }
    pthread_rwlock_wrlock(&tally->key_lock);
    crypto_hmac(CRYPTO_SHA256, key, SPAN_LIT("gatepost tally, names of members"), tally->digest_key);
    pthread_rwlock_unlock(&tally->key_lock);
    secret_wipe(random, sizeof random);
}

void tally_digest(struct tally *tally, struct span bytes, unsigned char out[TALLY_DIGEST_BYTES])
{
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];
    unsigned char key[CRYPTO_SHA256_BYTES];

    pthread_rwlock_rdlock(&tally->key_lock);
    memcpy(key, tally->digest_key, sizeof key);
    pthread_rwlock_unlock(&tally->key_lock);
    crypto_hmac(CRYPTO_SHA256, span_make((char *)key, sizeof key), bytes, digest);
    memcpy(out, digest, TALLY_DIGEST_BYTES);
    secret_wipe(key, sizeof key);
}

struct memory *tally_memory(struct tally *tally) { return tally->memory; }

bool tally_knows_epoch(struct tally *tally, const char *epoch)
{
    bool knows;

    pthread_mutex_lock(&tally->lock);
    knows = !strcmp(tally->known_epoch, epoch);
    pthread_mutex_unlock(&tally->lock);
    return knows;
}

void tally_note_epoch(struct tally *tally, const char *epoch)
{
    pthread_mutex_lock(&tally->lock);
    memcpy(tally->known_epoch, epoch, strlen(epoch) + 1);
    pthread_mutex_unlock(&tally->lock);
}

static void finish_listing(struct tally_call *call)
{
    call->is_complete = memory_list(call->tally->memory, &call->wanted, &call->found);
}

/* What a Redis that is being left still had. Its thread is gone. */
static void take_calls_back(struct tally *tally, struct redis *redis)
{
    struct list_node *node;

    /* on this thread alone calls of `redis` can become done now; the list may lose others meanwhile, so it is walked
     * from its start again after each */
    do {
        pthread_mutex_lock(&tally->lock);
        for (node = list_first(&tally->calls); node; node = list_next(&tally->calls, node)) {
            struct tally_call *call = CONTAINER_OF(node, struct tally_call, node);

            if (call->redis == redis && !call->is_done)
                break;
        }
        pthread_mutex_unlock(&tally->lock);
        if (node)
            tally_call_fall_back(CONTAINER_OF(node, struct tally_call, node));
    } while (node);
}

static void replace_redis(struct tally *tally, struct redis *redis)
{
    struct redis *former;

    pthread_mutex_lock(&tally->lock);
    former = tally->redis;
    tally->redis = redis;
    atomic_store(&tally->has_redis, redis != NULL);
    pthread_mutex_unlock(&tally->lock);
    if (!former)
        return;
    redis_stop(former);
    take_calls_back(tally, former);
    redis_free(former);
}

static int configure(struct tally *tally, const struct tally_options *options, bool own_clock, struct error *error)
{
    struct redis *redis = NULL;

    if (options->redis) {
        redis = redis_new(tally, options, own_clock, error);
        if (!redis)
            return -1;
    }
    set_secret(tally, options->secret);
    replace_redis(tally, redis);
    return 0;
}

int tally_configure(struct tally *tally, const struct tally_options *options, struct error *error)
{
    return configure(tally, options, false, error);
}

int tally_configure_own_clock(struct tally *tally, const struct tally_options *options, struct error *error)
{
    return configure(tally, options, true, error);
}

struct tally *tally_new(const struct tally_options *options, struct error *error)
{
    static const struct tally_options defaults;
    struct tally *tally = mem_zalloc(sizeof *tally);

    options = options ? options : &defaults;
    tally->memory = memory_new(options->entries);
    pthread_mutex_init(&tally->lock, NULL);
    pthread_rwlock_init(&tally->key_lock, NULL);
    list_init(&tally->calls);
    if (tally_configure(tally, options, error)) {
        tally_free(tally);
        return NULL;
    }
    return tally;
}

static void call_free(struct tally_call *call)
{
    tally_batch_free(call->batch);
    tally_found_clear(&call->found);
    free(call);
}

void tally_free(struct tally *tally)
{
    struct list_node *node;

    if (!tally)
        return;
    replace_redis(tally, NULL);
    while ((node = list_take_first(&tally->calls)))
        call_free(CONTAINER_OF(node, struct tally_call, node));
    memory_free(tally->memory);
    pthread_rwlock_destroy(&tally->key_lock);
    pthread_mutex_destroy(&tally->lock);
    secret_wipe(tally->digest_key, sizeof tally->digest_key);
    free(tally);
}

int tally_start(struct error *error)
{
    MUST(!the_tally);
    the_tally = tally_new(NULL, error);
    return the_tally ? 0 : -1;
}

void tally_stop(void)
{
    tally_free(the_tally);
    the_tally = NULL;
}

struct tally *tally_get(void) { return the_tally; }

void tally_status(struct tally *tally, struct tally_status *status_out)
{
    *status_out = (struct tally_status){.entries = memory_count(tally->memory)};
    pthread_mutex_lock(&tally->lock);
    if (tally->redis)
        redis_status(tally->redis, status_out);
    pthread_mutex_unlock(&tally->lock);
}

/* ---- calls ---- */

static void tell(struct tally_call *call)
{
    if (call->on_done) {
        struct tally_answer answer = {.is_local = call->is_local,
                                      .refused_by = call->batch->refused_by,
                                      .count = call->batch->count,
                                      .results = call->batch->results};

        call->on_done(call->ctx, &answer);
    }
    if (call->on_listed) {
        struct tally_list list = {.is_local = call->is_local,
                                  .is_complete = call->is_complete,
                                  .count = call->found.count,
                                  .entries = call->found.entries,
                                  .removed = call->found.removed};

        call->on_listed(call->ctx, &list);
    }
}

static void on_home(struct mail *mail)
{
    struct tally_call *call = CONTAINER_OF(mail, struct tally_call, mail);

    pthread_mutex_lock(&call->tally->lock);
    list_remove(&call->tally->calls, &call->node);
    pthread_mutex_unlock(&call->tally->lock);
    tell(call);
    call_free(call);
}

void tally_call_done(struct tally_call *call)
{
    struct tally *tally = call->tally;
    bool is_awaited;

    pthread_mutex_lock(&tally->lock);
    is_awaited = call->loop != NULL;
    call->is_done = true;
    call->mail.deliver = on_home;
    if (is_awaited) /* under the lock: whoever cancels may end his loop right after */
        loop_post(call->loop, &call->mail);
    else
        list_remove(&tally->calls, &call->node);
    pthread_mutex_unlock(&tally->lock);
    if (!is_awaited)
        call_free(call);
}

static void answer_from_memory(struct tally_call *call)
{
    call->is_local = atomic_load(&call->tally->has_redis);
    metrics_count(METRIC_TALLY_CALLS_MEMORY);
    if (call->is_local)
        metrics_count(METRIC_TALLY_FALLBACKS);
    if (call->batch)
        memory_run(call->tally->memory, call->batch, call->is_local);
    else
        finish_listing(call);
}

void tally_call_fall_back(struct tally_call *call)
{
    tally_found_clear(&call->found);
    answer_from_memory(call);
    tally_call_done(call);
}

static bool give_to_redis(struct tally *tally, struct tally_call *call)
{
    bool is_taken;

    if (!atomic_load(&tally->has_redis))
        return false;
    pthread_mutex_lock(&tally->lock);
    call->redis = tally->redis;
    list_push_back(&tally->calls, &call->node);
    is_taken = tally->redis && redis_take(tally->redis, call);
    if (!is_taken)
        list_remove(&tally->calls, &call->node);
    pthread_mutex_unlock(&tally->lock);
    return is_taken;
}

static struct tally_call *start(struct tally_call *call)
{
    if (give_to_redis(call->tally, call))
        return call;
    answer_from_memory(call);
    tell(call);
    call_free(call);
    return NULL;
}

struct tally_call *tally_run(struct tally *tally, struct loop *loop, const struct tally_op *ops, size_t count,
                             tally_done_fn *on_done, void *ctx)
{
    struct tally_call *call = mem_zalloc(sizeof *call);
    struct tally_call *waiting;

    MUST(count > 0 && count <= TALLY_OPS_MOST && (loop || !on_done));
    call->tally = tally;
    call->loop = on_done ? loop : NULL;
    call->on_done = on_done;
    call->ctx = ctx;
    call->batch = tally_batch_new();
    for (size_t i = 0; i < count; i++)
        add_op(tally, call->batch, &ops[i]);
    waiting = start(call);
    return on_done ? waiting : NULL; /* without anybody who waits it may be gone by now */
}

void tally_run_here(struct tally *tally, const struct tally_op *ops, size_t count)
{
    struct tally_batch *batch = tally_batch_new();

    MUST(count > 0 && count <= TALLY_OPS_MOST);
    for (size_t i = 0; i < count; i++)
        add_op(tally, batch, &ops[i]);
    metrics_count(METRIC_TALLY_CALLS_MEMORY);
    memory_run(tally->memory, batch, false);
    tally_batch_free(batch);
}

struct tally_call *tally_list(struct tally *tally, struct loop *loop, const struct tally_filter *filter,
                              tally_list_fn *on_listed, void *ctx)
{
    struct tally_call *call = mem_zalloc(sizeof *call);

    call->tally = tally;
    call->loop = loop;
    call->on_listed = on_listed;
    call->ctx = ctx;
    tally_wanted_init(&call->wanted, filter);
    return start(call);
}

void tally_cancel(struct tally *tally, struct tally_call *call)
{
    if (!call)
        return;
    pthread_mutex_lock(&tally->lock);
    call->loop = NULL;
    call->on_done = NULL;
    call->on_listed = NULL;
    pthread_mutex_unlock(&tally->lock);
}
