/* SPDX-License-Identifier: Apache-2.0
 *
 * Vault's KV, versions 1 and 2. The awkward truth is its 404: it says "no such secret", "this
 * version was deleted" and "no such mount" alike, and any web server in between says it too.
 * Only an answer in the form that Vault gives for a missing secret is taken as a verdict.
 */
#include "http/vault.h"

#include <jansson.h>
#include <string.h>

#include "http/url.h"

#define VAULT_CONNECT_LIMIT_MS 3000
#define VAULT_TOTAL_LIMIT_MS 8000
#define VAULT_BODY_LIMIT_BYTES ((size_t)1 << 20)

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
    fault = url_put_parts(source->mount, url_out);
    if (fault) {
        error_set(error, ERROR_PERM, "the mount of Vault has %s", fault);
        return VAULT_FAILED;
    }
    fault = source->version != 1 && buf_append_span(url_out, SPAN_LIT("/data")) ? "more bytes than a path may have"
                                                                                : url_put_parts(source->path, url_out);
    if (fault) {
        error_set(error, ERROR_PERM, "the path in Vault has %s: no secret can be there", fault);
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
        .ca_file = source->ca_file,
    };
    if (source->name_space)
        request_out->headers[request_out->header_count++] =
            (struct http_header){"X-Vault-Namespace", source->name_space};
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

static enum vault_outcome read_found(const struct vault_source *source, const json_t *body, json_t **fields_out,
                                     struct error *error)
{
    json_t *data = json_object_get(body, "data");

    if (source->version != 1)
        data = json_object_get(data, "data");
    if (!json_is_object(data))
        return failed(source, error,
                      source->version == 1
                          ? "answered in a form that is not KV version 1's: is the mount of that version?"
                          : "answered in a form that is not KV version 2's: is the mount of that version?");
    *fields_out = json_incref(data);
    return VAULT_FOUND;
}

static enum vault_outcome read_key(const struct vault_source *source, const json_t *data, struct buf *secret_out,
                                   struct error *error)
{
    const json_t *value = json_object_getn(data, source->key.data, source->key.len);
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
    return failed(source, error, "knows no such mount (404): check mount and address");
}

const char *vault_meaning_of(int status)
{
    if (status >= 300 && status < 400)
        return "sent a redirect, which is not followed with a token: give the address of the active node";
    switch (status) {
    case 400:
        return "did not understand the request (400)";
    case 403:
        return "refused the token (403): renew it, or let its policy read this mount";
    case 412:
        return "is not up to date yet (412)";
    case 429:
        return "has had too many requests (429): raise its rate limit or cache its answers for longer";
    case 472:
    case 473:
        return "is a standby node: give the address of the active one";
    case 501:
        return "is not initialised (501)";
    case 503:
        return "is sealed or down for maintenance (503): unseal it";
    default:
        return status >= 500 ? "has an internal fault (5xx): see its log" : "gave an answer that is not known";
    }
}

enum vault_outcome vault_read_fields(const struct vault_source *source, const struct http_response *response,
                                     json_t **fields_out, struct error *error)
{
    struct span text = buf_span(&response->body);
    enum vault_outcome outcome;
    json_t *body;

    if (response->status != 200 && response->status != 404)
        return failed(source, error, vault_meaning_of(response->status));
    body = json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(body))
        outcome = failed(source, error, "answered with something that is not JSON: is that really Vault?");
    else if (response->status == 200)
        outcome = read_found(source, body, fields_out, error);
    else
        outcome = read_not_found(source, body, error);
    json_decref(body);
    return outcome;
}

enum vault_outcome vault_read(const struct vault_source *source, const struct http_response *response,
                              struct buf *secret_out, struct error *error)
{
    json_t *fields = NULL;
    enum vault_outcome outcome = vault_read_fields(source, response, &fields, error);

    if (outcome == VAULT_FOUND)
        outcome = read_key(source, fields, secret_out, error);
    json_decref(fields);
    return outcome;
}
