/* SPDX-License-Identifier: Apache-2.0
 *
 * See used.h. One lock: it is taken once per successful login.
 */
#include "credential/used.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "credential/credential_private.h"

struct used {
    struct list_node node;
    int64_t at_ms;
    size_t key_len;
    char key[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map all;
static struct list by_time = {.head = {&by_time.head, &by_time.head}}; /* the eldest last */
static uint64_t changes;

/* The name's length stands before it: no label can look like the end of another's name. */
static struct used *used_new(const char *user, const char *label)
{
    size_t user_len = strlen(user);
    size_t label_len = strlen(label);
    struct used *used = mem_zalloc(sizeof *used + sizeof user_len + user_len + label_len);

    used->key_len = sizeof user_len + user_len + label_len;
    memcpy(used->key, &user_len, sizeof user_len);
    memcpy(used->key + sizeof user_len, user, user_len);
    memcpy(used->key + sizeof user_len + user_len, label, label_len);
    return used;
}

static struct span key_of(const struct used *used) { return span_make(used->key, used->key_len); }

static struct used *forget(struct used *used)
{
    list_remove(&by_time, &used->node);
    map_remove(&all, key_of(used));
    return used;
}

/* Under lock. Returns what has to be freed: what gave its place, or `used` itself when a later time is known. */
static struct used *put(struct used *used)
{
    struct used *gone = map_find(&all, key_of(used));

    if (gone && gone->at_ms > used->at_ms)
        return used;
    if (!gone && all.count >= CREDENTIAL_USED_MOST)
        gone = CONTAINER_OF(list_last(&by_time), struct used, node);
    if (gone)
        forget(gone);
    map_put(&all, key_of(used), used);
    list_push_front(&by_time, &used->node);
    return gone;
}

void credential_note_used(const char *user, const char *label)
{
    struct used *used = used_new(user, label), *gone;

    used->at_ms = clock_wall_ms();
    pthread_mutex_lock(&lock);
    changes++;
    gone = put(used);
    pthread_mutex_unlock(&lock);
    free(gone);
}

int64_t credential_last_used(const char *user, const char *label)
{
    struct used *wanted = used_new(user, label);
    struct used *used;
    int64_t at_ms;

    pthread_mutex_lock(&lock);
    used = map_find(&all, key_of(wanted));
    at_ms = used ? used->at_ms : 0;
    pthread_mutex_unlock(&lock);
    free(wanted);
    return at_ms;
}

void credential_forget_used(void)
{
    pthread_mutex_lock(&lock);
    while (!list_is_empty(&by_time))
        free(forget(CONTAINER_OF(list_first(&by_time), struct used, node)));
    map_done(&all, NULL);
    pthread_mutex_unlock(&lock);
}

/* ---- as text ---- */

static int write_one(const struct used *used, struct buf *out)
{
    size_t user_len;
    const char *user = used->key + sizeof user_len;

    memcpy(&user_len, used->key, sizeof user_len);
    return buf_appendf(out, "%" PRId64 "\t%.*s\t%.*s\n", used->at_ms, (int)user_len, user,
                       (int)(used->key_len - sizeof user_len - user_len), user + user_len);
}

uint64_t credential_used_changes(void)
{
    uint64_t now;

    pthread_mutex_lock(&lock);
    now = changes;
    pthread_mutex_unlock(&lock);
    return now;
}

uint64_t credential_used_write(struct buf *out)
{
    struct list_node *node;
    uint64_t now;

    pthread_mutex_lock(&lock);
    now = changes;
    for (node = by_time.head.prev; node != &by_time.head; node = node->prev)
        if (write_one(CONTAINER_OF(node, struct used, node), out))
            break;
    pthread_mutex_unlock(&lock);
    return now;
}

/* "MS, tab, USER, tab, LABEL": neither has controls. */
static int read_one(struct span line)
{
    struct span at, user, rest = line;
    char *name, *label;
    struct used *used;
    uint64_t at_ms;

    if (!span_split(&rest, '\t', &at) || !rest.data || span_to_u64(at, &at_ms) || at_ms > INT64_MAX ||
        !span_split(&rest, '\t', &user) || !rest.data || !credential_text_is_sound(user) ||
        (rest.len && !credential_text_is_sound(rest)))
        return -1;
    name = span_dup(user);
    label = span_dup(rest);
    used = used_new(name, label);
    used->at_ms = (int64_t)at_ms;
    pthread_mutex_lock(&lock);
    free(put(used));
    pthread_mutex_unlock(&lock);
    free(label);
    free(name);
    return 0;
}

int credential_used_read(struct span text)
{
    struct span line;

    while (text.len && span_split(&text, '\n', &line))
        if (read_one(line))
            return -1;
    return 0;
}
