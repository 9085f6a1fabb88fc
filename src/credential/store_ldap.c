/* SPDX-License-Identifier: Apache-2.0
 *
 * Two stores on one directory: "ldap" gives the record that an entry holds, "ldap-bind" finds the entry (or makes its
 * name from a template) and lets the directory judge the password by logging in as it, on a connection that is for
 * nothing else. OpenLDAP's library blocks, so all of it runs on threads of the store's own; connections are kept and
 * lent to whichever thread has work. The lookup thread only hands over questions and takes answers.
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
#include "credential/endpoint.h"
#include "credential/store_fields.h"
#include "credential/store_ldap.h"
#include "credential/store_pool.h"
#include "credential/template.h"

#define THREADS_USUAL 4
#define THREADS_MOST 64
#define WAITING_MOST 1024
#define TEXT_LIMIT_BYTES 16384 /* of a filter or a name with the user in it */

enum link_use { LINK_SEARCH, LINK_BIND, LINK_USES };

struct store {
    /* fixed after open */
    struct directory directory;
    struct directory_attribute attributes[DIRECTORY_ATTRIBUTES_MOST];
    size_t attribute_count;
    char *base, *filter, *dn; /* templates; dn is NULL when the entry is searched for */
    int scope;
    bool groups_by_name;
    bool judges; /* "ldap-bind" */
    uint64_t limit_ms;
    size_t threads;

    /* of the lookup thread */
    struct loop *loop;
    struct store_pool *pool;

    /* shared, under lock */
    pthread_mutex_t lock;
    struct list idle[LINK_USES]; /* connections that nobody uses */
};

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

/* ---- settings ---- */

static pthread_once_t started = PTHREAD_ONCE_INIT;

/* The first call of any of its functions sets the library up, and must be alone in that. */
static void start_library(void)
{
    int version;

    ldap_get_option(NULL, LDAP_OPT_PROTOCOL_VERSION, &version);
}

static char *keep(const char *text) { return text && *text ? mem_strdup(text) : NULL; }

static void read_uris(struct store *store, struct settings *settings)
{
    struct directory *directory = &store->directory;
    const json_t *uris = settings_strings(settings, "uri");
    size_t count = json_array_size(uris);

    if (!count || count > DIRECTORY_URIS_MOST)
        settings_fault(settings, "uri", "must be given, and not more than %d of them", DIRECTORY_URIS_MOST);
    for (size_t i = 0; i < count && i < DIRECTORY_URIS_MOST; i++) {
        const char *uri = json_string_value(json_array_get(uris, i));
        bool is_tls = span_istarts_with(span_of(uri), SPAN_LIT("ldaps://"));
        bool is_local = span_istarts_with(span_of(uri), SPAN_LIT("ldapi://"));

        if (!ldap_is_ldap_url(uri) || strchr(uri, ' ') || strchr(uri, ','))
            settings_fault(settings, "uri", "must be ldap://host, ldaps://host or ldapi://path");
        else if (directory->start_tls && is_tls)
            settings_fault(settings, "start_tls", "cannot be true where the address is ldaps:// already");
        else
            endpoint_check_plain(settings, "uri", uri, is_tls || is_local || directory->start_tls);
        directory->uris[directory->uri_count++] = mem_strdup(uri);
    }
}

static void check_dn(struct settings *settings, const char *key, const char *text)
{
    LDAPDN dn = NULL;
    struct buf buf;

    if (!text)
        return;
    buf_init(&buf, TEXT_LIMIT_BYTES);
    if (template_put(text, SPAN_LIT("user"), template_put_dn, &buf) ||
        ldap_str2dn(buf_cstr(&buf), &dn, LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS)
        settings_fault(settings, key, "is not a distinguished name (RFC 4514)");
    if (dn)
        ldap_dnfree(dn);
    buf_done(&buf);
}

static void read_account(struct store *store, struct settings *settings)
{
    struct directory *directory = &store->directory;

    directory->start_tls = settings_flag(settings, "start_tls", false);
    directory->ca_file = keep(settings_path(settings, "ca_file", NULL));
    endpoint_check_file(settings, "ca_file", directory->ca_file);
    directory->bind_dn = keep(settings_text(settings, "bind_dn", NULL));
    directory->bind_password = settings_secret(settings, "bind_password");
    directory->bind_password_len = directory->bind_password ? strlen(directory->bind_password) : 0;
    check_dn(settings, "bind_dn", directory->bind_dn);
    if (directory->bind_dn && !directory->bind_password_len)
        settings_fault(settings, "bind_password", "must be given where bind_dn is: without it, the login is anonymous");
    if (!directory->bind_dn && directory->bind_password)
        settings_fault(settings, "bind_dn", "must be given where bind_password is");
}

/* Parentheses alone: the rest is the server's to judge. */
static bool is_balanced(const char *filter)
{
    int depth = 0;

    if (*filter != '(')
        return false;
    for (const char *p = filter; *p; p++) {
        depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
        if (depth < 0 || (depth == 0 && p[1]))
            return false;
    }
    return depth == 0;
}

static void read_search(struct store *store, struct settings *settings)
{
    static const char *const scopes[] = {"sub", "one", "base", NULL};
    static const int values[] = {LDAP_SCOPE_SUBTREE, LDAP_SCOPE_ONELEVEL, LDAP_SCOPE_BASE};

    store->base = mem_strdup(settings_need_text(settings, "base"));
    store->filter = mem_strdup(settings_text(settings, "filter", "(uid={user})"));
    store->scope = values[settings_choice(settings, "scope", scopes, 0)];
    check_dn(settings, "base", store->base);
    if (!is_balanced(store->filter))
        settings_fault(settings, "filter", "must be a search filter in parentheses (RFC 4515)");
    if (!template_has_user(store->filter) && !template_has_user(store->base))
        settings_fault(settings, "filter", "must have {user} in it");
}

static bool is_attribute_name(const char *name)
{
    return *name && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.;") == strlen(name);
}

static void add_attribute(struct store *store, const char *field, const char *name)
{
    store->attributes[store->attribute_count++] = (struct directory_attribute){mem_strdup(field), mem_strdup(name)};
}

static void read_attributes(struct store *store, struct settings *settings)
{
    static const char *const ways[] = {"name", "dn", NULL};
    const json_t *map = settings_value(settings, "attributes");
    const char *field;
    json_t *name;

    store->groups_by_name = settings_choice(settings, "groups_as", ways, 0) == 0;
    if (!map && !store->judges)
        add_attribute(store, "password", "userPassword");
    if (map && !json_is_object(map))
        settings_fault(settings, "attributes", "must be a table: field of the record = \"attribute\"");
    json_object_foreach((json_t *)(uintptr_t)map, field, name)
    {
        if (!directory_field_is_known(field) || (store->judges && !strcmp(field, "password")))
            settings_fault(settings, "attributes", "has a field that no attribute can fill: %.40s", field);
        else if (!json_is_string(name) || !is_attribute_name(json_string_value(name)))
            settings_fault(settings, "attributes", "must name an attribute for %s", field);
        else if (store->attribute_count < DIRECTORY_ATTRIBUTES_MOST)
            add_attribute(store, field, json_string_value(name));
    }
}

static void store_free(void *ctx)
{
    struct store *store = ctx;

    for (int use = 0; use < LINK_USES; use++) {
        struct list_node *node;

        while ((node = list_take_first(&store->idle[use])))
            directory_close(CONTAINER_OF(node, struct directory_link, node));
    }
    for (size_t i = 0; i < store->attribute_count; i++) {
        free(store->attributes[i].field);
        free(store->attributes[i].name);
    }
    directory_done(&store->directory);
    pthread_mutex_destroy(&store->lock);
    free(store->base);
    free(store->filter);
    free(store->dn);
    free(store);
}

static void read_dn(struct store *store, struct settings *settings)
{
    store->dn = keep(settings_text(settings, "dn", NULL));
    check_dn(settings, "dn", store->dn);
    if (store->dn && !template_has_user(store->dn))
        settings_fault(settings, "dn", "must have {user} in it");
}

static struct store *open_either(struct settings *settings, bool judges, struct error *error)
{
    struct store *store = mem_zalloc(sizeof *store);

    pthread_once(&started, start_library);
    pthread_mutex_init(&store->lock, NULL);
    for (int use = 0; use < LINK_USES; use++)
        list_init(&store->idle[use]);
    store->judges = judges;
    read_account(store, settings);
    read_uris(store, settings);
    if (judges)
        read_dn(store, settings);
    if (!store->dn) {
        read_search(store, settings);
        read_attributes(store, settings);
    }
    store->limit_ms = endpoint_limit_ms(settings);
    store->threads = (size_t)settings_count(settings, "threads", THREADS_USUAL, 1, THREADS_MOST);
    if (!settings_end(settings, error))
        return store;
    store_free(store);
    return NULL;
}

static struct store *open_records(struct settings *settings, struct error *error)
{
    return open_either(settings, false, error);
}

static struct store *open_bind(struct settings *settings, struct error *error)
{
    return open_either(settings, true, error);
}

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

    buf_init(&base, TEXT_LIMIT_BYTES);
    buf_init(&filter, TEXT_LIMIT_BYTES);
    if (!put(store->base, work->user, template_put_dn, &base) &&
        !put(store->filter, work->user, template_put_filter, &filter)) {
        struct directory_search search = {
            .base = buf_cstr(&base),
            .filter = buf_cstr(&filter),
            .scope = store->scope,
            .attributes = store->attributes,
            .attribute_count = store->attribute_count,
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

static char *dn_of(const struct store *store, const char *user)
{
    struct buf dn;
    char *text = NULL;

    buf_init(&dn, TEXT_LIMIT_BYTES);
    if (!put(store->dn, user, template_put_dn, &dn))
        text = span_dup(buf_span(&dn));
    buf_done(&dn);
    return text;
}

static enum directory_outcome judge(struct ldap_work *work, char *dn, const struct directory_limit *limit)
{
    struct step bind = {.use = LINK_BIND, .run = run_bind, .dn = dn};

    return run_step(work, &bind, limit);
}

static enum directory_outcome answer(struct ldap_work *work)
{
    struct directory_limit limit = {work->until_ms, &work->wire};
    struct step search = {.use = LINK_SEARCH, .run = run_search};
    enum directory_outcome outcome = DIRECTORY_DONE;

    if (!work->store->dn)
        outcome = run_step(work, &search, &limit);
    else if (!(search.dn = dn_of(work->store, work->user)))
        outcome = DIRECTORY_NONE;
    if (outcome == DIRECTORY_DONE && work->store->judges)
        outcome = judge(work, search.dn, &limit);
    free(search.dn);
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
        store_pool_close(store->pool, store_free, store);
    else
        store_free(store);
}

const struct store_driver store_ldap = {
    .name = "ldap",
    .kind = STORE_RECORDS,
    .open = open_records,
    .start = start_store,
    .ask = ask_directory,
    .cancel = cancel_ask,
    .close = close_store,
};

const struct store_driver store_ldap_bind = {
    .name = "ldap-bind",
    .kind = STORE_PASSWORDS,
    .open = open_bind,
    .start = start_store,
    .ask = ask_directory,
    .cancel = cancel_ask,
    .close = close_store,
};
