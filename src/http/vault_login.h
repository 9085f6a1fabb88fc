/* SPDX-License-Identifier: Apache-2.0
 *
 * Vault tokens: how one is asked for (AppRole, Kubernetes, JWT), renewed, and what the answers
 * mean. Pure functions. No error holds a token, a secret or what was answered.
 */
#ifndef GATEPOST_HTTP_VAULT_LOGIN_H
#define GATEPOST_HTTP_VAULT_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "http/http.h"

enum vault_method { VAULT_TOKEN, VAULT_APPROLE, VAULT_KUBERNETES, VAULT_JWT };

struct vault_account {
    const char *address;    /* "https://host:port" */
    const char *name_space; /* or NULL */
    const char *ca_file;    /* or NULL */
    enum vault_method method;
    const char *mount;     /* of the method; NULL: its own name */
    const char *role;      /* AppRole: role_id */
    const char *secret_id; /* AppRole; may be NULL where the role needs none */
};

/* Writes URL and body of a login; `jwt` is for the methods that show one. Not for VAULT_TOKEN. -1 when there can be
 * no such request. */
int vault_login_write(const struct vault_account *account, struct span jwt, struct buf *url_out, struct buf *body_out,
                      struct error *error) __attribute__((warn_unused_result));
/* Of the token itself; its body is "{}". */
int vault_renew_write(const struct vault_account *account, struct buf *url_out, struct error *error)
    __attribute__((warn_unused_result));

/* Fills the request; borrows all. `token` is NULL for a login. */
void vault_login_request(const struct vault_account *account, const char *url, struct span body, const char *token,
                         struct http_request *request_out);

enum vault_login_outcome {
    VAULT_GRANTED,
    VAULT_REFUSED, /* asking the same again will not help: not renewable, expired, unknown role... */
    VAULT_NO_ANSWER,
};

struct vault_grant {
    char *token;       /* the caller's: secret_free */
    uint64_t lease_ms; /* 0: it never ends */
    bool is_renewable;
};

enum vault_login_outcome vault_login_read(const struct vault_account *account, const struct http_response *response,
                                          struct vault_grant *grant_out, struct error *error);

#endif
