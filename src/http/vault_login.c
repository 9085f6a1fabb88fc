/* SPDX-License-Identifier: Apache-2.0
 *
 * Logging in to Vault, and staying so. A 400 or 403 means that these credentials will not do
 * (Vault says 400 for a wrong secret_id, and for renewing what cannot be renewed); whatever
 * else is not 200 says nothing about them.
 */
#include "http/vault_login.h"

#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "http/url.h"
#include "http/vault.h"

#define LOGIN_CONNECT_LIMIT_MS 3000
#define LOGIN_TOTAL_LIMIT_MS 8000
#define LOGIN_BODY_LIMIT_BYTES ((size_t)64 << 10)
#define TOKEN_LIMIT_BYTES 16384 /* service tokens have 100, batch tokens some hundred */
#define LEASE_LIMIT_S ((json_int_t)10 * 366 * 86400)

static const char *mount_of(const struct vault_account *account)
{
    static const char *const own[] = {
        [VAULT_TOKEN] = "token", [VAULT_APPROLE] = "approle", [VAULT_KUBERNETES] = "kubernetes", [VAULT_JWT] = "jwt"};

    return account->mount ? account->mount : own[account->method];
}

static int put_base(const struct vault_account *account, struct buf *out, struct error *error)
{
    struct span text = span_of(account->address);

    while (text.len && text.data[text.len - 1] == '/')
        text.len--;
    if (url_check_base(account->address, error))
        return -1;
    if (buf_append_span(out, text) || buf_append_span(out, SPAN_LIT("/v1/auth")))
        return error_set(error, ERROR_PERM, "the address of Vault is too long");
    return 0;
}

/* jansson wants UTF-8; a file may hold anything. */
static int add_text(json_t *body, const char *key, struct span text, struct error *error)
{
    if (json_object_set_new(body, key, json_stringn(text.data, text.len)))
        return error_set(error, ERROR_PERM, "the %s to log in to Vault with is not text", key);
    return 0;
}

static int fill(const struct vault_account *account, struct span jwt, json_t *body, struct error *error)
{
    if (account->method == VAULT_APPROLE) {
        if (add_text(body, "role_id", span_of(account->role), error))
            return -1;
        return account->secret_id ? add_text(body, "secret_id", span_of(account->secret_id), error) : 0;
    }
    return add_text(body, "role", span_of(account->role), error) || add_text(body, "jwt", jwt, error) ? -1 : 0;
}

static int on_dump(const char *data, size_t len, void *ctx) { return buf_append(ctx, data, len); }

int vault_login_write(const struct vault_account *account, struct span jwt, struct buf *url_out, struct buf *body_out,
                      struct error *error)
{
    json_t *body;
    const char *fault;
    int status;

    if (put_base(account, url_out, error))
        return -1;
    fault = url_put_parts(span_of(mount_of(account)), url_out);
    if (fault || buf_append_span(url_out, SPAN_LIT("/login")))
        return error_set(error, ERROR_PERM, "the mount to log in to has %s", fault ? fault : "too long a name");
    body = json_object();
    status = fill(account, jwt, body, error);
    if (!status && json_dump_callback(body, on_dump, body_out, JSON_COMPACT))
        status = error_set(error, ERROR_PERM, "what is to be said to log in to Vault is too long");
    json_decref(body);
    return status;
}

int vault_renew_write(const struct vault_account *account, struct buf *url_out, struct error *error)
{
    if (put_base(account, url_out, error))
        return -1;
    return buf_append_span(url_out, SPAN_LIT("/token/renew-self"))
               ? error_set(error, ERROR_PERM, "the address of Vault is too long")
               : 0;
}

static void add_header(struct http_request *request, const char *name, const char *value)
{
    if (value)
        request->headers[request->header_count++] = (struct http_header){name, value};
}

void vault_login_request(const struct vault_account *account, const char *url, struct span body, const char *token,
                         struct http_request *request_out)
{
    *request_out = (struct http_request){
        .method = "POST",
        .url = url,
        .body = body,
        .connect_limit_ms = LOGIN_CONNECT_LIMIT_MS,
        .total_limit_ms = LOGIN_TOTAL_LIMIT_MS,
        .body_limit_bytes = LOGIN_BODY_LIMIT_BYTES,
        .ca_file = account->ca_file,
    };
    add_header(request_out, "Content-Type", "application/json");
    add_header(request_out, "X-Vault-Request", "true");
    add_header(request_out, "X-Vault-Namespace", account->name_space);
    add_header(request_out, "X-Vault-Token", token);
}

static bool is_token(const char *text, size_t len)
{
    if (!text || !len || len > TOKEN_LIMIT_BYTES)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f)
            return false;
    return true;
}

static int read_grant(const json_t *auth, struct vault_grant *grant_out)
{
    const json_t *token = json_object_get(auth, "client_token");
    const json_t *lease = json_object_get(auth, "lease_duration");
    json_int_t seconds = json_integer_value(lease);

    if (!is_token(json_string_value(token), json_string_length(token)))
        return -1;
    if (!json_is_integer(lease) || seconds < 0 || seconds > LEASE_LIMIT_S)
        return -1;
    *grant_out = (struct vault_grant){
        .token = mem_strdup(json_string_value(token)),
        .lease_ms = (uint64_t)seconds * 1000,
        .is_renewable = json_is_true(json_object_get(auth, "renewable")),
    };
    return 0;
}

enum vault_login_outcome vault_login_read(const struct vault_account *account, const struct http_response *response,
                                          struct vault_grant *grant_out, struct error *error)
{
    struct span text = buf_span(&response->body);
    json_t *body;
    int status;

    if (response->status == 400 || response->status == 403) {
        error_set(error, ERROR_TEMP, "Vault at %s refused the login or the token (%d)", account->address,
                  response->status);
        return VAULT_REFUSED;
    }
    if (response->status == 404) {
        error_set(error, ERROR_TEMP, "Vault at %s has no such way to log in (404): check auth and auth_mount",
                  account->address);
        return VAULT_NO_ANSWER;
    }
    if (response->status != 200) {
        error_set(error, ERROR_TEMP, "Vault at %s %s", account->address, vault_meaning_of(response->status));
        return VAULT_NO_ANSWER;
    }
    body = json_loadb(text.data, text.len, 0, NULL);
    status = read_grant(json_object_get(body, "auth"), grant_out);
    json_decref(body);
    if (!status)
        return VAULT_GRANTED;
    error_set(error, ERROR_TEMP, "Vault at %s answered a login with something else than a token", account->address);
    return VAULT_NO_ANSWER;
}
