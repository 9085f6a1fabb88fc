/* SPDX-License-Identifier: Apache-2.0
 *
 * Vault's KV version 2. The awkward truth is its 404: it says "no such secret", "this
 * version was deleted" and "no such mount" alike, and any web server in between says it too.
 * Only an answer in the form that Vault gives for a missing secret is taken as a verdict.
 */
#include "http/vault.h"

#include <jansson.h>
#include <string.h>

#include "base/secret.h"

#define VAULT_CONNECT_LIMIT_MS 3000
#define VAULT_TOTAL_LIMIT_MS 8000
#define VAULT_BODY_LIMIT_BYTES ((size_t)1 << 20)

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c);
}

static int put_encoded(struct span part, struct buf *out)
{
    for (size_t i = 0; i < part.len; i++) {
        unsigned char c = (unsigned char)part.data[i];

        if (c && is_unreserved(c) ? buf_append(out, &c, 1) : buf_appendf(out, "%%%02X", c))
            return -1;
    }
    return 0;
}

static const char *fault_of_part(struct span part)
{
    if (!part.len)
        return "an empty part";
    if (span_eq(part, SPAN_LIT(".")) || span_eq(part, SPAN_LIT("..")))
        return "a part that is '.' or '..'";
    for (size_t i = 0; i < part.len; i++)
        if ((unsigned char)part.data[i] < 0x20 || part.data[i] == 0x7f)
            return "a control character";
    return NULL;
}

/* NULL, or what is wrong with it. */
static const char *put_parts(struct span path, struct buf *out)
{
    for (;;) {
        size_t end = span_find(path, '/');
        struct span part = span_head(path, end);
        const char *fault = fault_of_part(part);

        if (fault)
            return fault;
        if (buf_append(out, "/", 1) || put_encoded(part, out))
            return "more bytes than a path may have";
        if (end == path.len)
            return NULL;
        path = span_from(path, end + 1);
    }
}

static int put_address(const char *address, struct buf *out, struct error *error)
{
    struct span text = span_of(address);

    while (text.len && text.data[text.len - 1] == '/')
        text.len--;
    if (!span_istarts_with(text, SPAN_LIT("http://")) && !span_istarts_with(text, SPAN_LIT("https://")))
        return error_set(error, ERROR_PERM, "the Vault address must start with http:// or https://");
    if (memchr(text.data, '?', text.len) || memchr(text.data, '#', text.len))
        return error_set(error, ERROR_PERM, "the Vault address may not hold '?' or '#'");
    return buf_append_span(out, text) ? error_set(error, ERROR_PERM, "the Vault address is too long") : 0;
}

enum vault_outcome vault_url(const struct vault_source *source, struct buf *url_out, struct error *error)
{
    const char *fault;

    if (put_address(source->address, url_out, error))
        return VAULT_FAILED;
    if (buf_append_span(url_out, SPAN_LIT("/v1"))) {
        error_set(error, ERROR_PERM, "the Vault address is too long");
        return VAULT_FAILED;
    }
    fault = put_parts(source->mount, url_out);
    if (fault) {
        error_set(error, ERROR_PERM, "vault_mount has %s", fault);
        return VAULT_FAILED;
    }
    fault = buf_append_span(url_out, SPAN_LIT("/data")) ? "more bytes than a path may have"
                                                        : put_parts(source->path, url_out);
    if (fault) {
        error_set(error, ERROR_PERM, "vault_path has %s: no secret can be there", fault);
        return VAULT_NOT_FOUND;
    }
    return VAULT_FOUND;
}

void vault_request(const struct vault_source *source, const char *url, struct http_request *request_out)
{
    *request_out = (struct http_request){
        .url = url,
        .headers = {{"X-Vault-Token", source->token}, {"X-Vault-Request", "true"}},
        .header_count = 2,
        .connect_limit_ms = VAULT_CONNECT_LIMIT_MS,
        .total_limit_ms = VAULT_TOTAL_LIMIT_MS,
        .body_limit_bytes = VAULT_BODY_LIMIT_BYTES,
    };
}

static enum vault_outcome failed(const struct vault_source *source, struct error *error, const char *what)
{
    error_set(error, ERROR_TEMP, "Vault at %s %s", source->address, what);
    return VAULT_FAILED;
}

static enum vault_outcome not_found(struct error *error, const char *what)
{
    error_set(error, ERROR_PERM, "%s", what);
    return VAULT_NOT_FOUND;
}

static enum vault_outcome read_found(const struct vault_source *source, const json_t *body, struct buf *secret_out,
                                     struct error *error)
{
    const json_t *data = json_object_get(json_object_get(body, "data"), "data");
    const json_t *value;

    if (!json_is_object(data))
        return failed(source, error, "answered in a form that is not KV version 2's: is the mount of that version?");
    value = json_object_getn(data, source->key.data, source->key.len);
    if (!value || json_is_null(value))
        return not_found(error, "the secret in Vault has no field of the name that vault_key gives");
    if (!json_is_string(value))
        return failed(source, error, "holds a value there that is not text");
    if (buf_append(secret_out, json_string_value(value), json_string_length(value)))
        return failed(source, error, "holds a value there that is too long");
    return VAULT_FOUND;
}

/* A missing secret: an empty list of errors. A deleted one: its metadata. */
static enum vault_outcome read_not_found(const struct vault_source *source, const json_t *body, struct error *error)
{
    const json_t *errors = json_object_get(body, "errors");
    const json_t *data = json_object_get(body, "data");

    if ((json_is_array(errors) && json_array_size(errors) == 0) ||
        (json_is_object(json_object_get(data, "metadata")) && json_is_null(json_object_get(data, "data"))))
        return not_found(error, "Vault has no secret there");
    return failed(source, error, "knows no such mount (404): check vault_mount and vault_address");
}

static const char *meaning_of(int status)
{
    if (status >= 300 && status < 400)
        return "sent a redirect, which is not followed with a token: name the active node in vault_address";
    switch (status) {
    case 400:
        return "did not understand the request (400)";
    case 403:
        return "refused the token (403): renew it, or let its policy read this mount";
    case 412:
        return "is not up to date yet (412)";
    case 429:
        return "has had too many requests (429): raise its rate limit or cache with kumo.memoize";
    case 472:
    case 473:
        return "is a standby node: name the active one in vault_address";
    case 501:
        return "is not initialised (501)";
    case 503:
        return "is sealed or down for maintenance (503): unseal it";
    default:
        return status >= 500 ? "has an internal fault (5xx): see its log" : "gave an answer that is not known";
    }
}

enum vault_outcome vault_read(const struct vault_source *source, const struct http_response *response,
                              struct buf *secret_out, struct error *error)
{
    struct span text = buf_span(&response->body);
    enum vault_outcome outcome;
    json_t *body;

    if (response->status != 200 && response->status != 404)
        return failed(source, error, meaning_of(response->status));
    body = json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(body))
        outcome = failed(source, error, "answered with something that is not JSON: is that really Vault?");
    else if (response->status == 200)
        outcome = read_found(source, body, secret_out, error);
    else
        outcome = read_not_found(source, body, error);
    json_decref(body);
    return outcome;
}
