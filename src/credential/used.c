/* SPDX-License-Identifier: Apache-2.0
 *
 * See used.h. One lock: it is taken once per successful login.
 */
#include "credential/used.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"

struct used {
    struct list_node node;
    int64_t at_ms;
    size_t key_len;
    char key[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map all;
static struct list by_time = {.head = {&by_time.head, &by_time.head}}; /* the eldest last */

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

void credential_note_used(const char *user, const char *label)
{
    struct used *used = used_new(user, label);
    struct used *gone;

    used->at_ms = clock_wall_ms();
    pthread_mutex_lock(&lock);
    gone = map_find(&all, key_of(used));
    if (!gone && all.count >= CREDENTIAL_USED_MOST)
        gone = CONTAINER_OF(list_last(&by_time), struct used, node);
    if (gone)
        forget(gone);
    map_put(&all, key_of(used), used);
    list_push_front(&by_time, &used->node);
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
