/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting in Redis: a thread with one connection. It says hello (who we are, the script, the epoch), tells Redis what
 * it has missed, and from then on takes calls; memory follows each answer. The epoch is a random name kept in Redis: as
 * long as it is there, so is the data. When it is gone, Redis has been emptied, and everything this node knows is told
 * again before Redis is believed. Every failure has the same end: calls are answered from memory.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "base/secret.h"
#include "log/diag.h"
#include "metrics/metrics.h"
#include "tally/redis_private.h"

#define PREFIX_DEFAULT "gatepost"
#define PREFIX_MOST_BYTES 64
#define IN_FLIGHT_DEFAULT 4096
#define SHA_BYTES 41
#define TELL_IN_FLIGHT 8
#define LISTING_LIMIT_MS 4000

struct telling {
    struct list_node node;
    struct tally_batch *batch;
};

struct redis {
    /* fixed after start */
    struct tally *tally;
    char *user, *password, *prefix;
    unsigned db;
    size_t in_flight_limit;
    bool own_clock;
    struct thread thread;
    /* owned by its loop */
    struct link link;
    char epoch[TALLY_EPOCH_BYTES];
    bool tells_everything; /* Redis has not got what this node knew */
    char sha[SHA_BYTES];
    struct list tellings; /* not sent yet */
    size_t tellings_out;
    size_t shard; /* of memory, told next */
    bool is_told_away;
    /* shared */
    atomic_bool is_used; /* written by its thread alone */
    atomic_size_t in_flight;
    pthread_mutex_t lock;
    char reason[REASON_BYTES];
    uint64_t changes;
};

/* ---- used, or not ---- */

/* Both at once, so that nobody reads the one without the other. */
static void note_change(struct redis *redis, bool is_used, const char *reason)
{
    pthread_mutex_lock(&redis->lock);
    atomic_store(&redis->is_used, is_used);
    snprintf(redis->reason, sizeof redis->reason, "%s", reason);
    redis->changes++;
    pthread_mutex_unlock(&redis->lock);
}

static void note_reason(struct redis *redis, const char *reason)
{
    pthread_mutex_lock(&redis->lock);
    snprintf(redis->reason, sizeof redis->reason, "%s", reason);
    pthread_mutex_unlock(&redis->lock);
}

static void begin_use(struct redis *redis)
{
    tally_note_epoch(redis->tally, redis->epoch);
    redis->is_told_away = false;
    metrics_add(METRIC_TALLY_REDIS_USED, 1); /* first: whoever sees the change sees it here too */
    note_change(redis, true, "");
    diag(DIAG_INFO, NULL, "redis %s: counts are shared through it", redis->link.address);
}

static void end_use(struct redis *redis)
{
    if (atomic_load(&redis->is_used)) {
        metrics_add(METRIC_TALLY_REDIS_USED, -1);
        metrics_count(METRIC_TALLY_REDIS_LOST);
    } else if (redis->is_told_away) {
        note_reason(redis, redis->link.reason); /* it may be another by now, which is no news for the log */
        return;
    }
    redis->is_told_away = true;
    note_change(redis, false, redis->link.reason);
    diag(DIAG_WARN, NULL, "redis %s cannot be used, this node counts alone: %s", redis->link.address,
         redis->link.reason);
}

static int refused(struct redis *redis, const redisReply *reply)
{
    return link_fault(&redis->link, "%.150s", reply->type == REDIS_REPLY_ERROR ? reply->str : "an answer of no sense");
}

static struct script_frame frame_of(const struct redis *redis)
{
    return (struct script_frame){
        .prefix = redis->prefix, .epoch = redis->epoch, .now_ms = redis->own_clock ? clock_mono_ms() : 0};
}

static void send_run(struct redis *redis, const char *sha, const struct tally_batch *batch, link_reply_fn *on_reply,
                     void *ctx)
{
    struct script_frame frame = frame_of(redis);
    struct script_command command;

    script_begin(&command);
    script_write_run(&command, sha, &frame, batch);
    link_send(&redis->link, &command, on_reply, ctx);
}

/* ---- telling what memory knows ---- */

static void tell_more(struct redis *redis);

static void telling_free(struct telling *telling)
{
    tally_batch_free(telling->batch);
    free(telling);
}

static int on_told(void *owner, void *ctx, const redisReply *reply)
{
    struct redis *redis = owner;
    struct telling *telling = ctx;
    int status = reply ? script_read_run(reply, telling->batch) : 0;

    telling_free(telling);
    redis->tellings_out--;
    if (!reply)
        return 0;
    if (status)
        return refused(redis, reply);
    tell_more(redis);
    return 0;
}

static void on_item(void *ctx, const struct tally_item *item)
{
    struct redis *redis = ctx;
    struct list_node *last = list_last(&redis->tellings);
    struct telling *telling = last ? CONTAINER_OF(last, struct telling, node) : NULL;

    if (telling && tally_batch_add(telling->batch, item))
        return;
    telling = mem_zalloc(sizeof *telling);
    telling->batch = tally_batch_new();
    telling->batch->is_forced = true;
    MUST(tally_batch_add(telling->batch, item));
    list_push_back(&redis->tellings, &telling->node);
}

static void tell_more(struct redis *redis)
{
    struct memory *memory = tally_memory(redis->tally);
    struct list_node *node;

    while (list_is_empty(&redis->tellings) && redis->shard < memory_shards(memory))
        memory_export(memory, redis->shard++, redis->tells_everything, on_item, redis);
    while (redis->tellings_out < TELL_IN_FLIGHT && (node = list_take_first(&redis->tellings))) {
        struct telling *telling = CONTAINER_OF(node, struct telling, node);

        redis->tellings_out++;
        send_run(redis, redis->sha, telling->batch, on_told, telling);
    }
    if (!redis->tellings_out)
        begin_use(redis);
}

static void forget_tellings(struct redis *redis)
{
    struct list_node *node;

    while ((node = list_take_first(&redis->tellings)))
        telling_free(CONTAINER_OF(node, struct telling, node));
}

/* ---- hello ---- */

static int on_ok(void *owner, void *ctx, const redisReply *reply)
{
    (void)ctx;
    return reply && reply->type == REDIS_REPLY_ERROR ? refused(owner, reply) : 0;
}

static int on_script(void *owner, void *ctx, const redisReply *reply)
{
    struct redis *redis = owner;

    (void)ctx;
    if (!reply)
        return 0;
    if (reply->type != REDIS_REPLY_STRING || reply->len != SHA_BYTES - 1)
        return refused(redis, reply);
    memcpy(redis->sha, reply->str, SHA_BYTES);
    return 0;
}

static int on_epoch(void *owner, void *ctx, const redisReply *reply)
{
    struct redis *redis = owner;

    (void)ctx;
    if (!reply)
        return 0;
    if (reply->type != REDIS_REPLY_STRING || !reply->len || reply->len >= TALLY_EPOCH_BYTES)
        return refused(redis, reply);
    memcpy(redis->epoch, reply->str, reply->len + 1);
    redis->tells_everything = !tally_knows_epoch(redis->tally, redis->epoch);
    redis->shard = 0;
    tell_more(redis);
    return 0;
}

static void send_words(struct redis *redis, const char *const *words, link_reply_fn *on_reply)
{
    struct script_command command;

    script_begin(&command);
    for (; *words; words++)
        script_add(&command, span_of(*words));
    link_send(&redis->link, &command, on_reply, NULL);
}

static void send_credentials(struct redis *redis)
{
    if (redis->password && redis->user)
        send_words(redis, (const char *[]){"AUTH", redis->user, redis->password, NULL}, on_ok);
    else if (redis->password)
        send_words(redis, (const char *[]){"AUTH", redis->password, NULL}, on_ok);
}

/* All in one go. The SET is also the proof that Redis takes writes: it refuses one when it is full, read-only or still
 * loading, whether or not there is an epoch. */
static void on_up(void *owner)
{
    struct redis *redis = owner;
    unsigned char random[TALLY_DIGEST_BYTES];
    char fresh[TALLY_EPOCH_BYTES] = "";
    char key[PREFIX_MOST_BYTES + 8];
    char db[16];

    random_bytes(random, sizeof random);
    tally_hex(random, fresh);
    snprintf(key, sizeof key, "%s:epoch", redis->prefix);
    snprintf(db, sizeof db, "%u", redis->db);
    send_credentials(redis);
    if (redis->db)
        send_words(redis, (const char *[]){"SELECT", db, NULL}, on_ok);
    send_words(redis, (const char *[]){"SCRIPT", "LOAD", script_run_text, NULL}, on_script);
    send_words(redis, (const char *[]){"SET", key, fresh, "NX", NULL}, on_ok);
    send_words(redis, (const char *[]){"GET", key, NULL}, on_epoch);
}

static void on_lost(void *owner)
{
    struct redis *redis = owner;

    forget_tellings(redis);
    end_use(redis);
}

/* ---- calls ---- */

static void done(struct redis *redis, struct tally_call *call)
{
    atomic_fetch_sub(&redis->in_flight, 1);
    metrics_count(METRIC_TALLY_CALLS_SHARED);
    link_is_well(&redis->link);
    tally_call_done(call);
}

static void fall_back(struct redis *redis, struct tally_call *call)
{
    atomic_fetch_sub(&redis->in_flight, 1);
    tally_call_fall_back(call);
}

static int on_answer(void *owner, void *ctx, const redisReply *reply)
{
    struct redis *redis = owner;
    struct tally_call *call = ctx;

    if (reply && reply->type == REDIS_REPLY_ERROR && !strncmp(reply->str, "NOSCRIPT", 8)) {
        send_run(redis, NULL, call->batch, on_answer, call); /* EVAL brings the script back */
        return 0;
    }
    if (!reply || script_read_run(reply, call->batch)) {
        /* why must be known before the answer is, in case it is asked for */
        int status = reply ? refused(redis, reply) : 0;

        fall_back(redis, call);
        return status;
    }
    memory_follow(tally_memory(redis->tally), call->batch);
    done(redis, call);
    return 0;
}

/* ---- listings ---- */

static int on_page(void *owner, void *ctx, const redisReply *reply);

static void send_show(struct redis *redis, struct tally_call *call)
{
    struct script_frame frame = frame_of(redis);
    struct script_command command;

    script_begin(&command);
    script_write_show(&command, &frame, call);
    link_send(&redis->link, &command, on_page, call);
}

static void finish_listing(struct redis *redis, struct tally_call *call, bool is_last)
{
    struct tally_found here = {0};

    tally_found_settle(&call->found);
    call->is_complete = is_last && (call->wanted.remove || call->found.count < call->wanted.limit);
    if (call->wanted.remove)
        memory_list(tally_memory(redis->tally), &call->wanted, &here);
    done(redis, call);
}

static int on_page(void *owner, void *ctx, const redisReply *reply)
{
    struct redis *redis = owner;
    struct tally_call *call = ctx;
    bool is_last = false;

    if (!reply || script_read_show(reply, redis->prefix, call, &is_last)) {
        int status = reply ? refused(redis, reply) : 0;

        fall_back(redis, call);
        return status;
    }
    if (is_last || call->found.count >= call->wanted.limit || loop_now_ms(redis->link.loop) >= call->give_up_at_ms)
        finish_listing(redis, call, is_last);
    else
        send_show(redis, call);
    return 0;
}

static void on_call(struct mail *mail)
{
    struct tally_call *call = CONTAINER_OF(mail, struct tally_call, mail);
    struct redis *redis = call->redis;

    if (!atomic_load(&redis->is_used)) {
        fall_back(redis, call);
        return;
    }
    if (call->batch) {
        send_run(redis, redis->sha, call->batch, on_answer, call);
        return;
    }
    memcpy(call->cursor, "0", 2);
    call->give_up_at_ms = loop_now_ms(redis->link.loop) + LISTING_LIMIT_MS;
    send_show(redis, call);
}

bool redis_take(struct redis *redis, struct tally_call *call)
{
    if (!atomic_load(&redis->is_used))
        return false;
    if (atomic_fetch_add(&redis->in_flight, 1) >= redis->in_flight_limit) {
        atomic_fetch_sub(&redis->in_flight, 1);
        return false;
    }
    call->mail.deliver = on_call;
    loop_post(redis->thread.loop, &call->mail);
    return true;
}

void redis_status(struct redis *redis, struct tally_status *status_out)
{
    status_out->has_redis = true;
    pthread_mutex_lock(&redis->lock);
    status_out->redis_is_used = atomic_load(&redis->is_used);
    status_out->changes = redis->changes;
    memcpy(status_out->reason, redis->reason, sizeof status_out->reason);
    pthread_mutex_unlock(&redis->lock);
}

/* ---- the thread ---- */

static int open_thread(void *ctx, struct loop *loop, struct error *error)
{
    struct redis *redis = ctx;

    (void)error;
    link_open(&redis->link, loop);
    return 0;
}

static void close_thread(void *ctx)
{
    struct redis *redis = ctx;

    if (atomic_exchange(&redis->is_used, false))
        metrics_add(METRIC_TALLY_REDIS_USED, -1);
    link_close(&redis->link);
    forget_tellings(redis);
}

static const struct link_owner link_calls = {.on_up = on_up, .on_lost = on_lost};

struct redis *redis_new(struct tally *tally, const struct tally_options *options, bool own_clock, struct error *error)
{
    struct redis *redis = mem_zalloc(sizeof *redis);
    const char *prefix = options->prefix ? options->prefix : PREFIX_DEFAULT;
    bool is_short = strlen(prefix) <= PREFIX_MOST_BYTES;

    redis->tally = tally;
    redis->user = options->user ? mem_strdup(options->user) : NULL;
    redis->password = options->password ? mem_strdup(options->password) : NULL;
    redis->prefix = mem_strdup(prefix);
    redis->db = options->db;
    redis->in_flight_limit = options->in_flight_limit ? options->in_flight_limit : IN_FLIGHT_DEFAULT;
    redis->own_clock = own_clock;
    list_init(&redis->tellings);
    pthread_mutex_init(&redis->lock, NULL);
    snprintf(redis->reason, sizeof redis->reason, "not connected yet");
    if (!is_short)
        error_set(error, ERROR_PERM, "the prefix of keys is longer than %d bytes", PREFIX_MOST_BYTES);
    if (!is_short || link_init(&redis->link, options, &link_calls, redis, error) ||
        thread_start(&redis->thread, "tally", open_thread, close_thread, redis, error)) {
        redis_free(redis);
        return NULL;
    }
    return redis;
}

void redis_stop(struct redis *redis)
{
    thread_stop(&redis->thread);
    jobs_free(redis->link.resolver); /* waits for the resolver, whose answer nobody hears any more */
    redis->link.resolver = NULL;
    thread_done(&redis->thread);
}

void redis_free(struct redis *redis)
{
    redis_stop(redis);
    link_done(&redis->link);
    pthread_mutex_destroy(&redis->lock);
    free(redis->user);
    secret_free(redis->password);
    free(redis->prefix);
    free(redis);
}
