/* SPDX-License-Identifier: Apache-2.0
 *
 * See token_cache.h.
 */
#include "credential/token_cache.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "base/secret.h"
#include "crypto/digest.h"

struct entry {
    struct list_node node;
    char hash[CRYPTO_SHA256_BYTES];
    json_t *fields;
    uint64_t good_until_ms; /* monotonic */
};

struct token_cache {
    unsigned char key[CRYPTO_SHA256_BYTES];
    size_t capacity;
    struct map entries;
    struct list oldest_first;
};

struct token_cache *token_cache_new(size_t capacity)
{
    struct token_cache *cache = mem_zalloc(sizeof *cache);

    random_bytes(cache->key, sizeof cache->key);
    cache->capacity = capacity;
    map_init(&cache->entries);
    list_init(&cache->oldest_first);
    return cache;
}

static struct span span_of_hash(const char hash[CRYPTO_SHA256_BYTES]) { return span_make(hash, CRYPTO_SHA256_BYTES); }

static void drop(struct token_cache *cache, struct entry *entry)
{
    map_remove(&cache->entries, span_of_hash(entry->hash));
    list_remove(&cache->oldest_first, &entry->node);
    json_decref(entry->fields);
    free(entry);
}

static void drop_oldest(struct token_cache *cache)
{
    drop(cache, CONTAINER_OF(list_first(&cache->oldest_first), struct entry, node));
}

void token_cache_free(struct token_cache *cache)
{
    if (!cache)
        return;
    while (!list_is_empty(&cache->oldest_first))
        drop_oldest(cache);
    map_done(&cache->entries, NULL);
    secret_wipe(cache->key, sizeof cache->key);
    free(cache);
}

static void hash_of(const struct token_cache *cache, struct span token, char hash_out[CRYPTO_SHA256_BYTES])
{
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];

    crypto_hmac(CRYPTO_SHA256, span_make((const char *)cache->key, sizeof cache->key), token, digest);
    memcpy(hash_out, digest, CRYPTO_SHA256_BYTES);
}

json_t *token_cache_get(struct token_cache *cache, struct span token)
{
    char hash[CRYPTO_SHA256_BYTES];
    struct entry *entry;

    hash_of(cache, token, hash);
    entry = map_find(&cache->entries, span_of_hash(hash));
    if (entry && clock_mono_ms() >= entry->good_until_ms) {
        drop(cache, entry);
        entry = NULL;
    }
    return entry ? json_incref(entry->fields) : NULL;
}

void token_cache_put(struct token_cache *cache, struct span token, json_t *fields, uint64_t lifetime_ms)
{
    struct entry *entry = mem_zalloc(sizeof *entry), *before;

    hash_of(cache, token, entry->hash);
    before = map_find(&cache->entries, span_of_hash(entry->hash));
    if (before)
        drop(cache, before);
    if (cache->entries.count == cache->capacity)
        drop_oldest(cache);
    entry->fields = json_incref(fields);
    entry->good_until_ms = clock_mono_ms() + lifetime_ms;
    map_put(&cache->entries, span_of_hash(entry->hash), entry);
    list_push_back(&cache->oldest_first, &entry->node);
}

size_t token_cache_count(const struct token_cache *cache) { return cache->entries.count; }
