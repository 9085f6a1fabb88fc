/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection to Redis. Requests are answered in order, so the first that is overdue condemns the connection: what
 * is behind it would be late too. Then every request is told, and the link tries again by itself, at growing intervals.
 */
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/cidr.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "tally/redis_private.h"

#define TIMEOUT_DEFAULT_MS 200
#define CONNECT_LIMIT_MS 2000
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MOST_MS 3000
#define TRIES_ROUND 16
#define READ_BYTES 16384
#define REPLY_MOST_BYTES (8U << 20)
#define UNSENT_MOST_BYTES (64U << 20)

static void start(struct link *link);

int link_fault(struct link *link, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(link->reason, sizeof link->reason, format, args);
    va_end(args);
    return -1;
}

/* ---- losing ---- */

static void tell_all(struct link *link)
{
    struct list requests;
    struct list_node *node;

    list_init(&requests);
    list_splice(&requests, &link->requests);
    while ((node = list_take_first(&requests))) {
        struct link_request *request = CONTAINER_OF(node, struct link_request, node);

        request->on_reply(link->owner, request->ctx, NULL);
        free(request);
    }
}

static void drop(struct link *link)
{
    timer_stop(&link->due);
    socket_close(link->socket);
    link->socket = NULL;
    if (link->reader)
        redisReaderFree(link->reader);
    link->reader = NULL;
    link->is_up = false;
    tell_all(link);
}

void link_lose(struct link *link)
{
    drop(link);
    link->owner_calls->on_lost(link->owner);
    timer_start(&link->retry, link->backoff_ms + random_below(link->backoff_ms / 2 + 1));
    link->backoff_ms = link->backoff_ms * 2 < BACKOFF_MOST_MS ? link->backoff_ms * 2 : BACKOFF_MOST_MS;
}

void link_is_well(struct link *link) { link->backoff_ms = BACKOFF_FIRST_MS; }

static void on_due(void *ctx)
{
    struct link *link = ctx;
    struct list_node *first = list_first(&link->requests);
    struct link_request *request = first ? CONTAINER_OF(first, struct link_request, node) : NULL;
    uint64_t now_ms = loop_now_ms(link->loop);

    if (link->is_up && !request)
        return;
    if (link->is_up && request->due_ms > now_ms) {
        timer_start(&link->due, request->due_ms - now_ms);
        return;
    }
    if (link->is_up)
        link_fault(link, "no answer within %llu ms", (unsigned long long)link->timeout_ms);
    else
        link_fault(link, "no connection within %d ms", CONNECT_LIMIT_MS);
    link_lose(link);
}

/* ---- asking and hearing ---- */

void link_send(struct link *link, struct script_command *command, link_reply_fn *on_reply, void *ctx)
{
    struct link_request *request = mem_zalloc(sizeof *request);
    size_t len;
    char *wire = script_finish(command, &len);

    request->on_reply = on_reply;
    request->ctx = ctx;
    request->due_ms = loop_now_ms(link->loop) + link->timeout_ms;
    list_push_back(&link->requests, &request->node);
    /* a socket that is broken, or full because nothing is read, shows in the answer that does not come */
    (void)!socket_write(link->socket, wire, len);
    if (!timer_is_running(&link->due))
        timer_start(&link->due, link->timeout_ms);
    free(wire);
}

static int take_reply(struct link *link, const redisReply *reply)
{
    struct list_node *node = list_take_first(&link->requests);
    struct link_request *request;
    int status;

    if (!node)
        return link_fault(link, "an answer that nobody asked for");
    request = CONTAINER_OF(node, struct link_request, node);
    status = request->on_reply(link->owner, request->ctx, reply);
    free(request);
    return status;
}

static int take_replies(struct link *link)
{
    void *reply = NULL;

    for (;;) {
        int status;

        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK)
            return link_fault(link, "an answer that is not of Redis' protocol");
        if (!reply)
            break;
        status = take_reply(link, reply);
        freeReplyObject(reply);
        if (status)
            return -1;
    }
    return link->reader->len > REPLY_MOST_BYTES ? link_fault(link, "an answer without end") : 0;
}

static int read_all(struct link *link)
{
    char bytes[READ_BYTES];
    ssize_t got;

    while ((got = socket_read(link->socket, bytes, sizeof bytes)) > 0) {
        if (redisReaderFeed(link->reader, bytes, (size_t)got) != REDIS_OK)
            return link_fault(link, "no memory for an answer");
        if (take_replies(link))
            return -1;
    }
    if (got == SOCKET_EOF)
        return link_fault(link, "the connection was closed");
    if (got == SOCKET_ERROR)
        return link_fault(link, "%.150s", socket_error(link->socket)->sentence);
    return 0;
}

static void on_readable(void *ctx)
{
    struct link *link = ctx;

    if (read_all(link))
        link_lose(link);
}

/* ---- connecting ---- */

static void is_up(struct link *link)
{
    timer_stop(&link->due);
    link->is_up = true;
    link->owner_calls->on_up(link->owner);
}

static void on_tls_done(void *ctx, const struct error *error)
{
    struct link *link = ctx;

    if (!error) {
        is_up(link);
        return;
    }
    link_fault(link, "%.150s", error->sentence);
    link_lose(link);
}

static void on_drained(void *ctx)
{
    struct link *link = ctx;
    struct error error;

    if (link->is_up || tls_is_on(link->socket))
        return;
    if (!link->tls) {
        is_up(link);
        return;
    }
    if (tls_connect(link->socket, link->tls, link->host, on_tls_done, link, &error)) {
        link_fault(link, "%.150s", error.sentence);
        link_lose(link);
    }
}

static const struct socket_handler handler = {.on_readable = on_readable, .on_drained = on_drained};

static void connect_to_peer(struct link *link)
{
    struct error error;

    link->socket = socket_connect(link->loop, (const struct sockaddr *)&link->peer, NULL, &handler, link, &error);
    if (!link->socket) {
        link_fault(link, "%.150s", error.sentence);
        link_lose(link);
        return;
    }
    socket_set_write_limit(link->socket, UNSENT_MOST_BYTES);
    link->reader = redisReaderCreate();
    MUST(link->reader);
    timer_start(&link->due, CONNECT_LIMIT_MS);
}

/* Each try takes the next of the name's addresses. */
static void look_up(struct job *job)
{
    struct link *link = CONTAINER_OF(job, struct link, lookup);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    struct addrinfo *chosen;

    link->is_found = !getaddrinfo(link->host, link->port, &hints, &found);
    if (!link->is_found)
        return;
    chosen = found;
    for (unsigned i = 0; i < link->tries; i++)
        chosen = chosen->ai_next ? chosen->ai_next : found;
    memcpy(&link->peer, chosen->ai_addr, chosen->ai_addrlen);
    freeaddrinfo(found);
}

static void on_looked_up(struct job *job)
{
    struct link *link = CONTAINER_OF(job, struct link, lookup);

    link->is_resolving = false;
    if (link->is_closed)
        return;
    if (link->is_found) {
        connect_to_peer(link);
        return;
    }
    link_fault(link, "the name has no address");
    link_lose(link);
}

/* The resolver blocks, so it has a thread of its own; while it takes its time, this node counts alone. */
static void start(struct link *link)
{
    struct error error;

    if (!link->resolver) {
        connect_to_peer(link);
        return;
    }
    link->lookup = (struct job){.reply_to = link->loop, .run = look_up, .done = on_looked_up};
    link->is_resolving = true;
    link->tries = (link->tries + 1) % TRIES_ROUND;
    MUST(!jobs_submit(link->resolver, &link->lookup, &error)); /* one at a time */
}

static void on_retry(void *ctx)
{
    struct link *link = ctx;

    if (!link->is_resolving)
        start(link);
}

void link_open(struct link *link, struct loop *loop)
{
    link->loop = loop;
    timer_init(&link->due, loop, on_due, link);
    timer_init(&link->retry, loop, on_retry, link);
    timer_start(&link->retry, 0);
}

void link_close(struct link *link)
{
    link->is_closed = true;
    timer_stop(&link->retry);
    drop(link);
}

/* ---- the address ---- */

static int init_path(struct link *link, const char *path, struct error *error)
{
    struct sockaddr_un *peer = (struct sockaddr_un *)(void *)&link->peer;

    if (strlen(path) >= sizeof peer->sun_path)
        return error_set(error, ERROR_PERM, "%s: too long for a socket's path", path);
    peer->sun_family = AF_UNIX;
    memcpy(peer->sun_path, path, strlen(path) + 1);
    return 0;
}

static int init_name(struct link *link, const char *name, struct error *error)
{
    const char *colon = strrchr(name, ':');
    uint64_t port;

    if (!colon || colon == name || span_to_u64(span_of(colon + 1), &port) || !port || port > 65535)
        return error_set(error, ERROR_PERM, "'%s' is not host:port or the path of a socket", name);
    link->host = mem_strndup(name, (size_t)(colon - name));
    link->port = mem_strdup(colon + 1);
    link->resolver = jobs_new("tally-dns", 1, 1, error);
    return link->resolver ? 0 : -1;
}

static int init_address(struct link *link, const char *address, struct error *error)
{
    struct sockaddr_storage peer;

    if (*address == '/')
        return init_path(link, address, error);
    if (sockaddr_parse(span_of(address), &peer, NULL))
        return init_name(link, address, error);
    link->peer = peer;
    return 0;
}

static int init_tls(struct link *link, const struct tally_options *options, struct error *error)
{
    struct tls_client_config config = {.verify = TLS_VERIFY_HOST, .ca_pem = options->ca_pem};

    if (!options->use_tls)
        return 0;
    if (!link->host)
        return error_set(error, ERROR_PERM, "%s: TLS needs a host's name, which the certificate must bear",
                         options->redis);
    link->tls = tls_client_new(&config, error);
    return link->tls ? 0 : -1;
}

int link_init(struct link *link, const struct tally_options *options, const struct link_owner *calls, void *owner,
              struct error *error)
{
    *link = (struct link){.owner_calls = calls, .owner = owner, .backoff_ms = BACKOFF_FIRST_MS};
    list_init(&link->requests);
    link->address = mem_strdup(options->redis);
    link->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_DEFAULT_MS;
    snprintf(link->reason, sizeof link->reason, "not connected yet");
    return init_address(link, options->redis, error) || init_tls(link, options, error) ? -1 : 0;
}

void link_done(struct link *link)
{
    tls_client_unref(&link->tls);
    free(link->address);
    free(link->host);
    free(link->port);
}
