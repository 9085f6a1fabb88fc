/* SPDX-License-Identifier: Apache-2.0
 *
 * See held.h. Asked for every message that is about to leave, so where nobody is held it costs one look at a counter.
 */
#include "queue/held.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"

static struct {
    pthread_mutex_t lock;
    /* under lock */
    char *folder;     /* NULL: not kept anywhere */
    struct map users; /* in lower case -> char *, the name as it was said */
    /* shared */
    atomic_size_t count;
} held = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the file ---- */

static json_t *list_users(void)
{
    struct map_cursor cursor = {0};
    json_t *list = json_array();
    struct span user;
    void *value;

    while (map_next(&held.users, &cursor, &user, &value))
        json_array_append_new(list, json_string(value));
    return list;
}

/* The rename too has to be on stable storage. */
static int sync_folder(void)
{
    int fd = open(held.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0)
        close(fd);
    return result;
}

static int write_list(const char *path, const json_t *list)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int result = fd < 0 || json_dumpfd(list, fd, JSON_INDENT(1)) || fsync(fd) ? -1 : 0;

    if (fd >= 0)
        close(fd);
    return result;
}

static int save(struct error *error)
{
    char *path, *temporary;
    json_t *list;
    int result = 0;

    if (!held.folder)
        return 0;
    path = mem_printf("%s/held", held.folder);
    temporary = mem_printf("%s/held.new", held.folder);
    list = list_users();
    if (write_list(temporary, list) || rename(temporary, path) || sync_folder())
        result = error_set_errno(error, ERROR_TEMP, errno, "writing %s", path);
    json_decref(list);
    free(temporary);
    free(path);
    return result;
}

/* A store may not mind how its names are capitalized, and then one user logs in under many spellings. */
static const char *find(const char *user)
{
    char *key = span_dup_lower(span_of(user));
    const char *name = map_find(&held.users, span_of(key));

    free(key);
    return name;
}

/* Owns the name. */
static void put(char *name)
{
    char *key = span_dup_lower(span_of(name));
    char *former = map_put(&held.users, span_of(key), name);

    if (!former)
        atomic_fetch_add(&held.count, 1);
    free(former);
    free(key);
}

/* The name as it was said, which is the caller's then. */
static char *drop(const char *user)
{
    char *key = span_dup_lower(span_of(user));
    char *name = map_remove(&held.users, span_of(key));

    if (name)
        atomic_fetch_sub(&held.count, 1);
    free(key);
    return name;
}

static int read_list(const char *path, struct error *error)
{
    json_error_t fault;
    json_t *list = json_load_file(path, JSON_REJECT_DUPLICATES, &fault), *item;
    int result = json_is_array(list) ? 0 : -1;
    size_t i;

    json_array_foreach(list, i, item)
    {
        if (json_is_string(item))
            put(mem_strdup(json_string_value(item)));
        else
            result = -1;
    }
    json_decref(list);
    return result ? error_set(error, ERROR_PERM, "%s is not a list of users", path) : 0;
}

int held_open(const char *folder, struct error *error)
{
    char *path = mem_printf("%s/held", folder);
    int result;

    pthread_mutex_lock(&held.lock);
    MUST(!held.folder);
    held.folder = mem_strdup(folder);
    result = access(path, F_OK) && errno == ENOENT ? 0 : read_list(path, error);
    pthread_mutex_unlock(&held.lock);
    free(path);
    return result;
}

void held_close(void)
{
    pthread_mutex_lock(&held.lock);
    map_done(&held.users, free);
    map_init(&held.users);
    atomic_store(&held.count, 0);
    free(held.folder);
    held.folder = NULL;
    pthread_mutex_unlock(&held.lock);
}

/* ---- changes: what could not be written down is taken back ---- */

int held_add(const char *user, struct error *error)
{
    int result = 0;

    pthread_mutex_lock(&held.lock);
    if (!find(user)) {
        if (held.users.count >= HELD_MOST) {
            result = error_set(error, ERROR_PERM, "%d users are held already", HELD_MOST);
        } else {
            put(mem_strdup(user));
            result = save(error);
            if (result)
                free(drop(user));
        }
    }
    pthread_mutex_unlock(&held.lock);
    return result;
}

int held_remove(const char *user, struct error *error)
{
    int result = 0;
    char *name;

    pthread_mutex_lock(&held.lock);
    name = drop(user);
    if (name) {
        result = save(error);
        if (result)
            put(name);
        else
            free(name);
    }
    pthread_mutex_unlock(&held.lock);
    return result;
}

/* ---- questions ---- */

bool held_has(const char *user)
{
    bool has;

    if (!atomic_load_explicit(&held.count, memory_order_acquire))
        return false;
    pthread_mutex_lock(&held.lock);
    has = find(user) != NULL;
    pthread_mutex_unlock(&held.lock);
    return has;
}

json_t *held_list(void)
{
    json_t *list;

    pthread_mutex_lock(&held.lock);
    list = list_users();
    pthread_mutex_unlock(&held.lock);
    return list;
}

const char *held_sender(const struct message *message)
{
    const char *user;

    if (!atomic_load_explicit(&held.count, memory_order_acquire))
        return NULL;
    user = json_string_value(message_meta_get(message, "authn_id"));
    return user && held_has(user) ? user : NULL;
}
