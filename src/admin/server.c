/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP side: a bound socket, libmicrohttpd's threads, and what is checked before a
 * route runs: who asks, how much is sent, and that no web page asks for its visitor.
 */
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin_private.h"
#include "admin/connections.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"
#include "log/diag.h"

#define THREADS 6 /* more than may wait for an answer of the gate: monitors do not stand behind those */
#define CONNECTIONS_MOST 64
#define SPARE_AFTER 48 /* of these places the rest is kept for newcomers */
#define CONNECTION_BYTES (32 * 1024)
#define IDLE_SECONDS 10

struct server {
    /* fixed after start */
    const struct admin *admin;
    struct admin_params params;
    struct sockaddr_storage address;
    struct MHD_Daemon *daemon;
    /* shared; has a lock of its own */
    struct connections *connections;
};

/* One request, from its header to its answer. */
struct request {
    uint64_t body_bytes;
    bool too_large;
    struct buf body; /* may hold a password */
};

const struct sockaddr *server_address(const struct server *server) { return (const struct sockaddr *)&server->address; }

/* ---- answering ---- */

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct admin_answer *answer, const char *allow)
{
    size_t len = 0;
    char *body = buf_take(&answer->body, &len);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, body, body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result;

    buf_done(&answer->body);
    if (!response) {
        free(body);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (allow)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    result = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *why, const char *allow)
{
    struct admin_answer answer = {.status = status};

    buf_init(&answer.body, ADMIN_ANSWER_BYTES);
    answer_error(&answer, status, "%s", why);
    return send_answer(connection, &answer, allow);
}

static bool is_trusted(const struct server *server, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct ip ip;

    if (!info || !info->client_addr)
        return false;
    ip = ip_of_sockaddr(info->client_addr);
    for (size_t i = 0; i < server->params.trusted_count; i++)
        if (cidr_contains(&server->params.trusted[i], &ip))
            return true;
    return false;
}

static const char *lookup(struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *name)
{
    return MHD_lookup_connection_value(connection, kind, name);
}

static enum MHD_Result run_route(struct server *server, struct MHD_Connection *connection,
                                 const struct admin_route *route, const struct request *request)
{
    struct admin_query query = {
        .admin = server->admin,
        .limit = lookup(connection, MHD_GET_ARGUMENT_KIND, "limit"),
        .who = lookup(connection, MHD_GET_ARGUMENT_KIND, "who"),
        .content_type = lookup(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE),
        .body = buf_span(&request->body),
        .is_body_long = request->body_bytes > buf_len(&request->body),
    };
    struct admin_answer answer = {.status = 500};

    buf_init(&answer.body, ADMIN_ANSWER_BYTES);
    route->run(&query, &answer);
    return send_answer(connection, &answer, NULL);
}

static enum MHD_Result respond(struct server *server, struct MHD_Connection *connection, const char *method,
                               const char *path, const struct request *request)
{
    const char *allow;
    const struct admin_route *route = routes_find(method, path, &allow);

    if (request->too_large)
        return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE, "the request is larger than request_body_limit", NULL);
    if (!route && allow)
        return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "this path has another method", allow);
    if (!route)
        return refuse(connection, MHD_HTTP_NOT_FOUND, "there is no such path", NULL);
    /* A browser says where a request comes from; no page of ours sends any. */
    if (strcmp(route->method, "GET") != 0 && lookup(connection, MHD_HEADER_KIND, "Origin"))
        return refuse(connection, MHD_HTTP_FORBIDDEN, "requests from web pages are refused", NULL);
    return run_route(server, connection, route, request);
}

static void wipe_body(struct buf *body)
{
    if (body->data)
        secret_wipe(body->data, body->capacity);
    buf_clear(body);
}

/* ---- libmicrohttpd's calls: once for the header, for each part of the body, at the end ---- */

static struct place *place_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* The block has its full size from the start, so that growing leaves no copies behind. */
static void take_body(struct buf *body, const char *data, size_t len)
{
    if (buf_len(body) == 0 && !buf_reserve(body, ADMIN_BODY_BYTES))
        return;
    if (buf_append(body, data, len) < 0)
        wipe_body(body);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *data, size_t *data_len, void **request_slot)
{
    struct server *server = ctx;
    struct request *request = *request_slot;

    (void)version;
    if (!request) {
        if (!is_trusted(server, connection))
            return refuse(connection, MHD_HTTP_FORBIDDEN, "this address is not in trusted_hosts", NULL);
        request = *request_slot = mem_zalloc(sizeof *request);
        buf_init(&request->body, ADMIN_BODY_BYTES);
        return MHD_YES;
    }
    if (*data_len > 0) {
        request->body_bytes += *data_len;
        request->too_large = request->too_large || request->body_bytes > server->params.request_body_limit_bytes;
        take_body(&request->body, data, *data_len);
        *data_len = 0;
        /* No end in sight: close instead of reading on. */
        return request->body_bytes > 2 * server->params.request_body_limit_bytes + CONNECTION_BYTES ? MHD_NO : MHD_YES;
    }
    connections_set_busy(server->connections, place_of(connection), true);
    return respond(server, connection, method, path, request);
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **request_slot,
                         enum MHD_RequestTerminationCode code)
{
    struct server *server = ctx;

    struct request *request = *request_slot;

    (void)code;
    if (!request)
        return;
    connections_set_busy(server->connections, place_of(connection), false);
    wipe_body(&request->body);
    buf_done(&request->body);
    free(request);
    *request_slot = NULL;
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **place_slot,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *server = ctx;

    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *place_slot = connections_add(
            server->connections, MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
    else
        connections_remove(server->connections, *place_slot);
}

/* ---- start and stop ---- */

/* Not shared with other sockets: a second daemon on the same port is an error, not a riddle. */
static int bind_socket(const struct sockaddr *address, struct sockaddr_storage *bound_out, struct error *error)
{
    char text[SOCKADDR_TEXT_BYTES];
    socklen_t len = sizeof *bound_out;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

    sockaddr_format(address, text);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        (address->sa_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0) &&
        bind(fd, address, sockaddr_length(address)) == 0 && listen(fd, CONNECTIONS_MOST) == 0 &&
        getsockname(fd, (struct sockaddr *)bound_out, &len) == 0)
        return fd;
    error_set_errno(error, ERROR_PERM, errno, "http listener on %s", text);
    if (fd >= 0)
        close(fd);
    return -1;
}

static struct MHD_Daemon *start_daemon(struct server *server, int fd)
{
    return MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC, 0, NULL, NULL, on_request,
                            server, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MOST, MHD_OPTION_CONNECTION_TIMEOUT,
                            (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
                            on_connection, server, MHD_OPTION_END);
}

static bool is_loopback(const struct sockaddr *address)
{
    struct ip ip = ip_of_sockaddr(address);
    static const unsigned char v6[16] = {[15] = 1};

    return ip.family == AF_INET ? ip.bytes[0] == 127 : memcmp(ip.bytes, v6, sizeof v6) == 0;
}

static void announce(const struct server *server)
{
    char text[SOCKADDR_TEXT_BYTES];

    sockaddr_format(server_address(server), text);
    if (!is_loopback(server_address(server)))
        diag(DIAG_WARN, NULL, "the http listener %s can be reached from outside, in clear; only trusted_hosts may ask",
             text);
    diag(DIAG_INFO, NULL, "http listener on %s", text);
}

static void server_free(struct server *server)
{
    connections_free(server->connections);
    free(server);
}

static struct server *server_new(const struct admin *admin, const struct admin_params *params)
{
    struct server *server = mem_zalloc(sizeof *server);

    server->admin = admin;
    server->params = *params;
    server->connections = connections_new(SPARE_AFTER);
    return server;
}

struct server *server_start(const struct admin *admin, const struct admin_params *params, struct error *error)
{
    struct server *server = server_new(admin, params);
    int fd = bind_socket((const struct sockaddr *)&params->listen, &server->address, error);
    sigset_t all, before;

    if (fd < 0) {
        server_free(server);
        return NULL;
    }
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    server->daemon = start_daemon(server, fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!server->daemon) {
        error_set(error, ERROR_TEMP, "the http listener's threads could not be started");
        close(fd);
        server_free(server);
        return NULL;
    }
    announce(server);
    return server;
}

void server_stop(struct server *server)
{
    MHD_stop_daemon(server->daemon);
    server_free(server);
}
