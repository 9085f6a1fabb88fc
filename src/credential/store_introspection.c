/* SPDX-License-Identifier: Apache-2.0
 *
 * Bearer tokens of any form, which the server that made them judges (RFC 7662). It sees each token that is brought
 * here, also those that were never its own: this store goes last, behind those that know their tokens by themselves.
 * Of one that is not its own it says no more than of one that has ended, "not active"; so that is the next store's to
 * judge.
 *
 * Good answers are kept only when the operator names a `cache_ttl`: that is how long a withdrawn token goes on opening
 * the gate.
 */
#include "credential/credential_private.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"
#include "credential/endpoint.h"
#include "credential/token_cache.h"
#include "credential/token_fields.h"
#include "http/http.h"
#include "http/url.h"
#include "token/jwt.h"

#define ANSWER_LIMIT_BYTES ((size_t)64 << 10)
#define CACHED_LIMIT_BYTES ((size_t)8 << 10) /* a longer answer is not kept */
#define CACHE_TTL_MOST_MS (UINT64_C(3600) * 1000)
#define ACCOUNT_LIMIT_BYTES 8192 /* client_id and client_secret, encoded */
#define BODY_LIMIT_BYTES ((size_t)3 * JWT_LIMIT_BYTES + 64)

struct store {
    /* fixed after open */
    struct token_fields fields;
    char *url, *ca_file;
    char *authorization; /* "Basic ...": a secret */
    uint64_t limit_ms, cache_ttl_ms;

    /* fixed after start */
    struct http_client *http;
    struct http_client *client; /* of its own: requests that hang take no place from other stores */

    /* owned by the lookup thread */
    struct token_cache *cache; /* NULL without cache_ttl */
    unsigned purges_seen;

    /* shared */
    atomic_uint purges;
};

struct introspection_ask {
    struct store *store;
    struct store_ask *ask;
    struct http_transfer *transfer;
    unsigned purges; /* when the server was asked */
};

/* ---- settings ---- */

static void wipe(struct buf *buf)
{
    if (buf->data)
        secret_wipe(buf->data, buf->capacity);
    buf_done(buf);
}

/* Both are encoded as forms are before they become a user name and a password (RFC 6749, section 2.3.1). */
static char *make_authorization(const char *id, const char *secret)
{
    struct buf account, header;
    char *text = NULL;

    buf_init(&account, ACCOUNT_LIMIT_BYTES);
    buf_init(&header, 2 * ACCOUNT_LIMIT_BYTES);
    if (buf_reserve(&account, ACCOUNT_LIMIT_BYTES) && buf_reserve(&header, 2 * ACCOUNT_LIMIT_BYTES) &&
        !url_put_encoded(span_of(id), &account) && !buf_append(&account, ":", 1) &&
        !url_put_encoded(span_of(secret), &account) && !buf_append_span(&header, SPAN_LIT("Basic ")) &&
        !base64_encode(buf_span(&account), &header))
        text = span_dup(buf_span(&header));
    wipe(&account);
    wipe(&header);
    return text;
}

static void read_account(struct store *store, struct settings *settings)
{
    const char *id = settings_need_text(settings, "client_id");
    char *secret = settings_secret(settings, "client_secret");

    if (!secret)
        settings_fault(settings, "client_secret",
                       "must be given (or client_secret_file, client_secret_credential, client_secret_env)");
    else if (!(store->authorization = make_authorization(id, secret)))
        settings_fault(settings, "client_secret", "is too long");
    secret_free(secret);
}

static void introspection_close(struct store *store)
{
    http_client_free(store->client);
    token_cache_free(store->cache);
    token_fields_done(&store->fields);
    secret_free(store->authorization);
    free(store->url);
    free(store->ca_file);
    free(store);
}

static struct store *introspection_open(struct settings *settings, struct error *error)
{
    struct store *store = mem_zalloc(sizeof *store);
    const char *ca_file = settings_path(settings, "ca_file", NULL);

    token_fields_read(&store->fields, settings, "username", "sub");
    read_account(store, settings);
    store->url = mem_strdup(settings_need_text(settings, "endpoint"));
    store->ca_file = ca_file ? mem_strdup(ca_file) : NULL;
    store->limit_ms = endpoint_limit_ms(settings);
    store->cache_ttl_ms = settings_duration_ms(settings, "cache_ttl", 0, 0, CACHE_TTL_MOST_MS);
    endpoint_check(settings, "endpoint", store->url, store->ca_file, false);
    if (store->cache_ttl_ms)
        store->cache = token_cache_new(TOKEN_CACHE_MOST);
    if (!settings_end(settings, error))
        return store;
    introspection_close(store);
    return NULL;
}

static void introspection_start(struct store *store, const struct store_house *house)
{
    store->client = http_client_new(house->loop, NULL);
    store->http = store->client ? store->client : house->http;
}

/* ---- the answer ---- */

/* NULL with an error when it is no answer of such a server. */
static json_t *read_answer(const struct http_response *response, struct error *error)
{
    struct span text = buf_span(&response->body);
    json_t *answer;

    if (response->status == 401 || response->status == 403)
        error_set(error, ERROR_TEMP, "the introspection server does not let us ask (status %d): check client_id",
                  response->status);
    else if (response->status != 200)
        error_set(error, ERROR_TEMP, "the introspection server gives no verdict (status %d)", response->status);
    if (response->status != 200)
        return NULL;
    answer = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_boolean(json_object_get(answer, "active")))
        return answer;
    error_set(error, ERROR_TEMP, "the introspection server answers with something else than RFC 7662 says");
    json_decref(answer);
    return NULL;
}

/* Not beyond the token's own end, and not what was said before a purge. */
static void keep(const struct store *store, const struct introspection_ask *work, json_t *fields)
{
    int64_t left_ms = claims_expiry_ms(json_object_get(fields, "claims")) - clock_wall_ms();
    uint64_t lifetime_ms = store->cache_ttl_ms;

    if (left_ms <= 0 || work->purges != atomic_load(&store->purges))
        return;
    if ((uint64_t)left_ms < lifetime_ms)
        lifetime_ms = (uint64_t)left_ms;
    token_cache_put(store->cache, work->ask->token, fields, lifetime_ms);
}

static void judge(const struct introspection_ask *work, json_t *answer, size_t answer_len)
{
    const struct store *store = work->store;
    struct store_ask *ask = work->ask;
    enum token_verdict verdict = TOKEN_INACTIVE;
    json_t *fields = NULL;

    if (json_is_true(json_object_get(answer, "active")))
        verdict = token_fields_judge(&store->fields, answer, &fields);
    if (verdict != TOKEN_GOOD) {
        token_turn_away(ask, verdict);
        return;
    }
    if (store->cache && answer_len <= CACHED_LIMIT_BYTES)
        keep(store, work, fields);
    ask->on_done(ask, STORE_FOUND, fields, NULL);
    json_decref(fields);
}

static void on_answer(void *ctx, const struct http_response *response, const struct error *error)
{
    struct introspection_ask *work = ctx;
    struct store_ask *ask = work->ask;
    struct error fault = {0};
    json_t *answer = NULL;

    ask->driver = NULL;
    if (response)
        answer = read_answer(response, &fault);
    if (answer)
        judge(work, answer, buf_len(&response->body));
    else
        ask->on_done(ask, STORE_FAILED, NULL, response ? &fault : error);
    json_decref(answer);
    free(work);
}

/* ---- asking ---- */

/* The room is had in one piece, so that growing leaves no copy of the token behind. */
static int write_body(struct span token, struct buf *body)
{
    return buf_reserve(body, BODY_LIMIT_BYTES) && !buf_append_span(body, SPAN_LIT("token=")) &&
                   !url_put_encoded(token, body) && !buf_append_span(body, SPAN_LIT("&token_type_hint=access_token"))
               ? 0
               : -1;
}

static struct http_transfer *post(struct introspection_ask *work, struct span body, struct error *error)
{
    const struct store *store = work->store;
    struct http_request request = {
        .method = "POST",
        .url = store->url,
        .headers = {{"Authorization", store->authorization},
                    {"Content-Type", "application/x-www-form-urlencoded"},
                    {"Accept", "application/json"}},
        .header_count = 3,
        .body = body,
        .total_limit_ms = store->limit_ms,
        .body_limit_bytes = ANSWER_LIMIT_BYTES,
        .ca_file = store->ca_file,
    };

    return http_start(store->http, &request, on_answer, work, error);
}

static void ask_server(struct store *store, struct store_ask *ask)
{
    struct introspection_ask *work = mem_zalloc(sizeof *work);
    struct error error = {0};
    struct buf body;

    work->store = store;
    work->ask = ask;
    work->purges = store->purges_seen;
    ask->driver = work;
    buf_init(&body, BODY_LIMIT_BYTES);
    if (write_body(ask->token, &body))
        error_set(&error, ERROR_TEMP, "no memory to ask the introspection server");
    else
        work->transfer = post(work, buf_span(&body), &error);
    wipe(&body);
    if (work->transfer)
        return;
    ask->driver = NULL;
    free(work);
    ask->on_done(ask, STORE_FAILED, NULL, &error);
}

/* Whose a token is does not show from it: one user's purge forgets them all. */
static void heed_purges(struct store *store)
{
    unsigned purges = atomic_load(&store->purges);

    if (!store->cache || purges == store->purges_seen)
        return;
    store->purges_seen = purges;
    token_cache_free(store->cache);
    store->cache = token_cache_new(TOKEN_CACHE_MOST);
}

static void introspection_purge(struct store *store) { atomic_fetch_add(&store->purges, 1); }

static void introspection_ask(struct store *store, struct store_ask *ask)
{
    json_t *known;

    heed_purges(store);
    known = store->cache ? token_cache_get(store->cache, ask->token) : NULL;
    if (known)
        ask->on_done(ask, STORE_FOUND, known, NULL);
    else if (ask->token.len == 0 || ask->token.len > JWT_LIMIT_BYTES)
        ask->on_done(ask, STORE_NOT_FOUND, NULL, NULL);
    else
        ask_server(store, ask);
    json_decref(known);
}

static void introspection_cancel(struct store *store, struct store_ask *ask)
{
    struct introspection_ask *work = ask->driver;

    (void)store;
    if (!work)
        return;
    http_cancel(work->transfer);
    free(work);
    ask->driver = NULL;
}

const struct store_driver store_introspection = {
    .name = "introspection",
    .kind = STORE_TOKENS,
    .open = introspection_open,
    .start = introspection_start,
    .ask = introspection_ask,
    .cancel = introspection_cancel,
    .purge = introspection_purge,
    .close = introspection_close,
};
