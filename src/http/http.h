/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking HTTP servers: secret stores, web hooks. One client per loop keeps its connections
 * alive between requests. A request goes to the server it names and to nobody else: no
 * redirect is followed, no proxy from the environment is used, TLS is always verified.
 */
#ifndef GATEPOST_HTTP_HTTP_H
#define GATEPOST_HTTP_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"
#include "loop/loop.h"

#define HTTP_HEADERS_LIMIT 16

struct http_header {
    const char *name;
    const char *value; /* may be a credential: never logged, never part of an error */
};

/* Borrowed for the call that takes it. */
struct http_request {
    const char *method; /* NULL: GET */
    const char *url;    /* http or https */
    struct http_header headers[HTTP_HEADERS_LIMIT];
    size_t header_count;
    struct span body;
    uint64_t connect_limit_ms; /* 0: 3 s */
    uint64_t total_limit_ms;   /* from start to the last byte; 0: 10 s */
    size_t body_limit_bytes;   /* of the answer; 0: 1 MiB */
    const char *ca_file;       /* PEM, instead of the system's authorities; or NULL */
};

/* A whole answer, whatever its status. */
struct http_response {
    int status;
    struct buf body;
};

struct http_client;

/* NULL with `error` set when the library cannot start. On the loop's thread, as all below. */
struct http_client *http_client_new(struct loop *loop, struct error *error);
/* Requests still out are dropped, their on_done not called. NULL is fine. Not from within an
 * on_done. */
void http_client_free(struct http_client *client);

/* Requests one client has out at a time; beyond it http_start says ERROR_AGAIN. */
#define HTTP_TRANSFERS_LIMIT 256

/* Once, never from within http_start. `response` is NULL on failure, `error` otherwise. Both
 * are borrowed for the call; the body is wiped after. */
typedef void http_done_fn(void *ctx, const struct http_response *response, const struct error *error);

struct http_transfer;

/* NULL with `error` set when it cannot even start. */
struct http_transfer *http_start(struct http_client *client, const struct http_request *request, http_done_fn *on_done,
                                 void *ctx, struct error *error);
/* on_done will not be called. NULL is fine. */
void http_cancel(struct http_transfer *transfer);

/* The same, blocking, on a connection of its own; from any thread. on_done is called before
 * it returns. */
void http_run(const struct http_request *request, http_done_fn *on_done, void *ctx);

#endif
