/* SPDX-License-Identifier: Apache-2.0
 *
 * Many HTTP requests on one loop: curl's multi interface told by libuv when a socket can be
 * read or written, and by our timer when its time has come. Owners are called only after
 * curl has returned, so that they may start and cancel requests as they like.
 */
#include "http/http_private.h"

#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"
#include "base/must.h"

#define IDLE_CONNECTIONS 16L

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct timer timer;
    struct list transfers;
    struct list watches;
};

/* A socket of curl's. libuv wants the handle to outlive its closing, hence apart. */
struct watch {
    uv_poll_t poll;
    curl_socket_t fd;
    struct http_client *client;
    struct list_node node;
};

static void finish_done(struct http_client *client)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left))) {
        struct http_transfer *transfer;
        CURLcode result = message->data.result;

        if (message->msg != CURLMSG_DONE)
            continue;
        MUST(!curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer));
        curl_multi_remove_handle(client->multi, transfer->easy);
        list_remove(&client->transfers, &transfer->node);
        transfer_finish(transfer, result);
        transfer_free(transfer);
    }
}

static void act(struct http_client *client, curl_socket_t fd, int events)
{
    int running;

    curl_multi_socket_action(client->multi, fd, events, &running);
    finish_done(client);
}

/* The loop's clock stands still during a turn, so a timer can be early by curl's own clock.
 * curl then does nothing and does not ask again: hence the second look. */
static void on_timer(void *ctx)
{
    struct http_client *client = ctx;
    long timeout_ms = -1;

    act(client, CURL_SOCKET_TIMEOUT, 0);
    if (timer_is_running(&client->timer))
        return;
    curl_multi_timeout(client->multi, &timeout_ms);
    if (timeout_ms >= 0)
        timer_start(&client->timer, timeout_ms > 0 ? (uint64_t)timeout_ms : 1);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = CONTAINER_OF(poll, struct watch, poll);
    int flags = 0;

    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(watch->client, watch->fd, flags);
}

static void on_watch_closed(uv_handle_t *handle) { free(CONTAINER_OF((uv_poll_t *)handle, struct watch, poll)); }

static void watch_drop(struct watch *watch)
{
    list_remove(&watch->client->watches, &watch->node);
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static struct watch *watch_new(struct http_client *client, curl_socket_t fd)
{
    struct watch *watch = mem_zalloc(sizeof *watch);

    if (uv_poll_init(loop_uv(client->loop), &watch->poll, fd)) {
        free(watch);
        return NULL;
    }
    watch->fd = fd;
    watch->client = client;
    list_push_back(&client->watches, &watch->node);
    curl_multi_assign(client->multi, fd, watch);
    return watch;
}

/* curl says which of its sockets it wants watched, and for what. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct http_client *client = ctx;
    struct watch *watch = socket_ctx;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            watch_drop(watch);
        curl_multi_assign(client->multi, fd, NULL);
        return 0;
    }
    if (!watch)
        watch = watch_new(client, fd);
    if (!watch)
        return -1;
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    return uv_poll_start(&watch->poll, events, on_poll) ? -1 : 0;
}

static int on_timeout(CURLM *multi, long timeout_ms, void *ctx)
{
    struct http_client *client = ctx;

    (void)multi;
    if (timeout_ms < 0)
        timer_stop(&client->timer);
    else
        timer_start(&client->timer, (uint64_t)timeout_ms);
    return 0;
}

struct http_client *http_client_new(struct loop *loop, struct error *error)
{
    struct http_client *client;

    if (http_library_start(error))
        return NULL;
    client = mem_zalloc(sizeof *client);
    client->loop = loop;
    client->multi = curl_multi_init();
    if (!client->multi) {
        free(client);
        error_set(error, ERROR_TEMP, "no memory for an HTTP client");
        return NULL;
    }
    list_init(&client->transfers);
    list_init(&client->watches);
    timer_init(&client->timer, loop, on_timer, client);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS);
    return client;
}

void http_client_free(struct http_client *client)
{
    struct list_node *node;

    if (!client)
        return;
    while ((node = list_first(&client->transfers)))
        http_cancel(CONTAINER_OF(node, struct http_transfer, node));
    curl_multi_cleanup(client->multi);
    /* what curl did not ask to be forgotten */
    while ((node = list_first(&client->watches)))
        watch_drop(CONTAINER_OF(node, struct watch, node));
    timer_stop(&client->timer);
    free(client);
}

struct http_transfer *http_start(struct http_client *client, const struct http_request *request, http_done_fn *on_done,
                                 void *ctx, struct error *error)
{
    struct http_transfer *transfer;
    CURLMcode status;

    if (client->transfers.count >= HTTP_TRANSFERS_LIMIT) {
        error_set(error, ERROR_AGAIN, "%d HTTP requests are out already", HTTP_TRANSFERS_LIMIT);
        return NULL;
    }
    transfer = transfer_new(request, on_done, ctx, error);
    if (!transfer)
        return NULL;
    transfer->client = client;
    list_push_back(&client->transfers, &transfer->node);
    status = curl_multi_add_handle(client->multi, transfer->easy);
    if (status) {
        error_set(error, ERROR_TEMP, "cannot start a request to %s: %s", transfer->origin, curl_multi_strerror(status));
        list_remove(&client->transfers, &transfer->node);
        transfer_free(transfer);
        return NULL;
    }
    return transfer;
}

void http_cancel(struct http_transfer *transfer)
{
    if (!transfer)
        return;
    curl_multi_remove_handle(transfer->client->multi, transfer->easy);
    list_remove(&transfer->client->transfers, &transfer->node);
    transfer_free(transfer);
}
