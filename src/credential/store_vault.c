/* SPDX-License-Identifier: Apache-2.0
 *
 * Records in HashiCorp Vault or OpenBao: the secret at a path made of the user name is the record. The token comes
 * from the keeper; this file asks, reads, and asks a second time when the token was refused and there is another.
 */
#include "credential/credential_private.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "credential/endpoint.h"
#include "credential/store_fields.h"
#include "credential/store_vault.h"
#include "credential/template.h"
#include "http/url.h"
#include "http/vault.h"

#define PATH_LIMIT_BYTES 2048
#define URL_LIMIT_BYTES 8192
#define KUBERNETES_JWT "/var/run/secrets/kubernetes.io/serviceaccount/token"

struct store {
    /* fixed after open */
    struct vault_source source;
    struct vault_account account;
    struct vault_keeper *keeper;
    uint64_t limit_ms;
    char *address, *mount, *path, *field, *name_space, *ca_file;
    char *auth_mount, *role, *secret_id;
    bool is_field_named; /* then every secret must have it */

    /* fixed after start */
    struct store_house house;
    struct http_client *client; /* of its own: requests that hang take no place from other stores */
};

struct vault_ask {
    struct store *store;
    struct store_ask *ask;
    struct vault_wait wait;
    struct http_transfer *transfer;
    struct buf url;
    unsigned generation;
    bool is_second;
    struct error denied; /* what the first answer came to */
};

/* ---- settings ---- */

static char *keep(const char *text) { return text && *text ? mem_strdup(text) : NULL; }

static void read_place(struct store *store, struct settings *settings)
{
    store->address = mem_strdup(settings_need_text(settings, "address"));
    store->mount = mem_strdup(settings_text(settings, "mount", "secret"));
    store->path = mem_strdup(settings_text(settings, "path", "{user}"));
    store->name_space = keep(settings_text(settings, "namespace", NULL));
    store->ca_file = keep(settings_path(settings, "ca_file", NULL));
    store->field = mem_strdup(settings_text(settings, "field", "password"));
    store->is_field_named = settings_has(settings, "field");
    store->source = (struct vault_source){
        .address = store->address,
        .mount = span_of(store->mount),
        .version = (unsigned)settings_count(settings, "kv", 2, 1, 2),
        .name_space = store->name_space,
        .ca_file = store->ca_file,
    };
    if (!template_has_user(store->path))
        settings_fault(settings, "path", "must have {user} in it");
    endpoint_check(settings, "address", store->address, store->ca_file, true);
}

static struct vault_keeper *read_token(struct store *store, struct settings *settings)
{
    const char *file = settings_path(settings, "token_file", NULL);
    char *token;

    if (file) {
        if (settings_has(settings, "token") || settings_has(settings, "token_credential") ||
            settings_has(settings, "token_env"))
            settings_fault(settings, "token_file", "says where token is a second time");
        return vault_keeper_new(&store->account, NULL, file, NULL);
    }
    token = settings_secret(settings, "token");
    if (!token)
        settings_fault(settings, "token",
                       "must be given (or token_file, token_credential, token_env), or another auth");
    return vault_keeper_new(&store->account, token, NULL, NULL);
}

static struct vault_keeper *read_login(struct store *store, struct settings *settings)
{
    bool is_kubernetes = store->account.method == VAULT_KUBERNETES;

    store->auth_mount = keep(settings_text(settings, "auth_mount", NULL));
    store->account.mount = store->auth_mount;
    if (store->account.method == VAULT_APPROLE) {
        store->role = mem_strdup(settings_need_text(settings, "role_id"));
        store->secret_id = settings_secret(settings, "secret_id");
    } else {
        store->role = mem_strdup(settings_need_text(settings, "role"));
    }
    store->account.role = store->role;
    store->account.secret_id = store->secret_id;
    if (store->account.method == VAULT_APPROLE)
        return vault_keeper_new(&store->account, NULL, NULL, NULL);
    if (!is_kubernetes && !settings_has(settings, "jwt_file"))
        settings_fault(settings, "jwt_file", "must be given");
    return vault_keeper_new(&store->account, NULL, NULL, settings_path(settings, "jwt_file", KUBERNETES_JWT));
}

static void vault_close(struct store *store)
{
    vault_keeper_free(store->keeper);
    http_client_free(store->client);
    free(store->address);
    free(store->mount);
    free(store->path);
    free(store->field);
    free(store->name_space);
    free(store->ca_file);
    free(store->auth_mount);
    secret_free(store->role);
    secret_free(store->secret_id);
    free(store);
}

static struct store *vault_open(struct settings *settings, struct error *error)
{
    static const char *const methods[] = {"token", "approle", "kubernetes", "jwt", NULL};
    struct store *store = mem_zalloc(sizeof *store);

    read_place(store, settings);
    store->limit_ms = endpoint_limit_ms(settings);
    store->account = (struct vault_account){
        .address = store->address,
        .name_space = store->name_space,
        .ca_file = store->ca_file,
        .method = (enum vault_method)settings_choice(settings, "auth", methods, VAULT_TOKEN),
    };
    store->keeper = store->account.method == VAULT_TOKEN ? read_token(store, settings) : read_login(store, settings);
    if (!settings_end(settings, error))
        return store;
    vault_close(store);
    return NULL;
}

static void vault_start(struct store *store, const struct store_house *house)
{
    store->house = *house;
    store->client = http_client_new(house->loop, NULL);
    if (store->client)
        store->house.http = store->client;
    vault_keeper_start(store->keeper, &store->house);
}

/* ---- asking ---- */

static void vault_ask_free(struct vault_ask *work)
{
    vault_keeper_leave(work->store->keeper, &work->wait);
    http_cancel(work->transfer);
    buf_done(&work->url);
    free(work);
}

static void finish(struct vault_ask *work, enum store_outcome outcome, const json_t *fields, const struct error *error)
{
    struct store_ask *ask = work->ask;

    vault_ask_free(work);
    ask->driver = NULL;
    ask->on_done(ask, outcome, fields, error);
}

/* The record, with the operator's name of the password field put right. */
static json_t *record_of(const struct store *store, json_t *data, struct error *error)
{
    json_t *password = json_object_get(data, store->field);
    json_t *record;

    if (store->is_field_named && !password) {
        error_set(error, ERROR_TEMP, "the secret in Vault has no field %s", store->field);
        return NULL;
    }
    if (!store->is_field_named || !strcmp(store->field, "password"))
        return json_incref(data);
    record = json_copy(data);
    json_object_set(record, "password", password);
    json_object_del(record, store->field);
    return record;
}

static void finish_found(struct vault_ask *work, json_t *data)
{
    struct error error;
    json_t *record = record_of(work->store, data, &error);

    if (record)
        finish(work, STORE_FOUND, record, NULL);
    else
        finish(work, STORE_FAILED, NULL, &error);
    json_decref(record);
}

static void read_answer(struct vault_ask *work, const struct http_response *response)
{
    struct error error = {0};
    json_t *data = NULL;

    switch (vault_read_fields(&work->store->source, response, &data, &error)) {
    case VAULT_FOUND:
        finish_found(work, data);
        store_fields_free(data);
        return;
    case VAULT_NOT_FOUND:
        finish(work, STORE_NOT_FOUND, NULL, NULL);
        return;
    case VAULT_FAILED:
        break;
    }
    if (response->status == 403 && !work->is_second) {
        work->is_second = true;
        work->denied = error;
        if (vault_keeper_doubt(work->store->keeper, work->generation, &work->wait))
            return;
    }
    finish(work, STORE_FAILED, NULL, &error);
}

static void on_answer(void *ctx, const struct http_response *response, const struct error *error)
{
    struct vault_ask *work = ctx;

    work->transfer = NULL;
    if (response)
        read_answer(work, response);
    else
        finish(work, STORE_FAILED, NULL, error);
}

static void on_token(struct vault_wait *wait, const char *token, const struct error *error)
{
    struct vault_ask *work = CONTAINER_OF(wait, struct vault_ask, wait);
    struct vault_source source = work->store->source;
    struct http_request request;
    struct error fault;

    if (!token) {
        fault = work->is_second ? work->denied : *error;
        finish(work, STORE_FAILED, NULL, &fault);
        return;
    }
    source.token = token;
    work->generation = vault_keeper_generation(work->store->keeper);
    vault_request(&source, buf_cstr(&work->url), &request);
    request.total_limit_ms = work->store->limit_ms;
    work->transfer = http_start(work->store->house.http, &request, on_answer, work, &fault);
    if (!work->transfer)
        finish(work, STORE_FAILED, NULL, &fault);
}

/* A name that cannot be one part of a path cannot have a secret there. */
static enum vault_outcome write_url(const struct store *store, const char *user, struct buf *url, struct error *error)
{
    struct vault_source source = store->source;
    enum vault_outcome outcome;
    struct buf path;

    if (url_fault_of_part(span_of(user)))
        return VAULT_NOT_FOUND;
    buf_init(&path, PATH_LIMIT_BYTES);
    outcome = template_put(store->path, span_of(user), template_put_as_is, &path) ? VAULT_NOT_FOUND : VAULT_FOUND;
    source.path = buf_span(&path);
    if (outcome == VAULT_FOUND)
        outcome = vault_url(&source, url, error);
    buf_done(&path);
    return outcome;
}

static void vault_ask(struct store *store, struct store_ask *ask)
{
    struct vault_ask *work = mem_zalloc(sizeof *work);
    struct error error = {0};

    work->store = store;
    work->ask = ask;
    work->wait.on_token = on_token;
    buf_init(&work->url, URL_LIMIT_BYTES);
    ask->driver = work;
    switch (write_url(store, ask->user, &work->url, &error)) {
    case VAULT_FOUND:
        vault_keeper_get(store->keeper, &work->wait);
        return;
    case VAULT_NOT_FOUND:
        finish(work, STORE_NOT_FOUND, NULL, NULL);
        return;
    case VAULT_FAILED:
        finish(work, STORE_FAILED, NULL, &error);
    }
}

static void vault_cancel(struct store *store, struct store_ask *ask)
{
    (void)store;
    if (ask->driver)
        vault_ask_free(ask->driver);
    ask->driver = NULL;
}

const struct store_driver store_vault = {
    .name = "vault",
    .kind = STORE_RECORDS,
    .open = vault_open,
    .start = vault_start,
    .ask = vault_ask,
    .cancel = vault_cancel,
    .close = vault_close,
};
