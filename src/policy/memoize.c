/* SPDX-License-Identifier: Apache-2.0
 *
 * See memoize.h. One lock per cache; nothing is computed, and nobody is called, under it.
 * An entry is in the map while it has a value, a population under way, or both.
 */
#include "policy/memoize.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"

/* One part in this many is for entries that have not been asked for twice. */
#define PROBATION_PARTS 5
/* A put adds one; the second brings a cache whose capacity was lowered down to it. */
#define EVICTIONS_PER_PUT 2

struct entry {
    struct list_node node; /* in `probation` or `protected` while it has a value */
    struct memoize_key key;
    struct memoize_value *value;
    uint64_t expires_ms;
    uint64_t epoch;
    bool is_refusal;
    bool is_protected;
    struct memoize_ticket *ticket;
};

struct memoize_ticket {
    struct memoize_cache *cache;
    struct entry *entry; /* NULL when another took over */
    struct list waiters;
    struct loop *loop; /* of who populates */
    uint64_t began_ms;
    uint64_t epoch;
};

struct memoize_cache {
    /* fixed after start */
    char *name;

    /* shared, under lock */
    pthread_mutex_t lock;
    pthread_cond_t woken; /* for those who block */
    struct memoize_options options;
    struct map entries;
    struct list probation; /* the eldest last */
    struct list protected;
};

static pthread_mutex_t caches_lock = PTHREAD_MUTEX_INITIALIZER;
static struct map caches;

/* ---- keys and values ---- */

static uint64_t hash_with(char prefix, struct span bytes, char *room)
{
    room[0] = prefix;
    if (bytes.len)
        memcpy(room + 1, bytes.data, bytes.len);
    return map_hash(span_make(room, bytes.len + 1));
}

/* Two keyed hashes of the same bytes behind different prefixes: 128 bits that nobody
 * outside can make collide. */
struct memoize_key memoize_key_of(struct span bytes)
{
    char *room = mem_alloc(bytes.len + 1);
    struct memoize_key key = {{hash_with('a', bytes, room), hash_with('b', bytes, room)}};

    secret_wipe(room, bytes.len + 1);
    free(room);
    return key;
}

static struct span key_span(const struct memoize_key *key)
{
    return span_make((const char *)key->words, sizeof key->words);
}

static struct memoize_value *value_ref(struct memoize_value *value)
{
    atomic_fetch_add_explicit(&value->refs, 1, memory_order_relaxed);
    return value;
}

void memoize_value_unref(struct memoize_value **value)
{
    struct memoize_value *gone = *value;

    *value = NULL;
    if (gone && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
        gone->free(gone);
}

/* ---- caches by name ---- */

static struct memoize_cache *cache_new(const char *name)
{
    struct memoize_cache *cache = mem_zalloc(sizeof *cache);
    pthread_condattr_t attr;

    cache->name = mem_strdup(name);
    pthread_mutex_init(&cache->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&cache->woken, &attr);
    pthread_condattr_destroy(&attr);
    map_init(&cache->entries);
    list_init(&cache->probation);
    list_init(&cache->protected);
    return cache;
}

struct memoize_cache *memoize_open(const struct memoize_options *options)
{
    struct memoize_cache *cache;

    MUST(options->capacity > 0);
    pthread_mutex_lock(&caches_lock);
    cache = map_find(&caches, span_of(options->name));
    if (!cache) {
        cache = cache_new(options->name);
        map_put(&caches, span_of(options->name), cache);
    }
    pthread_mutex_unlock(&caches_lock);
    pthread_mutex_lock(&cache->lock);
    cache->options = *options;
    cache->options.name = cache->name;
    pthread_mutex_unlock(&cache->lock);
    return cache;
}

static void free_entry(void *value)
{
    struct entry *entry = value;

    MUST(entry->ticket == NULL);
    memoize_value_unref(&entry->value);
    free(entry);
}

static void free_cache(void *value)
{
    struct memoize_cache *cache = value;

    map_done(&cache->entries, free_entry);
    pthread_cond_destroy(&cache->woken);
    pthread_mutex_destroy(&cache->lock);
    free(cache->name);
    free(cache);
}

void memoize_close_all(void)
{
    pthread_mutex_lock(&caches_lock);
    map_done(&caches, free_cache);
    map_init(&caches);
    pthread_mutex_unlock(&caches_lock);
}

/* ---- the two segments ---- */

static struct list *segment_of(struct memoize_cache *cache, const struct entry *entry)
{
    return entry->is_protected ? &cache->protected : &cache->probation;
}

static size_t protected_limit(const struct memoize_cache *cache)
{
    size_t probation = cache->options.capacity / PROBATION_PARTS;

    return cache->options.capacity - (probation ? probation : 1);
}

static void move_to(struct memoize_cache *cache, struct entry *entry, bool is_protected)
{
    list_remove(segment_of(cache, entry), &entry->node);
    entry->is_protected = is_protected;
    list_push_front(segment_of(cache, entry), &entry->node);
}

static void demote_surplus(struct memoize_cache *cache)
{
    while (cache->protected.count > protected_limit(cache))
        move_to(cache, CONTAINER_OF(list_last(&cache->protected), struct entry, node), false);
}

static void note_use(struct memoize_cache *cache, struct entry *entry)
{
    move_to(cache, entry, !entry->is_refusal);
    demote_surplus(cache);
}

static void drop_if_unused(struct memoize_cache *cache, struct entry *entry)
{
    if (entry->value || entry->ticket)
        return;
    map_remove(&cache->entries, key_span(&entry->key));
    free(entry);
}

/* The caller lets go of the value, without
 * holding the lock: freeing may be long. */
static struct memoize_value *take_value(struct memoize_cache *cache, struct entry *entry)
{
    struct memoize_value *value = entry->value;

    if (value)
        list_remove(segment_of(cache, entry), &entry->node);
    entry->value = NULL;
    entry->is_protected = false;
    return value;
}

/* NULL when nothing has to go. */
static struct memoize_value *evict(struct memoize_cache *cache)
{
    struct memoize_value *value;
    struct entry *victim;

    demote_surplus(cache);
    if (cache->probation.count + cache->protected.count <= cache->options.capacity)
        return NULL;
    victim = CONTAINER_OF(list_last(&cache->probation), struct entry, node);
    value = take_value(cache, victim);
    drop_if_unused(cache, victim);
    return value;
}

/* ---- tickets ---- */

static struct memoize_ticket *ticket_new(struct memoize_cache *cache, struct entry *entry, uint64_t epoch)
{
    struct memoize_ticket *ticket = mem_zalloc(sizeof *ticket);

    ticket->cache = cache;
    ticket->entry = entry;
    ticket->loop = loop_current();
    ticket->began_ms = clock_mono_ms();
    ticket->epoch = epoch;
    list_init(&ticket->waiters);
    entry->ticket = ticket;
    return ticket;
}

/* The one before took too long; its result will not count. */
static struct memoize_ticket *take_over(struct memoize_cache *cache, struct entry *entry, uint64_t epoch)
{
    struct memoize_ticket *late = entry->ticket;
    struct memoize_ticket *ticket = ticket_new(cache, entry, epoch);

    list_splice(&ticket->waiters, &late->waiters);
    for (struct list_node *node = list_first(&ticket->waiters); node; node = list_next(&ticket->waiters, node))
        CONTAINER_OF(node, struct memoize_waiter, node)->ticket = ticket;
    late->entry = NULL;
    return ticket;
}

static void on_mail(struct mail *mail)
{
    struct memoize_waiter *waiter = CONTAINER_OF(mail, struct memoize_waiter, mail);

    waiter->on_ready(waiter);
}

static void wake_all(struct memoize_ticket *ticket)
{
    struct list_node *node;

    while ((node = list_take_first(&ticket->waiters))) {
        struct memoize_waiter *waiter = CONTAINER_OF(node, struct memoize_waiter, node);

        waiter->ticket = NULL;
        waiter->mail.deliver = on_mail;
        if (waiter->loop)
            loop_post(waiter->loop, &waiter->mail);
    }
    pthread_cond_broadcast(&ticket->cache->woken);
}

/* ---- waiting ---- */

static void wait_in_line(struct memoize_ticket *ticket, struct memoize_waiter *waiter)
{
    waiter->cache = ticket->cache;
    waiter->ticket = ticket;
    list_node_init(&waiter->node);
    list_push_back(&ticket->waiters, &waiter->node);
}

static bool leave_line(struct memoize_waiter *waiter)
{
    if (!waiter->ticket)
        return false;
    list_remove(&waiter->ticket->waiters, &waiter->node);
    waiter->ticket = NULL;
    return true;
}

bool memoize_unwait(struct memoize_waiter *waiter)
{
    bool taken_back;

    pthread_mutex_lock(&waiter->cache->lock);
    taken_back = leave_line(waiter);
    pthread_mutex_unlock(&waiter->cache->lock);
    return taken_back;
}

static struct timespec deadline_in(uint64_t ms)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(ms / 1000);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

bool memoize_block(struct memoize_waiter *waiter, uint64_t timeout_ms)
{
    struct memoize_cache *cache = waiter->cache;
    struct timespec deadline = deadline_in(timeout_ms);
    bool timed_out;
    int status = 0;

    pthread_mutex_lock(&cache->lock);
    while (waiter->ticket && status == 0)
        status = pthread_cond_timedwait(&cache->woken, &cache->lock, &deadline);
    timed_out = leave_line(waiter);
    pthread_mutex_unlock(&cache->lock);
    return !timed_out;
}

/* ---- asking ---- */

static struct entry *entry_for(struct memoize_cache *cache, const struct memoize_key *key)
{
    struct entry *entry = map_find(&cache->entries, key_span(key));

    if (entry)
        return entry;
    entry = mem_zalloc(sizeof *entry);
    entry->key = *key;
    list_node_init(&entry->node);
    map_put(&cache->entries, key_span(key), entry);
    return entry;
}

static bool is_of_this_epoch(const struct memoize_cache *cache, const struct entry *entry, uint64_t epoch)
{
    return !cache->options.invalidate_with_epoch || entry->epoch == epoch;
}

static enum memoize_answer join(struct memoize_cache *cache, struct entry *entry, uint64_t epoch, uint64_t now,
                                struct memoize_waiter *waiter, struct memoize_ticket **ticket_out)
{
    struct memoize_ticket *ticket = entry->ticket;

    *ticket_out = NULL;
    if (!ticket)
        *ticket_out = ticket_new(cache, entry, epoch);
    else if (now - ticket->began_ms >= cache->options.populate_timeout_ms)
        *ticket_out = take_over(cache, entry, epoch);
    else if (!waiter->loop && ticket->loop && ticket->loop == loop_current())
        return MEMOIZE_POPULATE; /* it is this very thread that would have to go on */
    else
        wait_in_line(ticket, waiter);
    return *ticket_out ? MEMOIZE_POPULATE : MEMOIZE_WAIT;
}

static enum memoize_answer look_up(struct memoize_cache *cache, const struct memoize_key *key, uint64_t epoch,
                                   struct memoize_waiter *waiter, struct memoize_value **value_out,
                                   struct memoize_ticket **ticket_out)
{
    uint64_t now = clock_mono_ms();
    struct entry *entry = entry_for(cache, key);

    if (!entry->value || !is_of_this_epoch(cache, entry, epoch))
        return join(cache, entry, epoch, now, waiter, ticket_out);
    if (now < entry->expires_ms) {
        note_use(cache, entry);
        *value_out = value_ref(entry->value);
        return MEMOIZE_HIT;
    }
    if (!cache->options.allow_stale_reads)
        return join(cache, entry, epoch, now, waiter, ticket_out);
    *value_out = value_ref(entry->value);
    *ticket_out = entry->ticket ? NULL : ticket_new(cache, entry, epoch);
    return MEMOIZE_STALE;
}

enum memoize_answer memoize_get(struct memoize_cache *cache, struct memoize_key key, uint64_t epoch,
                                struct memoize_waiter *waiter, struct memoize_value **value_out,
                                struct memoize_ticket **ticket_out)
{
    enum memoize_answer answer;

    pthread_mutex_lock(&cache->lock);
    answer = look_up(cache, &key, epoch, waiter, value_out, ticket_out);
    pthread_mutex_unlock(&cache->lock);
    return answer;
}

/* ---- answering ---- */

static struct memoize_value *store(struct memoize_cache *cache, struct memoize_ticket *ticket,
                                   struct memoize_value *value, bool is_refusal)
{
    struct entry *entry = ticket->entry;
    bool was_protected = entry->is_protected && !is_refusal;
    struct memoize_value *former = take_value(cache, entry);

    entry->value = value;
    entry->is_refusal = is_refusal;
    entry->is_protected = was_protected;
    entry->epoch = ticket->epoch;
    entry->expires_ms = clock_mono_ms() + cache->options.ttl_ms;
    list_push_front(segment_of(cache, entry), &entry->node);
    return former;
}

static void end_ticket(struct memoize_ticket *ticket)
{
    wake_all(ticket);
    if (ticket->entry)
        ticket->entry->ticket = NULL;
}

void memoize_put(struct memoize_ticket *ticket, struct memoize_value *value, bool is_refusal)
{
    struct memoize_cache *cache = ticket->cache;
    struct memoize_value *former = value; /* when another took over */
    struct memoize_value *evicted[EVICTIONS_PER_PUT] = {NULL};

    pthread_mutex_lock(&cache->lock);
    if (ticket->entry)
        former = store(cache, ticket, value, is_refusal);
    end_ticket(ticket);
    for (int i = 0; i < EVICTIONS_PER_PUT; i++)
        evicted[i] = evict(cache);
    pthread_mutex_unlock(&cache->lock);
    memoize_value_unref(&former);
    for (int i = 0; i < EVICTIONS_PER_PUT; i++)
        memoize_value_unref(&evicted[i]);
    free(ticket);
}

void memoize_fail(struct memoize_ticket *ticket)
{
    struct memoize_cache *cache = ticket->cache;

    pthread_mutex_lock(&cache->lock);
    end_ticket(ticket);
    if (ticket->entry)
        drop_if_unused(cache, ticket->entry);
    pthread_mutex_unlock(&cache->lock);
    free(ticket);
}

size_t memoize_count(struct memoize_cache *cache)
{
    size_t count;

    pthread_mutex_lock(&cache->lock);
    count = cache->probation.count + cache->protected.count;
    pthread_mutex_unlock(&cache->lock);
    return count;
}
