/* SPDX-License-Identifier: Apache-2.0
 *
 * Two stores on one directory: "ldap" gives the record that an entry holds, "ldap-bind" finds the entry (or makes its
 * name from a template) and lets the directory judge the password by logging in as it, on a connection that is for
 * nothing else. A name that the directory does not know costs a login too, as an entry that is not there: the stopwatch
 * of who guesses is to find no difference. OpenLDAP's library blocks, so all of it runs on threads of the store's own;
 * connections are kept and lent to whichever thread has work. The lookup thread only hands over questions and takes
 * answers.
 */
#include "credential/credential_private.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "credential/store_fields.h"
#include "credential/store_ldap.h"
#include "credential/store_pool.h"
#include "credential/template.h"

#define WAITING_MOST 1024

/* One question on its way through the pool. */
struct ldap_work {
    struct store_work work;
    struct store *store;
    struct store_ask *ask; /* of the lookup thread; NULL when nobody wants to know any more */
    struct timer limit;
    struct directory_wire wire;
    uint64_t until_ms;
    char *user;
    char *password; /* a secret */
    size_t password_len;

    /* the answer */
    enum store_outcome outcome;
    json_t *fields;
    struct error error;
};

/* ---- connections, from the pool's threads ---- */

static struct directory_link *take_idle(struct store *store, enum link_use use)
{
    struct list_node *node;

    pthread_mutex_lock(&store->lock);
    node = list_take_first(&store->idle[use]);
    pthread_mutex_unlock(&store->lock);
    return node ? CONTAINER_OF(node, struct directory_link, node) : NULL;
}

/* The one used last is lent first: what is left over is closed by the server in time. */
static void give_back(struct store *store, enum link_use use, struct directory_link *link)
{
    link->is_used = true;
    pthread_mutex_lock(&store->lock);
    list_push_front(&store->idle[use], &link->node);
    pthread_mutex_unlock(&store->lock);
}

struct step {
    enum link_use use;
    enum directory_outcome (*run)(struct ldap_work *work, struct directory_link *link, struct step *step,
                                  const struct directory_limit *limit);
    char *dn;
};

/* Runs a step on a connection. One that has served before may have been closed since (the server was restarted, or has
 * a limit for idle ones): then once more, on others, until a new one was tried. */
static enum directory_outcome run_step(struct ldap_work *work, struct step *step, const struct directory_limit *limit)
{
    for (;;) {
        struct directory_link *link = take_idle(work->store, step->use);
        enum directory_outcome outcome;
        bool was_used;

        if (!link)
            link = directory_open(&work->store->directory, step->use == LINK_SEARCH, limit, &work->error);
        if (!link)
            return DIRECTORY_LOST;
        was_used = link->is_used;
        directory_attach(link, limit->wire);
        outcome = step->run(work, link, step, limit);
        directory_detach(limit->wire);
        if (outcome != DIRECTORY_LOST && outcome != DIRECTORY_LATE) {
            give_back(work->store, step->use, link);
            return outcome;
        }
        directory_close(link);
        if (outcome == DIRECTORY_LATE || !was_used)
            return outcome;
    }
}

static int put(const char *text, const char *user, int (*encode)(struct span, struct buf *), struct buf *out)
{
    return template_put(text, span_of(user), encode, out);
}

static enum directory_outcome run_search(struct ldap_work *work, struct directory_link *link, struct step *step,
                                         const struct directory_limit *limit)
{
    struct store *store = work->store;
    enum directory_outcome outcome = DIRECTORY_NONE; /* a name too long for the texts is nobody's */
    struct buf base, filter;

    buf_init(&base, DIRECTORY_TEXT_LIMIT_BYTES);
    buf_init(&filter, DIRECTORY_TEXT_LIMIT_BYTES);
    if (!put(store->base, work->user, template_put_dn, &base) &&
        !put(store->filter, work->user, template_put_filter, &filter)) {
        struct directory_search search = {
            .base = buf_cstr(&base),
            .filter = buf_cstr(&filter),
            .scope = store->scope,
            .attributes = store->attributes,
            .attribute_count = store->attribute_count,
            .names = store->names,
            .name_count = store->name_count,
            .user = work->user,
            .base_is_of_user = template_has_user(store->base),
            .groups_by_name = store->groups_by_name,
        };

        outcome = directory_find(link, &search, limit, &step->dn, &work->fields, &work->error);
    }
    buf_done(&base);
    buf_done(&filter);
    return outcome;
}

static enum directory_outcome run_bind(struct ldap_work *work, struct directory_link *link, struct step *step,
                                       const struct directory_limit *limit)
{
    return directory_bind(link, step->dn, span_make(work->password, work->password_len), limit, &work->error);
}

/* NULL: it would be too long. */
static char *dn_of(const char *rdn, const char *template, const char *user)
{
    struct buf dn;
    char *text = NULL;

    buf_init(&dn, DIRECTORY_TEXT_LIMIT_BYTES);
    if (!buf_append(&dn, rdn, strlen(rdn)) && !put(template, user, template_put_dn, &dn))
        text = span_dup(buf_span(&dn));
    buf_done(&dn);
    return text;
}

static enum directory_outcome judge(struct ldap_work *work, char *dn, const struct directory_limit *limit)
{
    struct step bind = {.use = LINK_BIND, .run = run_bind, .dn = dn};

    return run_step(work, &bind, limit);
}

/* What it costs to judge somebody, for who is nobody: a login as an entry that cannot be there. */
static enum directory_outcome judge_nobody(struct ldap_work *work, const struct directory_limit *limit)
{
    char *dn = dn_of(work->store->nobody, work->store->base, work->user);
    enum directory_outcome outcome = dn ? judge(work, dn, limit) : DIRECTORY_NONE;

    free(dn);
    return outcome == DIRECTORY_LOST || outcome == DIRECTORY_LATE ? outcome : DIRECTORY_NONE;
}

static enum directory_outcome judge_found(struct ldap_work *work, const struct directory_limit *limit)
{
    struct step search = {.use = LINK_SEARCH, .run = run_search};
    enum directory_outcome outcome = run_step(work, &search, limit);

    if (outcome == DIRECTORY_DONE && work->store->judges)
        outcome = judge(work, search.dn, limit);
    else if (outcome == DIRECTORY_NONE && work->store->judges)
        outcome = judge_nobody(work, limit);
    free(search.dn);
    return outcome;
}

static enum directory_outcome judge_named(struct ldap_work *work, const struct directory_limit *limit)
{
    char *dn = directory_name_is_plain(work->user) ? dn_of("", work->store->dn, work->user) : NULL;
    enum directory_outcome outcome = dn ? judge(work, dn, limit) : DIRECTORY_NONE;

    free(dn);
    return outcome;
}

/* Both kinds of refusal cost the same questions, but the directory has more to do for an entry that is there. */
static void keep_pace(struct ldap_work *work, enum directory_outcome outcome, uint64_t began_us)
{
    enum pace_kind kind = outcome == DIRECTORY_NONE ? PACE_UNKNOWN : PACE_REFUSED;

    if (work->store->judges && (outcome == DIRECTORY_NONE || outcome == DIRECTORY_REFUSED))
        pace_wait(began_us, pace_note(&work->store->pace, kind, clock_mono_us() - began_us));
}

static enum directory_outcome answer(struct ldap_work *work)
{
    struct directory_limit limit = {work->until_ms, &work->wire};
    uint64_t began_us = clock_mono_us();
    enum directory_outcome outcome = work->store->dn ? judge_named(work, &limit) : judge_found(work, &limit);

    keep_pace(work, outcome, began_us);
    return outcome;
}

static void run_work(struct store_work *base)
{
    struct ldap_work *work = CONTAINER_OF(base, struct ldap_work, work);

    switch (answer(work)) {
    case DIRECTORY_DONE:
        work->outcome = STORE_FOUND;
        return;
    case DIRECTORY_NONE:
        work->outcome = STORE_NOT_FOUND;
        return;
    case DIRECTORY_REFUSED:
        work->outcome = STORE_REFUSED;
        return;
    case DIRECTORY_FAILED:
    case DIRECTORY_LOST:
    case DIRECTORY_LATE:
        work->outcome = STORE_FAILED;
    }
}

/* ---- on the lookup thread ---- */

static void work_free(struct ldap_work *work)
{
    if (work->password)
        secret_wipe(work->password, work->password_len);
    free(work->password);
    free(work->user);
    store_fields_free(work->fields);
    directory_wire_done(&work->wire);
    free(work);
}

static void drop_work(struct store_work *base) { work_free(CONTAINER_OF(base, struct ldap_work, work)); }

static void tell(struct ldap_work *work, enum store_outcome outcome, const struct error *error)
{
    struct store_ask *ask = work->ask;

    work->ask = NULL;
    timer_stop(&work->limit);
    ask->driver = NULL;
    ask->on_done(ask, outcome, outcome == STORE_FOUND ? work->fields : NULL, outcome == STORE_FAILED ? error : NULL);
}

static void finish_work(struct store_work *base)
{
    struct ldap_work *work = CONTAINER_OF(base, struct ldap_work, work);

    if (work->ask)
        tell(work, work->outcome, &work->error);
    work_free(work);
}

/* Nobody wants to know any more: its thread is to be free again. */
static void let_go(struct ldap_work *work)
{
    directory_wire_cut(&work->wire);
    if (store_pool_withdraw(work->store->pool, &work->work))
        work_free(work);
}

static void on_late(void *ctx)
{
    struct ldap_work *work = ctx;
    struct error error;

    error_set(&error, ERROR_TEMP, "the directory did not answer in time");
    tell(work, STORE_FAILED, &error);
    let_go(work);
}

static struct store *open_records(struct settings *settings, struct error *error)
{
    return store_ldap_open(settings, false, error);
}

static struct store *open_bind(struct settings *settings, struct error *error)
{
    return store_ldap_open(settings, true, error);
}

static void start_store(struct store *store, const struct store_house *house)
{
    store->loop = house->loop;
    store->pool = store_pool_new(house->loop, "ldap", store->threads, WAITING_MOST);
}

static struct ldap_work *work_new(struct store *store, struct store_ask *ask)
{
    struct ldap_work *work = mem_zalloc(sizeof *work);

    work->work.run = run_work;
    work->work.done = finish_work;
    work->work.drop = drop_work;
    work->store = store;
    work->ask = ask;
    work->until_ms = clock_mono_ms() + store->limit_ms;
    directory_wire_init(&work->wire);
    timer_init(&work->limit, store->loop, on_late, work);
    timer_start(&work->limit, store->limit_ms);
    work->user = mem_strdup(ask->user);
    if (store->judges) {
        work->password = mem_alloc(ask->password.len);
        work->password_len = ask->password.len;
        memcpy(work->password, ask->password.data, ask->password.len);
    }
    return work;
}

static void ask_directory(struct store *store, struct store_ask *ask)
{
    struct ldap_work *work;
    struct error error;

    ask->driver = NULL;
    if (store->judges && !ask->password.len) {
        ask->on_done(ask, STORE_REFUSED, NULL, NULL);
        return;
    }
    work = work_new(store, ask);
    ask->driver = work;
    if (!store_pool_submit(store->pool, &work->work, &error))
        return;
    tell(work, STORE_FAILED, &error);
    work_free(work);
}

static void cancel_ask(struct store *store, struct store_ask *ask)
{
    struct ldap_work *work = ask->driver;

    (void)store;
    if (!work)
        return;
    ask->driver = NULL;
    work->ask = NULL;
    timer_stop(&work->limit);
    let_go(work);
}

static void close_store(struct store *store)
{
    if (store->pool)
        store_pool_close(store->pool, store_ldap_free, store);
    else
        store_ldap_free(store);
}

const struct store_driver store_ldap = {
    .name = "ldap",
    .kind = STORE_RECORDS,
    .ignores_case = true,
    .open = open_records,
    .start = start_store,
    .ask = ask_directory,
    .cancel = cancel_ask,
    .close = close_store,
};

const struct store_driver store_ldap_bind = {
    .name = "ldap-bind",
    .kind = STORE_PASSWORDS,
    .ignores_case = true,
    .open = open_bind,
    .start = start_store,
    .ask = ask_directory,
    .cancel = cancel_ask,
    .close = close_store,
};
