/* SPDX-License-Identifier: Apache-2.0
 *
 * While a message's metadata is on disk the queue still has to know its tenant, campaign,
 * routing domain and queue. Most waiting messages agree on these with many others, so they
 * are kept once and counted. The table is shared by all threads, and its lock is only taken
 * when a message is shrunk or such a message goes away.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "message/message_private.h"

#define KEY_COUNT 4

static const char *const key_names[KEY_COUNT] = {"queue", "tenant", "campaign", "routing_domain"};

struct message_keys {
    json_t *object; /* immutable: the four, where set */
    char *text;     /* its canonical form, which is its place in the table */
    size_t users;
};

/* shared, under lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map table;

static json_t *pick(const json_t *meta)
{
    json_t *object = NULL;

    for (int i = 0; i < KEY_COUNT; i++) {
        json_t *value = json_object_get(meta, key_names[i]);

        if (!value)
            continue;
        if (!object)
            object = json_object();
        MUST(object && json_object_set_new(object, key_names[i], json_deep_copy(value)) == 0);
    }
    return object;
}

static struct message_keys *keys_new(json_t *object /* stolen */, char *text /* stolen */)
{
    struct message_keys *keys = mem_zalloc(sizeof *keys);

    keys->object = object;
    keys->text = text;
    return keys;
}

static void keys_free(struct message_keys *keys)
{
    json_decref(keys->object);
    free(keys->text);
    free(keys);
}

struct message_keys *message_keys_take(const json_t *meta)
{
    json_t *object = pick(meta);
    struct message_keys *fresh;
    struct message_keys *keys;
    char *text;

    if (!object)
        return NULL;
    text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    MUST(text);
    fresh = keys_new(object, text);
    pthread_mutex_lock(&lock);
    keys = map_find(&table, span_of(text));
    if (!keys) {
        map_put(&table, span_of(text), fresh);
        keys = fresh;
    }
    keys->users++;
    pthread_mutex_unlock(&lock);
    if (keys != fresh)
        keys_free(fresh);
    return keys;
}

void message_keys_unref(struct message_keys **keys)
{
    struct message_keys *gone = NULL;

    if (!*keys)
        return;
    pthread_mutex_lock(&lock);
    if (--(*keys)->users == 0)
        gone = map_remove(&table, span_of((*keys)->text));
    pthread_mutex_unlock(&lock);
    if (gone)
        keys_free(gone);
    *keys = NULL;
}

json_t *message_keys_get(const struct message_keys *keys, const char *key)
{
    return keys ? json_object_get(keys->object, key) : NULL;
}
