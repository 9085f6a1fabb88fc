/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.secrets.load(keysource): a file, bytes given in place, a secret in HashiCorp Vault, or
 * whatever a handler of the operator's says. Policies ask it for passwords while a client
 * waits, with the client's user name in the path: so each name is one thing only, nothing
 * that is read appears in an error, and "there is no such secret" is told apart from "the
 * store does not answer" (see policy/not_found.c).
 */
#include "policy/modules/modules.h"

#include <jansson.h>
#include <lauxlib.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "data/data.h"
#include "http/http.h"
#include "http/vault.h"
#include "policy/await.h"
#include "policy/binding.h"
#include "policy/policy.h"

#define SECRET_LIMIT_BYTES ((size_t)1 << 20)
#define URL_LIMIT_BYTES 8192
#define CLIENT_CLASS "gatepost.http_client"
#define CLIENT_KEY "gatepost.the_http_client" /* in the registry */

static void wipe(struct buf *buf)
{
    if (buf->data)
        secret_wipe(buf->data, buf->capacity);
    buf_done(buf);
}

/* ---- files ---- */

struct file_load {
    struct await_job job;
    char *path;
    struct buf bytes;
};

static void read_file(struct await_job *job)
{
    struct file_load *load = CONTAINER_OF(job, struct file_load, job);

    if (data_read_file(load->path, SECRET_LIMIT_BYTES, &load->bytes, &job->error))
        buf_clear(&load->bytes);
}

static int push_file(struct await_job *job, lua_State *L)
{
    policy_push_secret(L, buf_span(&CONTAINER_OF(job, struct file_load, job)->bytes));
    return 1;
}

static void free_file(struct await_job *job)
{
    struct file_load *load = CONTAINER_OF(job, struct file_load, job);

    wipe(&load->bytes);
    free(load->path);
    free(load);
}

static int load_file(lua_State *L, int index)
{
    size_t len;
    const char *path = lua_tolstring(L, index, &len);
    struct file_load *load;

    luaL_argcheck(L, len && strlen(path) == len, index, "not the path of a file");
    load = mem_zalloc(sizeof *load);
    load->job = (struct await_job){.work = read_file, .push = push_file, .free = free_file};
    load->path = mem_strdup(path);
    buf_init(&load->bytes, SECRET_LIMIT_BYTES + 65536);
    return await_job(L, &load->job);
}

/* ---- Vault ---- */

struct vault_load {
    struct await await;
    struct http_client *client; /* the VM's */
    struct http_transfer *transfer;
    struct http_request request;
    char *address;
    char *token;
    char *mount;
    char *path;
    char *key;
    char *ca_file;
    struct vault_source source; /* points to these */
    struct buf url;
    struct buf secret;
    enum vault_outcome outcome;
    struct error error;
};

static void on_answer(void *ctx, const struct http_response *response, const struct error *error)
{
    struct vault_load *load = ctx;

    load->transfer = NULL;
    load->outcome = VAULT_FAILED;
    if (error)
        load->error = *error;
    else
        load->outcome = vault_read(&load->source, response, &load->secret, &load->error);
}

static void on_answer_later(void *ctx, const struct http_response *response, const struct error *error)
{
    struct vault_load *load = ctx;

    on_answer(load, response, error);
    await_finish(&load->await);
}

static void start_vault(struct await *await, struct loop *loop)
{
    struct vault_load *load = CONTAINER_OF(await, struct vault_load, await);

    (void)loop;
    load->transfer = http_start(load->client, &load->request, on_answer_later, load, &load->error);
    if (!load->transfer)
        await_finish(await);
}

static void run_vault(struct await *await)
{
    struct vault_load *load = CONTAINER_OF(await, struct vault_load, await);

    http_run(&load->request, on_answer, load);
}

static int finish_vault(struct await *await, lua_State *L)
{
    struct vault_load *load = CONTAINER_OF(await, struct vault_load, await);

    if (load->outcome == VAULT_NOT_FOUND)
        policy_raise_not_found(L, load->error.sentence);
    if (load->outcome != VAULT_FOUND)
        return luaL_error(L, "kumo.secrets.load: %s", load->error.sentence);
    policy_push_secret(L, buf_span(&load->secret));
    return 1;
}

static void cancel_vault(struct await *await)
{
    struct vault_load *load = CONTAINER_OF(await, struct vault_load, await);

    http_cancel(load->transfer);
    load->transfer = NULL;
    await_finish(await);
}

static void free_vault(struct await *await)
{
    struct vault_load *load = CONTAINER_OF(await, struct vault_load, await);

    secret_free(load->token);
    free(load->address);
    free(load->mount);
    free(load->path);
    free(load->key);
    free(load->ca_file);
    wipe(&load->secret);
    buf_done(&load->url);
    free(load);
}

static const struct await_ops vault_ops = {
    .start = start_vault, .run = run_vault, .finish = finish_vault, .cancel = cancel_vault, .free = free_vault};

static void free_client(void *client) { http_client_free(client); }

/* One client per VM, kept in the registry: its connections stay open between handlers. NULL
 * on a thread without a loop, where requests block. */
static struct http_client *get_client(lua_State *L)
{
    struct loop *loop = policy_vm_loop(policy_vm_of(L));
    struct http_client *client = NULL;
    struct error error = {0};

    if (lua_getfield(L, LUA_REGISTRYINDEX, CLIENT_KEY) == LUA_TUSERDATA)
        client = policy_test_object(L, -1, CLIENT_CLASS);
    lua_pop(L, 1);
    if (client || !loop)
        return client;
    client = http_client_new(loop, &error);
    if (!client)
        luaL_error(L, "kumo.secrets.load: %s", error.sentence);
    policy_push_owned(L, CLIENT_CLASS, client, free_client);
    lua_setfield(L, LUA_REGISTRYINDEX, CLIENT_KEY);
    return client;
}

/* The string at t[name], or from the environment, or `otherwise`; an error if there is none. The
 * string stays on the stack. */
static const char *get_text(lua_State *L, int table, const char *name, const char *env, const char *otherwise)
{
    int type = lua_getfield(L, table, name);
    const char *value = env ? getenv(env) : NULL;

    if (type == LUA_TSTRING)
        return lua_tostring(L, -1);
    if (type != LUA_TNIL)
        luaL_error(L, "kumo.secrets.load: '%s' must be a string", name);
    if (value && *value)
        return value;
    if (!otherwise && env)
        luaL_error(L, "kumo.secrets.load: '%s' is not given, and %s is not set in the environment", name, env);
    if (!otherwise)
        luaL_error(L, "kumo.secrets.load: '%s' is missing", name);
    return otherwise;
}

static char *copy_span(struct span *span, const char *text, size_t len)
{
    char *copy = mem_strndup(text, len);

    *span = span_make(copy, len);
    return copy;
}

/* For values that may hold a NUL: it must reach the check for control characters. */
static void get_span(lua_State *L, int table, const char *name, struct span *span)
{
    size_t len;
    const char *text;

    get_text(L, table, name, NULL, NULL);
    text = lua_tolstring(L, -1, &len);
    *span = span_make(text, len);
}

static struct vault_load *vault_load_new(lua_State *L, int table)
{
    struct vault_load *load;
    struct span mount, path;
    const char *key, *address, *token, *ca_file = getenv("VAULT_CACERT");
    struct http_client *client;

    luaL_checkstack(L, 10, NULL);
    get_span(L, table, "vault_mount", &mount);
    get_span(L, table, "vault_path", &path);
    key = get_text(L, table, "vault_key", NULL, "key");
    address = get_text(L, table, "vault_address", "VAULT_ADDR", NULL);
    token = get_text(L, table, "vault_token", "VAULT_TOKEN", NULL);
    client = get_client(L);
    /* nothing raises from here on */
    load = mem_zalloc(sizeof *load);
    load->await.ops = &vault_ops;
    load->client = client;
    load->outcome = VAULT_FAILED;
    load->address = mem_strdup(address);
    load->token = mem_strdup(token);
    load->source.address = load->address;
    load->source.token = load->token;
    load->mount = copy_span(&load->source.mount, mount.data, mount.len);
    load->path = copy_span(&load->source.path, path.data, path.len);
    load->key = copy_span(&load->source.key, key, strlen(key));
    load->ca_file = ca_file && *ca_file ? mem_strdup(ca_file) : NULL;
    buf_init(&load->url, URL_LIMIT_BYTES);
    buf_init(&load->secret, SECRET_LIMIT_BYTES);
    return load;
}

static int load_vault(lua_State *L, int table)
{
    struct vault_load *load = vault_load_new(L, table);
    enum vault_outcome outcome = vault_url(&load->source, &load->url, &load->error);
    struct error error = load->error;

    if (outcome != VAULT_FOUND) {
        free_vault(&load->await);
        if (outcome == VAULT_NOT_FOUND)
            policy_raise_not_found(L, error.sentence);
        return luaL_error(L, "kumo.secrets.load: %s", error.sentence);
    }
    vault_request(&load->source, buf_cstr(&load->url), &load->request);
    load->request.ca_file = load->ca_file;
    return await(L, &load->await);
}

/* ---- a handler of the operator's ---- */

struct event_load {
    struct await await;
    struct policy_vm *vm;
    struct policy_call *call;
    char *event;
    json_t *args;
    bool started;
    bool finished;
    enum policy_outcome outcome;
    bool not_found;
    bool is_text;
    struct buf secret;
    struct error error;
};

static int push_args(lua_State *L, void *ctx)
{
    struct event_load *load = ctx;
    int count = (int)json_array_size(load->args);

    luaL_checkstack(L, count + 1, NULL);
    for (int i = 0; i < count; i++)
        policy_push_json(L, json_array_get(load->args, (size_t)i));
    return count;
}

static void on_event_done(void *ctx, const struct policy_result *result)
{
    struct event_load *load = ctx;
    size_t len = 0;
    const char *text = NULL;

    load->call = NULL;
    load->finished = true;
    load->outcome = result->outcome;
    load->not_found = result->not_found;
    load->error = result->error;
    if (result->outcome == POLICY_RETURNED && lua_type(result->L, result->first) == LUA_TSTRING)
        text = lua_tolstring(result->L, result->first, &len);
    load->is_text = text && !buf_append(&load->secret, text, len);
    await_finish(&load->await);
}

static void start_event(struct await *await, struct loop *loop)
{
    struct event_load *load = CONTAINER_OF(await, struct event_load, await);
    struct policy_call *call;

    (void)loop;
    load->started = true;
    call = policy_call_named(load->vm, load->event, push_args, on_event_done, load);
    if (!load->finished)
        load->call = call;
}

static void run_event(struct await *await) { (void)await; }

static int finish_event(struct await *await, lua_State *L)
{
    struct event_load *load = CONTAINER_OF(await, struct event_load, await);

    if (!load->started)
        return luaL_error(L, "kumo.secrets.load: event_name works inside of event handlers only");
    if (load->not_found)
        policy_raise_not_found(L, load->error.sentence);
    if (load->outcome == POLICY_UNHANDLED)
        return luaL_error(L, "kumo.secrets.load: no handler of '%s' gave a secret", load->event);
    if (load->outcome != POLICY_RETURNED)
        return luaL_error(L, "kumo.secrets.load: the handler of '%s' failed", load->event);
    if (!load->is_text)
        return luaL_error(L, "kumo.secrets.load: the handler of '%s' did not return a string", load->event);
    policy_push_secret(L, buf_span(&load->secret));
    return 1;
}

static void cancel_event(struct await *await)
{
    struct event_load *load = CONTAINER_OF(await, struct event_load, await);

    policy_call_cancel(load->call);
    load->call = NULL;
    await_finish(await);
}

static void free_event(struct await *await)
{
    struct event_load *load = CONTAINER_OF(await, struct event_load, await);

    wipe(&load->secret);
    json_decref(load->args);
    free(load->event);
    free(load);
}

static const struct await_ops event_ops = {
    .start = start_event, .run = run_event, .finish = finish_event, .cancel = cancel_event, .free = free_event};

static int load_event(lua_State *L, int table)
{
    const char *event = get_text(L, table, "event_name", NULL, NULL);
    struct event_load *load;
    json_t *args = NULL;

    if (lua_getfield(L, table, "event_args") == LUA_TTABLE)
        args = policy_to_json(L, -1);
    else if (!lua_isnil(L, -1))
        return luaL_error(L, "kumo.secrets.load: 'event_args' must be a list");
    load = mem_zalloc(sizeof *load);
    load->await.ops = &event_ops;
    load->vm = policy_vm_of(L);
    load->event = mem_strdup(event);
    load->args = args; /* an empty table may be an object: it has no elements either way */
    buf_init(&load->secret, SECRET_LIMIT_BYTES);
    return await(L, &load->await);
}

/* ---- Lua ---- */

static bool has_field(lua_State *L, int table, const char *name)
{
    bool has = lua_getfield(L, table, name) != LUA_TNIL;

    lua_pop(L, 1);
    return has;
}

static void check_keys(lua_State *L, int table)
{
    static const char *const known[] = {"key_data",      "vault_mount", "vault_path", "vault_key",
                                        "vault_address", "vault_token", "event_name", "event_args"};

    lua_pushnil(L); /* key */
    while (lua_next(L, table)) {
        bool found = false;

        lua_pop(L, 1); /* key */
        for (size_t i = 0; i < sizeof known / sizeof *known && lua_type(L, -1) == LUA_TSTRING; i++)
            found = found || !strcmp(known[i], lua_tostring(L, -1));
        if (!found)
            luaL_error(L, "kumo.secrets.load: a key source has no key '%s'",
                       lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1));
    }
}

static int l_load(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TSTRING)
        return load_file(L, 1);
    luaL_argcheck(L, lua_istable(L, 1), 1, "a path, or a table with key_data, vault_path or event_name");
    check_keys(L, 1);
    if (has_field(L, 1, "vault_path") || has_field(L, 1, "vault_mount"))
        return load_vault(L, 1);
    if (has_field(L, 1, "event_name"))
        return load_event(L, 1);
    if (lua_getfield(L, 1, "key_data") != LUA_TSTRING)
        return luaL_error(L, "kumo.secrets.load: a key source has key_data, vault_path or event_name");
    return 1;
}

void mod_secrets_open(lua_State *L)
{
    luaL_newmetatable(L, CLIENT_CLASS);
    lua_pop(L, 1);
    lua_getglobal(L, "kumo");           /* kumo */
    luaL_getsubtable(L, -1, "secrets"); /* kumo secrets */
    lua_pushcfunction(L, l_load);
    lua_setfield(L, -2, "load");
    lua_pop(L, 2);
}
