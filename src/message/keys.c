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
#define TEXT_LIMIT 4096

/* In the order in which they stand in a text. */
static const char *const key_names[KEY_COUNT] = {"campaign", "queue", "routing_domain", "tenant"};

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

/* The one there is for this text, with one user more; NULL when there is none. */
static struct message_keys *find(struct span text)
{
    struct message_keys *keys;

    pthread_mutex_lock(&lock);
    keys = map_find(&table, text);
    if (keys)
        keys->users++;
    pthread_mutex_unlock(&lock);
    return keys;
}

static struct message_keys *find_or_add(json_t *object /* stolen */, char *text /* stolen */)
{
    struct message_keys *fresh = keys_new(object, text);
    struct message_keys *keys;

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

struct message_keys *message_keys_take(const json_t *meta)
{
    json_t *object = pick(meta);
    char *text;

    if (!object)
        return NULL;
    text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    MUST(text);
    return find_or_add(object, text);
}

/* ---- from metadata as it was written, without making a tree of it ---- */

static bool take_mark(struct span *rest, char mark)
{
    if (rest->len == 0 || rest->data[0] != mark)
        return false;
    *rest = span_from(*rest, 1);
    return true;
}

/* A string in which nothing is escaped. */
static bool take_string(struct span *rest, struct span *text_out)
{
    size_t len;

    if (!take_mark(rest, '"'))
        return false;
    len = span_plain_run(*rest);
    *text_out = span_head(*rest, len);
    *rest = span_from(*rest, len);
    return take_mark(rest, '"');
}

/* {"name":"text",...}: what stands at our names. False for anything else, which is not wrong, but takes a real parser.
 */
static bool take_values(struct span meta, struct span values[KEY_COUNT])
{
    struct span name, value;

    if (!take_mark(&meta, '{'))
        return false;
    do {
        if (!take_string(&meta, &name) || !take_mark(&meta, ':') || !take_string(&meta, &value))
            return false;
        for (int i = 0; i < KEY_COUNT; i++)
            if (span_eq(name, span_of(key_names[i])))
                values[i] = value;
    } while (take_mark(&meta, ','));
    return take_mark(&meta, '}') && meta.len == 0;
}

/* The same text as json_dumps makes of them. */
static int put_values(const struct span values[KEY_COUNT], struct buf *out)
{
    const char *separator = "{\"";

    for (int i = 0; i < KEY_COUNT; i++) {
        if (!values[i].data)
            continue;
        if (buf_append_span(out, span_of(separator)) || buf_append_span(out, span_of(key_names[i])) ||
            buf_append(out, "\":\"", 3) || buf_append_span(out, values[i]) || buf_append(out, "\"", 1))
            return -1;
        separator = ",\"";
    }
    return buf_len(out) > 0 && buf_append(out, "}", 1) ? -1 : 0;
}

bool message_keys_read(struct span meta, struct message_keys **keys_out)
{
    struct span values[KEY_COUNT] = {{0}};
    struct buf text;
    json_t *object;
    bool is_read;

    buf_init(&text, TEXT_LIMIT);
    is_read = take_values(meta, values) && !put_values(values, &text);
    *keys_out = NULL;
    if (is_read && buf_len(&text) > 0 && !(*keys_out = find(buf_span(&text)))) {
        object = json_loadb(buf_span(&text).data, buf_len(&text), 0, NULL);
        is_read = object != NULL; /* unless it is no UTF-8 */
        if (is_read)
            *keys_out = find_or_add(object, span_dup(buf_span(&text)));
    }
    buf_done(&text);
    return is_read;
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

void message_keys_put(const struct message_keys *keys, json_t *meta)
{
    for (int i = 0; i < KEY_COUNT; i++) {
        json_t *value = message_keys_get(keys, key_names[i]);

        if (!value)
            json_object_del(meta, key_names[i]);
        else if (!json_equal(value, json_object_get(meta, key_names[i])))
            MUST(json_object_set_new(meta, key_names[i], json_deep_copy(value)) == 0);
    }
}
