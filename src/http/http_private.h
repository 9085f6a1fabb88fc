/* SPDX-License-Identifier: Apache-2.0
 *
 * One transfer: a curl handle and what it gathers. The client moves it along on a loop, or
 * http_run does so by blocking; what is asked and how the end is read is the same.
 */
#ifndef GATEPOST_HTTP_HTTP_PRIVATE_H
#define GATEPOST_HTTP_HTTP_PRIVATE_H

#include <curl/curl.h>
#include <stdbool.h>

#include "base/list.h"
#include "http/http.h"

#define HTTP_ORIGIN_BYTES 200

struct http_transfer {
    CURL *easy;
    struct curl_slist *headers;
    struct http_response response;
    size_t header_bytes;
    bool too_long;
    char *body; /* the request's, copied; NULL when there is none */
    size_t body_len;
    char origin[HTTP_ORIGIN_BYTES]; /* scheme, host and port: all of the URL that errors may show */
    char fault[CURL_ERROR_SIZE];
    http_done_fn *on_done;
    void *ctx;
    struct http_client *client; /* NULL when blocking */
    struct list_node node;
};

/* Starts the library, once per process. */
int http_library_start(struct error *error) __attribute__((warn_unused_result));

struct http_transfer *transfer_new(const struct http_request *request, http_done_fn *on_done, void *ctx,
                                   struct error *error);
void transfer_free(struct http_transfer *transfer);

/* Tells on_done how it ended. The transfer stays the caller's. */
void transfer_finish(struct http_transfer *transfer, CURLcode result);

#endif
