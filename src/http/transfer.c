/* SPDX-License-Identifier: Apache-2.0
 *
 * One HTTP request and its answer. Secrets travel here in headers and in bodies, and user
 * names in paths: an error names the server and nothing else, and answers are wiped.
 */
#include "http/http_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"

#define CONNECT_LIMIT_MS 3000
#define TOTAL_LIMIT_MS 10000
#define BODY_LIMIT_BYTES ((size_t)1 << 20)
#define HEADER_LIMIT_BYTES 65536

static pthread_once_t started = PTHREAD_ONCE_INIT;
static CURLcode start_result;

static void start_library(void) { start_result = curl_global_init(CURL_GLOBAL_DEFAULT); }

int http_library_start(struct error *error)
{
    pthread_once(&started, start_library);
    if (start_result)
        return error_set(error, ERROR_TEMP, "cannot start the HTTP library: %s", curl_easy_strerror(start_result));
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct http_transfer *transfer = ctx;

    if (buf_append(&transfer->response.body, data, size * count)) {
        transfer->too_long = true;
        return 0;
    }
    return size * count;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct http_transfer *transfer = ctx;

    (void)data;
    transfer->header_bytes += size * count;
    if (transfer->header_bytes > HEADER_LIMIT_BYTES) {
        transfer->too_long = true;
        return 0;
    }
    return size * count;
}

static bool has_control(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            return true;
    return false;
}

static int add_header(struct http_transfer *transfer, const struct http_header *header, struct error *error)
{
    struct curl_slist *longer;
    char *line;

    if (has_control(header->name) || has_control(header->value))
        return error_set(error, ERROR_PERM, "the HTTP header %s may not hold control characters",
                         has_control(header->name) ? "name" : header->name);
    line = mem_printf("%s: %s", header->name, header->value);
    longer = curl_slist_append(transfer->headers, line);
    secret_free(line);
    if (!longer)
        return error_set(error, ERROR_TEMP, "no memory for an HTTP request");
    transfer->headers = longer;
    return 0;
}

static int add_headers(struct http_transfer *transfer, const struct http_request *request, struct error *error)
{
    if (request->header_count > HTTP_HEADERS_LIMIT)
        return error_set(error, ERROR_PERM, "more than %d HTTP headers", HTTP_HEADERS_LIMIT);
    for (size_t i = 0; i < request->header_count; i++)
        if (add_header(transfer, &request->headers[i], error))
            return -1;
    return 0;
}

/* Keeps "scheme://host:port" of the URL. What stands between scheme and '@' would be a
 * credential, and is refused. */
static int keep_origin(struct http_transfer *transfer, const char *url, struct error *error)
{
    struct span rest = span_of(url);
    size_t end;

    if (span_istarts_with(rest, SPAN_LIT("https://")))
        end = strlen("https://");
    else if (span_istarts_with(rest, SPAN_LIT("http://")))
        end = strlen("http://");
    else
        return error_set(error, ERROR_PERM, "an HTTP address starts with http:// or https://");
    end += strcspn(url + end, "/?#");
    if (end >= sizeof transfer->origin || memchr(url, '@', end) || has_control(url) || strpbrk(url, " \\"))
        return error_set(error, ERROR_PERM, "this is not an HTTP address that can be used: no user name, no blanks");
    memcpy(transfer->origin, url, end);
    transfer->origin[end] = '\0';
    return 0;
}

static void set_body(struct http_transfer *transfer, const struct http_request *request)
{
    if (!request->body.len)
        return;
    transfer->body = mem_alloc(request->body.len);
    transfer->body_len = request->body.len;
    memcpy(transfer->body, request->body.data, request->body.len);
    curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)transfer->body_len);
    curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, transfer->body);
}

static long limit_or(uint64_t limit_ms, long otherwise)
{
    if (!limit_ms)
        return otherwise;
    return limit_ms > 3600000 ? 3600000 : (long)limit_ms;
}

/* The library looks for authorities in a file and in a directory of the system, and `ca_file` takes the place of the
 * file alone: the directory has to go, or every public authority could still speak for the server. The library keeps
 * what it read from a lone file for a day; a file that is replaced must count at the next connection. */
static CURLcode trust_only(CURL *easy, const char *ca_file)
{
    CURLcode result = curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);

    if (result && result != CURLE_NOT_BUILT_IN && result != CURLE_UNKNOWN_OPTION) /* then there is no directory */
        return result;
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
    return curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
}

static CURLcode set_options(struct http_transfer *transfer, const struct http_request *request)
{
    CURL *easy = transfer->easy;
    CURLcode result = curl_easy_setopt(easy, CURLOPT_URL, request->url);

    set_body(transfer, request);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method ? request->method : "GET");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, limit_or(request->connect_limit_ms, CONNECT_LIMIT_MS));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, limit_or(request->total_limit_ms, TOTAL_LIMIT_MS));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->fault);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "gatepost/" GATEPOST_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    /* what would send the request elsewhere than to the server it names */
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    if (!result)
        result = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    if (!result && request->ca_file)
        result = trust_only(easy, request->ca_file);
    return result;
}

struct http_transfer *transfer_new(const struct http_request *request, http_done_fn *on_done, void *ctx,
                                   struct error *error)
{
    struct http_transfer *transfer;

    if (http_library_start(error))
        return NULL;
    transfer = mem_zalloc(sizeof *transfer);
    transfer->on_done = on_done;
    transfer->ctx = ctx;
    buf_init(&transfer->response.body, request->body_limit_bytes ? request->body_limit_bytes : BODY_LIMIT_BYTES);
    transfer->easy = curl_easy_init();
    if (!transfer->easy)
        error_set(error, ERROR_TEMP, "no memory for an HTTP request");
    else if (!keep_origin(transfer, request->url, error) && !add_headers(transfer, request, error)) {
        CURLcode result = set_options(transfer, request);

        if (!result)
            return transfer;
        error_set(error, ERROR_PERM, "cannot prepare a request to %s: %s", transfer->origin,
                  curl_easy_strerror(result));
    }
    transfer_free(transfer);
    return NULL;
}

static void wipe_headers(struct curl_slist *headers)
{
    for (struct curl_slist *header = headers; header; header = header->next)
        secret_wipe(header->data, strlen(header->data));
    curl_slist_free_all(headers);
}

void transfer_free(struct http_transfer *transfer)
{
    if (!transfer)
        return;
    if (transfer->easy)
        curl_easy_cleanup(transfer->easy);
    wipe_headers(transfer->headers);
    if (transfer->response.body.data)
        secret_wipe(transfer->response.body.data, transfer->response.body.capacity);
    buf_done(&transfer->response.body);
    if (transfer->body)
        secret_wipe(transfer->body, transfer->body_len);
    free(transfer->body);
    free(transfer);
}

static void say_failure(const struct http_transfer *transfer, CURLcode result, struct error *error)
{
    if (transfer->too_long) {
        error_set(error, ERROR_TEMP, "%s answers with more than is taken from it", transfer->origin);
        return;
    }
    error_set(error, ERROR_TEMP, "asking %s failed: %s", transfer->origin,
              transfer->fault[0] ? transfer->fault : curl_easy_strerror(result));
}

void transfer_finish(struct http_transfer *transfer, CURLcode result)
{
    struct error error = {0};
    long status = 0;

    if (result) {
        say_failure(transfer, result, &error);
        transfer->on_done(transfer->ctx, NULL, &error);
        return;
    }
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    transfer->response.status = (int)status;
    transfer->on_done(transfer->ctx, &transfer->response, NULL);
}

void http_run(const struct http_request *request, http_done_fn *on_done, void *ctx)
{
    struct error error = {0};
    struct http_transfer *transfer = transfer_new(request, on_done, ctx, &error);

    if (!transfer) {
        on_done(ctx, NULL, &error);
        return;
    }
    transfer_finish(transfer, curl_easy_perform(transfer->easy));
    transfer_free(transfer);
}
