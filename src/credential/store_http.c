/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking a web service of the operator's: "http" has it judge the password, "http-record" has it give the record. The
 * awkward truth is that any web server, proxy or login page in between answers too. A verdict is therefore believed
 * only when it looks like one: 200 with a JSON object lets in; 401, 403 and 404 count when their body is a JSON
 * object or empty. Whatever else is no verdict.
 */
#include "credential/credential_private.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "credential/endpoint.h"
#include "credential/store_fields.h"
#include "credential/store_http.h"
#include "credential/template.h"
#include "http/http.h"
#include "http/url.h"

#define URL_LIMIT_BYTES 8192
#define BODY_LIMIT_BYTES 65536
#define ANSWER_LIMIT_BYTES ((size_t)256 << 10)
#define HEADERS_MOST (HTTP_HEADERS_LIMIT - 3)

struct header {
    char *name, *value; /* the value may be a secret */
};

struct store {
    /* fixed after open */
    char *url, *ca_file;
    struct header headers[HEADERS_MOST + 1];
    size_t header_count;
    uint64_t limit_ms;
    bool is_get;
    bool judges; /* "http"; else "http-record" */

    /* fixed after start */
    struct http_client *http;
    struct http_client *client; /* of its own: requests that hang take no place from other stores */
};

struct http_ask {
    struct store *store;
    struct store_ask *ask;
    struct http_transfer *transfer;
};

/* ---- what an answer means: pure ---- */

static bool is_blank(struct span text) { return span_trim(text).len == 0; }

static enum store_outcome fail(struct error *error, int status, const char *what)
{
    error_set(error, ERROR_TEMP, "the HTTP service %s (status %d)", what, status);
    return STORE_FAILED;
}

static enum store_outcome read_refusal(bool judges, int status, bool is_verdict, struct error *error)
{
    if (!is_verdict)
        return fail(error, status, "answered with something that is not JSON: is that really the service?");
    if (status == 404)
        return STORE_NOT_FOUND;
    if (judges)
        return STORE_REFUSED;
    return fail(error, status, "does not let us ask: check authorization");
}

enum store_outcome store_http_read(bool judges, const struct http_response *response, json_t **fields_out,
                                   struct error *error)
{
    struct span text = buf_span(&response->body);
    int status = response->status;
    enum store_outcome outcome;
    json_t *body;

    if (status >= 300 && status < 400)
        return fail(error, status, "sent a redirect, which is not followed with a secret");
    if (status != 200 && status != 401 && status != 403 && status != 404)
        return fail(error, status, "gave no verdict");
    body = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (status != 200)
        outcome = read_refusal(judges, status, json_is_object(body) || is_blank(text), error);
    else if (!json_is_object(body))
        outcome = fail(error, status, "answered with something that is not a JSON object");
    else {
        *fields_out = json_incref(body);
        outcome = STORE_FOUND;
    }
    json_decref(body);
    return outcome;
}

/* ---- settings ---- */

static void add_header(struct store *store, const char *name, char *value)
{
    store->headers[store->header_count++] = (struct header){mem_strdup(name), value};
}

static bool is_token(const char *name)
{
    for (const char *p = name; *p; p++)
        if (*p <= ' ' || *p >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *p))
            return false;
    return *name;
}

static void read_headers(struct store *store, struct settings *settings)
{
    const json_t *table = settings_value(settings, "headers");
    const char *name;
    json_t *value;

    if (table && !json_is_object(table))
        settings_fault(settings, "headers", "must be a table of names and texts");
    if (json_object_size(table) > HEADERS_MOST) {
        settings_fault(settings, "headers", "may not be more than %d", HEADERS_MOST);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)table, name, value)
    {
        if (!is_token(name) || !json_is_string(value))
            settings_fault(settings, "headers", "must be a table of names and texts");
        else
            add_header(store, name, mem_strdup(json_string_value(value)));
    }
}

static void read_authorization(struct store *store, struct settings *settings)
{
    char *value = settings_secret(settings, "authorization");
    char *bearer = settings_secret(settings, "bearer");

    if (value && bearer)
        settings_fault(settings, "bearer", "says what authorization says already");
    if (value)
        add_header(store, "Authorization", value);
    else if (bearer)
        add_header(store, "Authorization", mem_printf("Bearer %s", bearer));
    secret_free(bearer);
}

static void check_template(const struct store *store, struct settings *settings)
{
    size_t fixed = strcspn(store->url, "{");
    const char *slash = strstr(store->url, "://");

    if (template_has_user(store->url) && slash && fixed < (size_t)(slash + 3 - store->url) + strcspn(slash + 3, "/?"))
        settings_fault(settings, "url", "may not have {user} in the name of the server");
    if (store->judges && template_has_user(store->url))
        settings_fault(settings, "url", "has no place for {user}: the question is in the body");
    if (store->is_get && !template_has_user(store->url))
        settings_fault(settings, "url", "must have {user} in it, or method = \"POST\"");
}

static void http_close(struct store *store)
{
    for (size_t i = 0; i < store->header_count; i++) {
        free(store->headers[i].name);
        secret_free(store->headers[i].value);
    }
    http_client_free(store->client);
    free(store->url);
    free(store->ca_file);
    free(store);
}

static struct store *open_either(struct settings *settings, bool judges, struct error *error)
{
    static const char *const methods[] = {"GET", "POST", NULL};
    struct store *store = mem_zalloc(sizeof *store);
    const char *ca_file = settings_path(settings, "ca_file", NULL);

    store->judges = judges;
    store->url = mem_strdup(settings_need_text(settings, "url"));
    store->ca_file = ca_file ? mem_strdup(ca_file) : NULL;
    if (!judges)
        store->is_get = settings_choice(settings, "method", methods, template_has_user(store->url) ? 0 : 1) == 0;
    endpoint_check(settings, "url", store->url, store->ca_file, false);
    check_template(store, settings);
    read_headers(store, settings);
    read_authorization(store, settings);
    store->limit_ms = endpoint_limit_ms(settings);
    if (!settings_end(settings, error))
        return store;
    http_close(store);
    return NULL;
}

static struct store *http_open(struct settings *settings, struct error *error)
{
    return open_either(settings, true, error);
}

static struct store *record_open(struct settings *settings, struct error *error)
{
    return open_either(settings, false, error);
}

static void http_start_store(struct store *store, const struct store_house *house)
{
    store->client = http_client_new(house->loop, NULL);
    store->http = store->client ? store->client : house->http;
}

/* ---- asking ---- */

static void finish(struct http_ask *work, enum store_outcome outcome, const json_t *fields, const struct error *error)
{
    struct store_ask *ask = work->ask;

    free(work);
    ask->driver = NULL;
    ask->on_done(ask, outcome, fields, error);
}

static void on_answer(void *ctx, const struct http_response *response, const struct error *error)
{
    struct http_ask *work = ctx;
    struct error fault = {0};
    enum store_outcome outcome;
    json_t *fields = NULL;

    if (!response) {
        finish(work, STORE_FAILED, NULL, error);
        return;
    }
    outcome = store_http_read(work->store->judges, response, &fields, &fault);
    finish(work, outcome, fields, outcome == STORE_FAILED ? &fault : NULL);
    store_fields_free(fields);
}

static int on_dump(const char *data, size_t len, void *ctx) { return buf_append(ctx, data, len); }

static int put_text(json_t *body, const char *key, struct span text)
{
    return json_object_set_new(body, key, json_stringn(text.data, text.len));
}

/* The library keeps a copy of the password while the question is written; it is wiped as soon as that is done. */
static int write_body(const struct store *store, const struct store_ask *ask, struct buf *out, struct error *error)
{
    json_t *body = json_object();
    char peer[INET6_ADDRSTRLEN] = "";
    const json_t *password;
    int status;

    if (ask->peer.family)
        ip_format(&ask->peer, peer);
    status = put_text(body, "user", span_of(ask->user)) ||
             put_text(body, "service", span_of(ask->service ? ask->service : "")) ||
             put_text(body, "peer", span_of(peer)) || (store->judges && put_text(body, "password", ask->password)) ||
             json_dump_callback(body, on_dump, out, JSON_COMPACT);
    password = json_object_get(body, "password");
    if (password)
        secret_wipe((char *)(uintptr_t)json_string_value(password), json_string_length(password));
    json_decref(body);
    return status ? error_set(error, ERROR_TEMP, "the question for the HTTP service cannot be written") : 0;
}

static int put_user(struct span user, struct buf *out) { return url_put_encoded(user, out); }

static void fill_request(const struct store *store, struct http_request *request)
{
    request->method = store->is_get ? "GET" : "POST";
    request->ca_file = store->ca_file;
    request->total_limit_ms = store->limit_ms;
    request->body_limit_bytes = ANSWER_LIMIT_BYTES;
    for (size_t i = 0; i < store->header_count; i++)
        request->headers[request->header_count++] =
            (struct http_header){store->headers[i].name, store->headers[i].value};
    request->headers[request->header_count++] = (struct http_header){"Accept", "application/json"};
    if (!store->is_get)
        request->headers[request->header_count++] = (struct http_header){"Content-Type", "application/json"};
}

static int send_request(struct http_ask *work, const char *url, struct span body, struct error *error)
{
    struct http_request request = {.url = url, .body = body};

    fill_request(work->store, &request);
    work->transfer = http_start(work->store->http, &request, on_answer, work, error);
    return work->transfer ? 0 : -1;
}

static int start_ask(struct http_ask *work, struct error *error)
{
    const struct store *store = work->store;
    struct buf url, body;
    int status;

    buf_init(&url, URL_LIMIT_BYTES);
    buf_init(&body, BODY_LIMIT_BYTES);
    if (template_put(store->url, span_of(work->ask->user), put_user, &url))
        status = error_set(error, ERROR_TEMP, "the address for this user would be too long");
    else
        status = store->is_get ? 0 : write_body(store, work->ask, &body, error);
    if (!status)
        status = send_request(work, buf_cstr(&url), buf_span(&body), error);
    if (body.data)
        secret_wipe(body.data, body.capacity);
    buf_done(&body);
    buf_done(&url);
    return status;
}

static bool is_sound_user(const struct store *store, const char *user)
{
    /* a name that is a way through a path is nobody's */
    return !template_has_user(store->url) || !url_fault_of_part(span_of(user));
}

static void http_ask(struct store *store, struct store_ask *ask)
{
    struct http_ask *work;
    struct error error;

    ask->driver = NULL;
    if (!is_sound_user(store, ask->user)) {
        ask->on_done(ask, STORE_NOT_FOUND, NULL, NULL);
        return;
    }
    if (store->judges && !ask->password.len) {
        ask->on_done(ask, STORE_REFUSED, NULL, NULL);
        return;
    }
    if (store->judges && (!span_is_utf8(ask->password) || memchr(ask->password.data, '\0', ask->password.len))) {
        ask->on_done(ask, STORE_REFUSED, NULL, NULL); /* JSON cannot say it */
        return;
    }
    work = mem_zalloc(sizeof *work);
    work->store = store;
    work->ask = ask;
    ask->driver = work;
    if (start_ask(work, &error))
        finish(work, STORE_FAILED, NULL, &error);
}

static void http_cancel_ask(struct store *store, struct store_ask *ask)
{
    struct http_ask *work = ask->driver;

    (void)store;
    if (!work)
        return;
    http_cancel(work->transfer);
    free(work);
    ask->driver = NULL;
}

const struct store_driver store_http = {
    .name = "http",
    .kind = STORE_PASSWORDS,
    .open = http_open,
    .start = http_start_store,
    .ask = http_ask,
    .cancel = http_cancel_ask,
    .close = http_close,
};

const struct store_driver store_http_record = {
    .name = "http-record",
    .kind = STORE_RECORDS,
    .open = record_open,
    .start = http_start_store,
    .ask = http_ask,
    .cancel = http_cancel_ask,
    .close = http_close,
};
