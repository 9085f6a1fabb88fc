/* SPDX-License-Identifier: Apache-2.0
 *
 * Chained buckets, doubled when full. SipHash-1-3 (Aumasson and Bernstein) is short
 * enough to keep here.
 */
#include "base/map.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"

struct map_entry {
    struct map_entry *next;
    void *value;
    uint64_t hash;
    size_t key_len;
    char key[];
};

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void make_hash_key(void) { random_bytes(hash_key, sizeof hash_key); }

static uint64_t rotl(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t map_hash(struct span key)
{
    uint64_t v[4];
    uint64_t word;
    size_t i;

    pthread_once(&hash_key_once, make_hash_key);
    v[0] = hash_key[0] ^ 0x736f6d6570736575ULL;
    v[1] = hash_key[1] ^ 0x646f72616e646f6dULL;
    v[2] = hash_key[0] ^ 0x6c7967656e657261ULL;
    v[3] = hash_key[1] ^ 0x7465646279746573ULL;
    for (i = 0; i + 8 <= key.len; i += 8) {
        memcpy(&word, key.data + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)key.len << 56;
    for (size_t shift = 0; i < key.len; i++, shift += 8)
        word |= (uint64_t)(unsigned char)key.data[i] << shift;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *map) { *map = (struct map){0}; }

void map_done(struct map *map, void (*free_value)(void *))
{
    for (size_t i = 0; i < map->bucket_count; i++) {
        struct map_entry *entry = map->buckets[i];

        while (entry) {
            struct map_entry *next = entry->next;

            if (free_value)
                free_value(entry->value);
            free(entry);
            entry = next;
        }
    }
    free(map->buckets);
    *map = (struct map){0};
}

/* The link that points to the entry for `key`, or to the NULL where it would go. */
static struct map_entry **find_link(const struct map *map, struct span key, uint64_t hash)
{
    struct map_entry **link = &map->buckets[hash & (map->bucket_count - 1)];

    while (*link && !((*link)->hash == hash && span_eq(span_make((*link)->key, (*link)->key_len), key)))
        link = &(*link)->next;
    return link;
}

void *map_find(const struct map *map, struct span key)
{
    struct map_entry *entry;

    if (map->count == 0)
        return NULL;
    entry = *find_link(map, key, map_hash(key));
    return entry ? entry->value : NULL;
}

static void resize(struct map *map, size_t bucket_count)
{
    struct map_entry **buckets = mem_zalloc(bucket_count * sizeof(struct map_entry *));

    for (size_t i = 0; i < map->bucket_count; i++) {
        struct map_entry *entry = map->buckets[i];

        while (entry) {
            struct map_entry *next = entry->next;
            struct map_entry **link = &buckets[entry->hash & (bucket_count - 1)];

            entry->next = *link;
            *link = entry;
            entry = next;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->bucket_count = bucket_count;
}

void *map_put(struct map *map, struct span key, void *value)
{
    uint64_t hash = map_hash(key);
    struct map_entry **link;
    struct map_entry *entry;

    MUST(value != NULL);
    if (map->count >= map->bucket_count)
        resize(map, map->bucket_count ? map->bucket_count * 2 : 8);
    link = find_link(map, key, hash);
    if (*link) {
        void *former = (*link)->value;

        (*link)->value = value;
        return former;
    }
    entry = mem_alloc(sizeof *entry + key.len);
    *entry = (struct map_entry){.value = value, .hash = hash, .key_len = key.len};
    if (key.len)
        memcpy(entry->key, key.data, key.len);
    *link = entry;
    map->count++;
    return NULL;
}

void *map_remove(struct map *map, struct span key)
{
    struct map_entry **link;
    struct map_entry *entry;
    void *value;

    if (map->count == 0)
        return NULL;
    link = find_link(map, key, map_hash(key));
    entry = *link;
    if (!entry)
        return NULL;
    *link = entry->next;
    value = entry->value;
    free(entry);
    map->count--;
    return value;
}

bool map_next(const struct map *map, struct map_cursor *cursor, struct span *key_out, void **value_out)
{
    struct map_entry *entry = cursor->next;

    while (!entry && cursor->bucket < map->bucket_count)
        entry = map->buckets[cursor->bucket++];
    if (!entry)
        return false;
    cursor->next = entry->next;
    *key_out = span_make(entry->key, entry->key_len);
    *value_out = entry->value;
    return true;
}
