/* SPDX-License-Identifier: Apache-2.0
 *
 * HashiCorp Vault's KV API, versions 1 and 2 (OpenBao's is the same): how a secret is asked for and what
 * the answers mean. Pure functions; sending is http_start's work. No error holds the token, the path (policies
 * put user names into it) or what was answered.
 */
#ifndef GATEPOST_HTTP_VAULT_H
#define GATEPOST_HTTP_VAULT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "http/http.h"

struct vault_source {
    const char *address; /* "https://host:port" */
    const char *token;
    struct span mount;      /* "secret"; may hold slashes */
    struct span path;       /* below it */
    struct span key;        /* which field of the secret; vault_read alone looks at it */
    unsigned version;       /* of KV: 1; anything else is 2 */
    const char *name_space; /* X-Vault-Namespace; or NULL */
    const char *ca_file;    /* PEM, instead of the system's authorities; or NULL */
};

enum vault_outcome {
    VAULT_FOUND,
    VAULT_NOT_FOUND, /* the store works and has no such secret */
    VAULT_FAILED,    /* the store gives no verdict */
};

/* Writes the URL. Each part of mount and path is percent-encoded by itself; empty parts,
 * "." and "..", and control characters are refused: in the mount that is a failure, in the
 * path it is a secret that cannot exist. VAULT_FOUND when there is a URL to ask. */
enum vault_outcome vault_url(const struct vault_source *source, struct buf *url_out, struct error *error);

/* Fills method, URL, headers and limits; borrows `url` and the token. */
void vault_request(const struct vault_source *source, const char *url, struct http_request *request_out);

/* Reads an answer; appends the secret to `secret_out` when found. */
enum vault_outcome vault_read(const struct vault_source *source, const struct http_response *response,
                              struct buf *secret_out, struct error *error);

/* The same, but gives the whole secret: a new reference to an object, in *fields_out when found. */
enum vault_outcome vault_read_fields(const struct vault_source *source, const struct http_response *response,
                                     json_t **fields_out, struct error *error);

/* What a status that is no verdict means, to be said after "Vault at ADDRESS ". */
const char *vault_meaning_of(int status);

#endif
