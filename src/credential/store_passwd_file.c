/* SPDX-License-Identifier: Apache-2.0
 *
 * driver = "passwd-file": users in a file of text, as htpasswd makes it (user:hash) or as Dovecot reads it
 * (user:{SCHEME}hash:uid:gid:gecos:home:shell:key=value key=value ...). The file is held in memory as one index, and
 * looked at again when somebody asks and the last look is a second ago. That happens on a thread of its own: a file on
 * a network that hangs holds up this store alone.
 *
 * A new file that cannot be read, or has a line we cannot make sense of, is not taken: the old one goes on serving,
 * and the log says which line, never what is in it. The awkward truth: a file that is rewritten in place may be read
 * while half of it is there; whoever wants never to see that renames a new file into place.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "credential/credential_private.h"
#include "credential/passwd_file.h"
#include "credential/store_fields.h"
#include "credential/store_pool.h"
#include "log/diag.h"

#define LOOK_EVERY_MS 1000

struct store {
    /* fixed after opening */
    char *path;

    /* owned by the lookup thread; `file` by the look while there is one */
    struct store_pool *pool;
    struct passwd_file *file; /* never NULL */
    struct list waiting;      /* asks, for the look that is going on */
    bool is_looking;
    uint64_t look_again_at_ms;
    char complaint[ERROR_SENTENCE_BYTES]; /* what was logged last: once is enough */
};

struct look {
    struct store_work work;
    struct store *store;
    char *path;
    struct passwd_stamp known; /* what the file looked like when it was read */
    struct passwd_file *file;  /* NULL: has not changed, or `error` */
    struct error error;
};

struct waiting_ask {
    struct list_node node;
    struct store_ask *ask;
};

/* ---- answering from what we have ---- */

static void answer(struct store *store, struct store_ask *ask)
{
    struct error error;
    json_t *fields = NULL;
    enum store_outcome outcome = passwd_file_find(store->file, ask->user, &fields, &error);

    ask->on_done(ask, outcome, fields, outcome == STORE_FAILED ? &error : NULL);
    store_fields_free(fields);
}

static void answer_waiting(struct store *store)
{
    /* an answer may bring the next question, or take one back */
    while (!store->is_looking && !list_is_empty(&store->waiting)) {
        struct waiting_ask *waiting = CONTAINER_OF(list_take_first(&store->waiting), struct waiting_ask, node);
        struct store_ask *ask = waiting->ask;

        free(waiting);
        answer(store, ask);
    }
}

/* ---- looking whether the file has changed ---- */

static void look_free(struct store_work *work)
{
    struct look *look = CONTAINER_OF(work, struct look, work);

    passwd_file_free(look->file);
    free(look->path);
    free(look);
}

static void look_run(struct store_work *work)
{
    struct look *look = CONTAINER_OF(work, struct look, work);
    struct passwd_stamp now;

    if (passwd_stamp_of(look->path, &now, &look->error) || passwd_stamp_equal(&look->known, &now))
        return;
    look->file = passwd_file_load(look->path, &look->error);
}

static void complain(struct store *store, const struct error *error)
{
    if (strcmp(store->complaint, error->sentence) == 0)
        return;
    memcpy(store->complaint, error->sentence, sizeof store->complaint);
    diag_error(NULL, error, "the users read before go on serving");
}

static void look_done(struct store_work *work)
{
    struct look *look = CONTAINER_OF(work, struct look, work);
    struct store *store = look->store;

    store->is_looking = false;
    store->look_again_at_ms = clock_mono_ms() + LOOK_EVERY_MS;
    if (look->file) {
        struct passwd_file *former = store->file;

        store->file = look->file;
        look->file = former;
    }
    if (look->error.kind)
        complain(store, &look->error);
    else
        store->complaint[0] = '\0';
    look_free(work);
    answer_waiting(store);
}

static void start_look(struct store *store)
{
    struct look *look = mem_zalloc(sizeof *look);
    struct error error;

    look->work = (struct store_work){.run = look_run, .done = look_done, .drop = look_free};
    look->store = store;
    look->path = mem_strdup(store->path);
    look->known = *passwd_file_stamp(store->file);
    if (!store_pool_submit(store->pool, &look->work, &error)) {
        store->is_looking = true;
        return;
    }
    complain(store, &error); /* no thread to be had: what we know will do */
    look_free(&look->work);
}

/* ---- the driver ---- */

static void passwd_ask(struct store *store, struct store_ask *ask)
{
    struct waiting_ask *waiting;

    if (!store->is_looking && clock_mono_ms() >= store->look_again_at_ms)
        start_look(store);
    if (!store->is_looking) {
        answer(store, ask);
        return;
    }
    waiting = mem_zalloc(sizeof *waiting);
    waiting->ask = ask;
    ask->driver = waiting;
    list_push_back(&store->waiting, &waiting->node);
}

static void passwd_cancel(struct store *store, struct store_ask *ask)
{
    struct waiting_ask *waiting = ask->driver;

    list_remove(&store->waiting, &waiting->node);
    free(waiting);
}

static struct store *passwd_open(struct settings *settings, struct error *error)
{
    struct store *store = mem_zalloc(sizeof *store);

    settings_need_text(settings, "path");
    store->path = mem_strdup(settings_path(settings, "path", ""));
    list_init(&store->waiting);
    if (!settings_end(settings, error) && !(store->file = passwd_file_load(store->path, error)))
        error_prefix(error, "%s", settings_where(settings, "path"));
    if (store->file)
        return store;
    free(store->path);
    free(store);
    return NULL;
}

static void passwd_start(struct store *store, const struct store_house *house)
{
    store->pool = store_pool_new(house->loop, "passwd-file", 1, 1);
}

static void passwd_close(struct store *store)
{
    if (store->pool)
        store_pool_close(store->pool, NULL, NULL);
    passwd_file_free(store->file);
    free(store->path);
    free(store);
}

const struct store_driver store_passwd_file = {
    .name = "passwd-file",
    .kind = STORE_RECORDS,
    .open = passwd_open,
    .start = passwd_start,
    .ask = passwd_ask,
    .cancel = passwd_cancel,
    .close = passwd_close,
};
