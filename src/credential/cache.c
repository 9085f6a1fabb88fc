/* SPDX-License-Identifier: Apache-2.0
 *
 * What stores said of a moment ago: records, and "no such user". Shards with a lock each; nobody is called, and no
 * record freed, under a lock. A key is the store's number in four octets and then the user's name, so that no two
 * (store, user) can look alike.
 *
 * Room is not for whoever asks most. A name that no store knows lives in a small share of its own, where a million of
 * them push out each other and never a user; among users, one who came again since the last round gets another round
 * (second chance). A record stays past its time for as long as it might have to serve while its store fails.
 *
 * A purge counts itself before it removes, and what a store says is put here only when nothing was counted since the
 * store was asked: an answer from before the purge is too late wherever it was on its way.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "credential/credential_private.h"
#include "metrics/metrics.h"

#define SHARDS 16
#define SHARDED_FROM 1024 /* entries; smaller ones keep the exact order in one shard */
#define NEGATIVE_PARTS 8  /* one in so many entries is for users that do not exist */
#define PURGE_COUNTERS 4096
#define KEY_BYTES (sizeof(uint32_t) + CREDENTIAL_TEXT_LIMIT)

struct entry {
    struct list_node node;
    struct credential *credential; /* NULL: no such user */
    uint64_t expires_ms;
    uint64_t rechecked_ms; /* when it was last asked for afresh; 0: never */
    uint64_t failed_ms;    /* when its store last failed; 0: not since it was put */
    bool is_rechecked;     /* right now: who wants it afresh may join */
    bool is_used;          /* since it was last at the end of the list */
    size_t key_len;
    char key[];
};

struct shard {
    pthread_mutex_t lock;

    /* under it */
    struct cache_limits limits; /* but for the capacity, of which this is the shard's part: */
    size_t positive_limit, negative_limit;
    struct map entries;
    struct list positive, negative; /* the eldest last */
    uint64_t evicted;
};

struct cache {
    atomic_uint refs;

    /* fixed after start */
    size_t shard_count;

    /* shared */
    atomic_uint_fast64_t purges;                      /* all that ever were */
    atomic_uint_fast64_t full_purges;                 /* of everybody */
    atomic_uint_fast64_t user_purges[PURGE_COUNTERS]; /* by the hash of the name */
    struct shard shards[SHARDS];
};

/* ---- making ---- */

static size_t share_of(size_t entries, size_t shards)
{
    size_t share = entries / shards;

    return share ? share : 1;
}

/* The number of shards stays what it was for the first limits. */
struct cache *cache_new(const struct cache_limits *limits)
{
    struct cache *cache = mem_zalloc(sizeof *cache);

    atomic_init(&cache->refs, 1);
    cache->shard_count = limits->capacity < SHARDED_FROM ? 1 : SHARDS;
    for (size_t i = 0; i < cache->shard_count; i++) {
        pthread_mutex_init(&cache->shards[i].lock, NULL);
        map_init(&cache->shards[i].entries);
        list_init(&cache->shards[i].positive);
        list_init(&cache->shards[i].negative);
    }
    cache_limit(cache, limits);
    return cache;
}

struct cache *cache_ref(struct cache *cache)
{
    atomic_fetch_add_explicit(&cache->refs, 1, memory_order_relaxed);
    return cache;
}

static void free_entry(void *value)
{
    struct entry *entry = value;

    credential_unref(&entry->credential);
    free(entry);
}

static void cache_free(struct cache *cache)
{
    for (size_t i = 0; i < cache->shard_count; i++) {
        metrics_add(METRIC_LOOKUP_CACHE_ENTRIES, -(int64_t)cache->shards[i].entries.count);
        map_done(&cache->shards[i].entries, free_entry);
        pthread_mutex_destroy(&cache->shards[i].lock);
    }
    free(cache);
}

void cache_unref(struct cache **cache)
{
    struct cache *gone = *cache;

    *cache = NULL;
    if (gone && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
        cache_free(gone);
}

/* ---- keys ---- */

/* Empty when it is longer than any user a driver is asked for: such a one is not kept. */
static struct span key_of(uint32_t store, const char *user, char room[KEY_BYTES])
{
    size_t len = strlen(user);

    if (len > CREDENTIAL_TEXT_LIMIT)
        return span_make(room, 0);
    memcpy(room, &store, sizeof store);
    memcpy(room + sizeof store, user, len);
    return span_make(room, sizeof store + len);
}

static struct shard *shard_of(struct cache *cache, struct span key)
{
    return &cache->shards[(map_hash(key) >> 48) % cache->shard_count];
}

static size_t purge_counter_of(const char *user) { return credential_name_hash(user) % PURGE_COUNTERS; }

/* ---- lists ---- */

static struct list *list_of(struct shard *shard, const struct entry *entry)
{
    return entry->credential ? &shard->positive : &shard->negative;
}

/* Takes it out of the shard; the caller frees it when it has let go of the lock. */
static void take_out(struct shard *shard, struct entry *entry, struct list *gone)
{
    list_remove(list_of(shard, entry), &entry->node);
    map_remove(&shard->entries, span_make(entry->key, entry->key_len));
    list_push_back(gone, &entry->node);
}

static void free_gone(struct list *gone)
{
    struct list_node *node;

    metrics_add(METRIC_LOOKUP_CACHE_ENTRIES, -(int64_t)gone->count);
    while ((node = list_take_first(gone)))
        free_entry(CONTAINER_OF(node, struct entry, node));
}

/* Ends: each round of the list takes marks away, and only a hit, which needs the lock, gives new ones. */
static void evict(struct shard *shard, struct list *entries, size_t limit, struct list *gone)
{
    while (entries->count > limit) {
        struct entry *eldest = CONTAINER_OF(list_last(entries), struct entry, node);

        if (eldest->is_used) {
            eldest->is_used = false;
            list_remove(entries, &eldest->node);
            list_push_front(entries, &eldest->node);
            continue;
        }
        take_out(shard, eldest, gone);
        shard->evicted++;
        metrics_count(METRIC_LOOKUP_CACHE_EVICTED);
    }
}

static void limit_shard(struct shard *shard, const struct cache_limits *limits, size_t shards, struct list *gone)
{
    size_t negative = share_of(limits->capacity, NEGATIVE_PARTS);

    shard->limits = *limits;
    shard->negative_limit = share_of(negative, shards);
    shard->positive_limit = share_of(limits->capacity - negative, shards);
    evict(shard, &shard->positive, shard->positive_limit, gone);
    evict(shard, &shard->negative, shard->negative_limit, gone);
}

void cache_limit(struct cache *cache, const struct cache_limits *limits)
{
    struct list gone;

    list_init(&gone);
    for (size_t i = 0; i < cache->shard_count; i++) {
        pthread_mutex_lock(&cache->shards[i].lock);
        limit_shard(&cache->shards[i], limits, cache->shard_count, &gone);
        pthread_mutex_unlock(&cache->shards[i].lock);
    }
    free_gone(&gone);
}

/* ---- reading ---- */

static bool may_serve_stale(const struct shard *shard, const struct entry *entry, uint64_t now)
{
    return entry->credential && now - entry->expires_ms < shard->limits.stale_for_ms;
}

/* One may look afresh, and whoever comes while he looks may wait with him: for the next `recheck` long all others make
 * do with what is there, or guessing would be as good as a flood of the store. */
static bool is_due_afresh(const struct shard *shard, struct entry *entry, enum lookup_mode mode, uint64_t now)
{
    if (mode != LOOKUP_AFRESH)
        return false;
    if (entry->rechecked_ms && now - entry->rechecked_ms < shard->limits.recheck_ms)
        return entry->is_rechecked;
    entry->rechecked_ms = now;
    return entry->is_rechecked = true;
}

static enum cache_answer answer_of(const struct shard *shard, struct entry *entry, enum lookup_mode mode)
{
    uint64_t now = clock_mono_ms();
    bool has_failed = entry->failed_ms && now - entry->failed_ms < shard->limits.recheck_ms;
    bool is_expired = now >= entry->expires_ms;

    /* or each login would wait for a store that hangs */
    if (has_failed && (is_expired ? may_serve_stale(shard, entry, now) : mode == LOOKUP_AFRESH))
        return CACHE_STALE;
    if (is_expired || is_due_afresh(shard, entry, mode, now))
        return CACHE_MISS;
    return entry->credential ? CACHE_FOUND : CACHE_NOT_FOUND;
}

enum cache_answer cache_get(struct cache *cache, uint32_t store, const char *user, enum lookup_mode mode,
                            struct credential **credential_out)
{
    char room[KEY_BYTES];
    struct span key = key_of(store, user, room);
    struct shard *shard = shard_of(cache, key);
    enum cache_answer answer = CACHE_MISS;
    struct entry *entry;

    pthread_mutex_lock(&shard->lock);
    entry = map_find(&shard->entries, key);
    if (entry)
        answer = answer_of(shard, entry, mode);
    if (answer == CACHE_FOUND || answer == CACHE_STALE) {
        entry->is_used = true;
        *credential_out = credential_ref(entry->credential);
    }
    pthread_mutex_unlock(&shard->lock);
    return answer;
}

static struct credential *take_stale(const struct shard *shard, struct entry *entry)
{
    uint64_t now = clock_mono_ms();

    entry->is_rechecked = false;
    if (!entry->credential || (now >= entry->expires_ms && !may_serve_stale(shard, entry, now)))
        return NULL;
    entry->failed_ms = now;
    entry->is_used = true;
    return credential_ref(entry->credential);
}

struct credential *cache_get_stale(struct cache *cache, uint32_t store, const char *user)
{
    char room[KEY_BYTES];
    struct span key = key_of(store, user, room);
    struct shard *shard = shard_of(cache, key);
    struct credential *credential = NULL;
    struct entry *entry;

    pthread_mutex_lock(&shard->lock);
    entry = map_find(&shard->entries, key);
    if (entry)
        credential = take_stale(shard, entry);
    pthread_mutex_unlock(&shard->lock);
    return credential;
}

void cache_not_asked(struct cache *cache, uint32_t store, const char *user)
{
    char room[KEY_BYTES];
    struct span key = key_of(store, user, room);
    struct shard *shard = shard_of(cache, key);
    struct entry *entry;

    pthread_mutex_lock(&shard->lock);
    entry = map_find(&shard->entries, key);
    if (entry)
        entry->is_rechecked = false;
    pthread_mutex_unlock(&shard->lock);
}

/* ---- writing ---- */

struct cache_stamp cache_stamp(const struct cache *cache, const char *user)
{
    uint64_t of_user = atomic_load(&cache->user_purges[purge_counter_of(user)]);

    return (struct cache_stamp){.purges = atomic_load(&cache->purges),
                                .purges_of_user = atomic_load(&cache->full_purges) + of_user};
}

bool cache_is_current(const struct cache *cache, struct cache_stamp stamp, const char *user,
                      const struct credential *credential)
{
    struct cache_stamp now = cache_stamp(cache, user);

    /* under another name than asked for nobody could count before the store had told it: any purge may be its */
    if (credential && strcmp(credential->name, user) != 0)
        return stamp.purges == now.purges;
    return stamp.purges_of_user == now.purges_of_user;
}

static struct entry *entry_new(struct span key, struct credential *credential)
{
    struct entry *entry = mem_zalloc(sizeof *entry + key.len);

    list_node_init(&entry->node);
    entry->credential = credential_ref(credential);
    entry->key_len = key.len;
    memcpy(entry->key, key.data, key.len);
    return entry;
}

/* What was learned about the asking, and the right to another round, outlives the value. */
static void replace(struct shard *shard, struct entry *entry, struct list *gone)
{
    struct span key = span_make(entry->key, entry->key_len);
    struct entry *former = map_put(&shard->entries, key, entry);

    if (former) {
        list_remove(list_of(shard, former), &former->node);
        list_push_back(gone, &former->node);
        entry->rechecked_ms = former->rechecked_ms;
        entry->is_used = former->is_used && entry->credential;
    }
    entry->expires_ms =
        clock_mono_ms() + (entry->credential ? shard->limits.positive_ttl_ms : shard->limits.negative_ttl_ms);
    list_push_front(list_of(shard, entry), &entry->node);
    evict(shard, &shard->positive, shard->positive_limit, gone);
    evict(shard, &shard->negative, shard->negative_limit, gone);
}

void cache_put(struct cache *cache, uint32_t store, const char *user, struct cache_stamp stamp,
               struct credential *credential)
{
    char room[KEY_BYTES];
    struct span key = key_of(store, user, room);
    struct shard *shard = shard_of(cache, key);
    struct list gone;

    if (key.len == 0)
        return;
    list_init(&gone);
    pthread_mutex_lock(&shard->lock);
    if (cache_is_current(cache, stamp, user, credential)) {
        metrics_count(METRIC_LOOKUP_CACHE_ENTRIES);
        replace(shard, entry_new(key, credential), &gone);
    }
    pthread_mutex_unlock(&shard->lock);
    free_gone(&gone);
}

/* ---- purging ---- */

/* Which entries are to go. */
struct choice {
    const char *user;      /* NULL: everybody's */
    const uint32_t *store; /* NULL: of all stores */
};

/* By the name he was asked for, whatever its case, or by the one his record gave him. */
static bool is_of_user(const struct entry *entry, const char *user)
{
    struct span asked = span_from(span_make(entry->key, entry->key_len), sizeof(uint32_t));

    return span_ieq(asked, span_of(user)) ||
           (entry->credential && span_ieq(span_of(entry->credential->name), span_of(user)));
}

static bool is_chosen(const struct entry *entry, const struct choice *choice)
{
    return (!choice->user || is_of_user(entry, choice->user)) &&
           (!choice->store || memcmp(entry->key, choice->store, sizeof *choice->store) == 0);
}

static void drop_from(struct shard *shard, struct list *entries, const struct choice *choice, struct list *gone)
{
    struct list_node *node = list_first(entries);

    while (node) {
        struct list_node *next = list_next(entries, node);
        struct entry *entry = CONTAINER_OF(node, struct entry, node);

        if (is_chosen(entry, choice))
            take_out(shard, entry, gone);
        node = next;
    }
}

static size_t drop(struct cache *cache, const struct choice *choice)
{
    struct list gone;
    size_t count;

    list_init(&gone);
    for (size_t i = 0; i < cache->shard_count; i++) {
        pthread_mutex_lock(&cache->shards[i].lock);
        drop_from(&cache->shards[i], &cache->shards[i].positive, choice, &gone);
        drop_from(&cache->shards[i], &cache->shards[i].negative, choice, &gone);
        pthread_mutex_unlock(&cache->shards[i].lock);
    }
    count = gone.count;
    free_gone(&gone);
    return count;
}

static void count_purge(struct cache *cache, const char *user)
{
    atomic_fetch_add(&cache->purges, 1);
    if (user)
        atomic_fetch_add(&cache->user_purges[purge_counter_of(user)], 1);
    else
        atomic_fetch_add(&cache->full_purges, 1);
}

size_t cache_purge(struct cache *cache, const char *user)
{
    count_purge(cache, user);
    return drop(cache, &(struct choice){.user = user});
}

void cache_forget_store(struct cache *cache, uint32_t store) { drop(cache, &(struct choice){.store = &store}); }

void cache_count(struct cache *cache, struct cache_counts *counts_out)
{
    *counts_out = (struct cache_counts){0};
    for (size_t i = 0; i < cache->shard_count; i++) {
        pthread_mutex_lock(&cache->shards[i].lock);
        counts_out->entries += cache->shards[i].entries.count;
        counts_out->evicted += cache->shards[i].evicted;
        pthread_mutex_unlock(&cache->shards[i].lock);
    }
}
