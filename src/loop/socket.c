/* SPDX-License-Identifier: Apache-2.0
 *
 * One file descriptor, one poll handle. The awkward truths: libuv frees a poll handle
 * only after a callback, so the handle outlives the socket by a turn; and the poll set
 * is changed only when the wanted events really change, because each change is a system
 * call.
 */
#include "loop/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "base/buf.h"
#include "base/cidr.h"
#include "base/mem.h"
#include "base/must.h"

#define DEFAULT_WRITE_LIMIT (1024 * 1024)
#define DIRECT_WRITE_BYTES 16384 /* from here on, bytes are not copied before they are tried */

struct socket {
    struct loop *loop;
    int fd;
    uv_poll_t poll;
    int polled_events;

    const struct socket_handler *handler; /* NULL once the owner has let go */
    void *ctx;
    const struct socket_layer_ops *layer_ops;
    void *layer;

    struct buf plain; /* written by the owner, not yet encoded; unused without a layer */
    struct buf wire;  /* encoded, not yet taken by the kernel */
    size_t write_limit;
    struct deferred flush;
    struct deferred poke;
    struct timer linger;

    bool connecting;
    bool paused;
    bool read_dry; /* the last recv came back short: the next event says when there is more */
    bool is_torn;  /* the kernel has reported an error, and libuv reports nothing after that */
    bool failed;
    bool drain_wanted; /* on_drained is owed */
    bool in_callback;
    bool closed; /* socket_close was called inside a callback */
    struct error error;
};

static void update_poll(struct socket *socket);

static void on_poll_closed(uv_handle_t *handle)
{
    struct socket *socket = handle->data;

    close(socket->fd);
    free(socket);
}

static void destroy(struct socket *socket)
{
    if (socket->layer)
        socket->layer_ops->free(socket->layer);
    loop_undefer(socket->loop, &socket->flush);
    loop_undefer(socket->loop, &socket->poke);
    timer_stop(&socket->linger);
    buf_done(&socket->plain);
    buf_done(&socket->wire);
    uv_close((uv_handle_t *)&socket->poll, on_poll_closed);
}

static void fail(struct socket *socket, int sys_errno, const char *doing)
{
    if (socket->failed)
        return;
    socket->failed = true;
    if (socket->error.kind == ERROR_NONE)
        error_set_errno(&socket->error, ERROR_TEMP, sys_errno, "%s", doing);
    buf_release(&socket->plain);
    buf_release(&socket->wire);
}

/* Calls the owner unless it has let go; false when the socket is gone after. */
static bool tell(struct socket *socket, void (*callback)(void *ctx))
{
    if (!socket->handler || !callback)
        return true;
    socket->in_callback = true;
    callback(socket->ctx);
    socket->in_callback = false;
    if (socket->closed) {
        destroy(socket);
        return false;
    }
    return true;
}

static bool tell_readable(struct socket *socket)
{
    if (!socket->handler) /* lingering: whatever comes is of no interest */
        return true;
    return tell(socket, socket->handler->on_readable);
}

/* ---- writing ---- */

static void send_wire(struct socket *socket)
{
    while (buf_len(&socket->wire) > 0 && !socket->failed) {
        struct span bytes = buf_span(&socket->wire);
        ssize_t sent = send(socket->fd, bytes.data, bytes.len, MSG_NOSIGNAL);

        if (sent >= 0) {
            buf_consume(&socket->wire, (size_t)sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR) {
            fail(socket, errno, "cannot send");
            if (socket->handler)
                socket_poke(socket);
        }
    }
    buf_release(&socket->wire);
}

/* Through the layer, if there is one, to what is on its way to the kernel. */
static void encode_plain(struct socket *socket)
{
    struct span bytes = buf_span(&socket->plain);

    if (!socket->layer || bytes.len == 0)
        return;
    if (socket->layer_ops->write(socket->layer, socket, bytes.data, bytes.len, &socket->error))
        fail(socket, EPROTO, "cannot send");
    buf_release(&socket->plain);
}

void socket_flush(struct socket *socket)
{
    if (socket->connecting || socket->failed)
        return;
    encode_plain(socket);
    send_wire(socket);
    update_poll(socket);
}

/* Nothing is left to send: pays the on_drained that is owed, or ends a lingering
 * socket. False when the socket is gone after. */
static bool settle(struct socket *socket)
{
    if (socket_unsent_bytes(socket) > 0 && !socket->failed)
        return true;
    if (!socket->handler && !socket->connecting) {
        destroy(socket);
        return false;
    }
    if (socket->drain_wanted && !socket->failed) {
        socket->drain_wanted = false;
        return tell(socket, socket->handler->on_drained);
    }
    return true;
}

static void on_flush(struct deferred *deferred)
{
    struct socket *socket = CONTAINER_OF(deferred, struct socket, flush);

    socket_flush(socket);
    settle(socket);
}

int socket_wire_write(struct socket *socket, const void *data, size_t len)
{
    if (socket->failed)
        return -1;
    if (buf_append(&socket->wire, data, len)) {
        fail(socket, ENOBUFS, "too much is waiting to be sent");
        return -1;
    }
    loop_defer(socket->loop, &socket->flush);
    return 0;
}

/* Sends what the kernel takes at once, without copying it first. */
static size_t write_directly(struct socket *socket, const void *data, size_t len)
{
    ssize_t sent;

    if (socket->layer || socket->connecting || buf_len(&socket->wire) > 0 || len < DIRECT_WRITE_BYTES)
        return 0;
    sent = send(socket->fd, data, len, MSG_NOSIGNAL);
    return sent > 0 ? (size_t)sent : 0;
}

/* What was gathered in this turn counts against the ceiling only if the kernel does not take it: a peer that reads may
 * be told a lot in one turn. */
static bool has_room(struct socket *socket, size_t len)
{
    if (socket_unsent_bytes(socket) + len <= socket->write_limit)
        return true;
    socket_flush(socket);
    return !socket->failed && socket_unsent_bytes(socket) + len <= socket->write_limit;
}

int socket_write(struct socket *socket, const void *data, size_t len)
{
    struct buf *out = socket->layer ? &socket->plain : &socket->wire;
    size_t direct;

    if (socket->failed)
        return -1;
    if (!has_room(socket, len))
        return -1;
    direct = write_directly(socket, data, len);
    if (buf_append(out, (const char *)data + direct, len - direct)) {
        fail(socket, ENOMEM, "no memory for what is to be sent");
        return -1;
    }
    socket->drain_wanted = true;
    loop_defer(socket->loop, &socket->flush);
    return 0;
}

void socket_set_write_limit(struct socket *socket, size_t limit_bytes)
{
    socket->write_limit = limit_bytes;
    socket->plain.limit_bytes = limit_bytes;
    /* encoding adds at most 5 + 16 + 1 bytes to each record: an eighth is plenty */
    socket->wire.limit_bytes = limit_bytes + limit_bytes / 8 + 65536;
}

size_t socket_unsent_bytes(const struct socket *socket) { return buf_len(&socket->plain) + buf_len(&socket->wire); }

/* ---- reading ---- */

ssize_t socket_wire_read(struct socket *socket, void *data, size_t len)
{
    ssize_t got;

    if (socket->failed)
        return SOCKET_ERROR;
    if (socket->connecting || socket->read_dry)
        return SOCKET_WAIT;
    do
        got = recv(socket->fd, data, len, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        /* polling is level-triggered, so asking again now would only cost a system call */
        socket->read_dry = (size_t)got < len && !socket->is_torn;
        return got;
    }
    if (got == 0)
        return SOCKET_EOF;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return SOCKET_WAIT;
    fail(socket, errno, "cannot receive");
    return SOCKET_ERROR;
}

ssize_t socket_read(struct socket *socket, void *data, size_t len)
{
    ssize_t got;

    if (!socket->layer || socket->failed)
        return socket_wire_read(socket, data, len);
    got = socket->layer_ops->read(socket->layer, socket, data, len, &socket->error);
    if (got == SOCKET_ERROR)
        fail(socket, EPROTO, "cannot receive");
    return got;
}

static void on_poke(struct deferred *deferred)
{
    struct socket *socket = CONTAINER_OF(deferred, struct socket, poke);

    if (!socket->paused)
        tell_readable(socket);
}

void socket_poke(struct socket *socket) { loop_defer(socket->loop, &socket->poke); }

void socket_pause(struct socket *socket)
{
    socket->paused = true;
    update_poll(socket);
}

void socket_resume(struct socket *socket)
{
    if (!socket->paused)
        return;
    socket->paused = false;
    update_poll(socket);
    /* a layer may hold decoded bytes that no event will announce */
    if (socket->layer || socket->failed)
        socket_poke(socket);
}

/* ---- events ---- */

static bool finish_connecting(struct socket *socket)
{
    int sys_errno = 0;
    socklen_t len = sizeof sys_errno;

    socket->connecting = false;
    getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &sys_errno, &len);
    if (sys_errno) {
        fail(socket, sys_errno, "cannot connect");
        update_poll(socket);
        return tell_readable(socket);
    }
    socket->drain_wanted = true;
    return true;
}

/* A layer first sees whether this is its own business (a handshake); it may tell the owner
 * so, and the owner may then close the socket. */
static void on_wire_readable(struct socket *socket)
{
    bool for_owner = true;

    socket->read_dry = false;
    if (socket->layer) {
        socket->in_callback = true;
        for_owner = socket->layer_ops->on_wire_readable(socket->layer, socket);
        socket->in_callback = false;
        if (socket->closed) {
            destroy(socket);
            return;
        }
    }
    if (for_owner)
        tell_readable(socket);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct socket *socket = poll->data;

    if (status < 0) {
        socket->is_torn = true; /* behind what came before a reset only reading finds the reset */
        events = UV_READABLE;
    }
    if (socket->connecting) {
        if (!finish_connecting(socket) || socket->failed)
            return;
        socket_flush(socket);
        if (!settle(socket))
            return;
        events &= UV_READABLE;
    }
    if (events & UV_WRITABLE) {
        socket_flush(socket);
        if (!settle(socket))
            return;
    }
    if ((events & UV_READABLE) && !socket->paused)
        on_wire_readable(socket);
}

static void update_poll(struct socket *socket)
{
    int events = 0;

    if (!socket->failed) {
        if (socket->connecting || buf_len(&socket->wire) > 0)
            events |= UV_WRITABLE;
        if (!socket->paused && !socket->connecting && socket->handler)
            events |= UV_READABLE;
    }
    if (events == socket->polled_events || uv_is_closing((uv_handle_t *)&socket->poll))
        return;
    socket->polled_events = events;
    if (events)
        uv_poll_start(&socket->poll, events, on_poll);
    else
        uv_poll_stop(&socket->poll);
}

/* ---- birth and death ---- */

struct socket *socket_new(struct loop *loop, int fd, const struct socket_handler *handler, void *ctx,
                          struct error *error)
{
    struct socket *socket = mem_zalloc(sizeof *socket);
    int one = 1;
    int status;

    socket->loop = loop;
    socket->fd = fd;
    socket->handler = handler;
    socket->ctx = ctx;
    socket->poll.data = socket;
    list_node_init(&socket->flush.node);
    list_node_init(&socket->poke.node);
    socket->flush.run = on_flush;
    socket->poke.run = on_poke;
    /* without this, TLS 1.3 tickets meet Nagle and delayed ACK: 40 ms per session */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    status = uv_poll_init(loop_uv(loop), &socket->poll, fd); /* makes it non-blocking */
    if (status) {
        error_set_errno(error, ERROR_TEMP, -status, "cannot watch a socket");
        close(fd);
        free(socket);
        return NULL;
    }
    socket_set_write_limit(socket, DEFAULT_WRITE_LIMIT);
    update_poll(socket);
    return socket;
}

static void on_linger_due(void *ctx) { destroy(ctx); }

struct socket *socket_connect(struct loop *loop, const struct sockaddr *address, const struct sockaddr *source,
                              const struct socket_handler *handler, void *ctx, struct error *error)
{
    char text[SOCKADDR_TEXT_BYTES];
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct socket *made;

    sockaddr_format(address, text);
    if (fd < 0) {
        error_set_errno(error, errno == EMFILE || errno == ENFILE ? ERROR_AGAIN : ERROR_TEMP, errno,
                        "cannot make a socket for %s", text);
        return NULL;
    }
    if (source && bind(fd, source, sockaddr_length(source))) {
        char source_text[SOCKADDR_TEXT_BYTES];

        sockaddr_format(source, source_text);
        error_set_errno(error, ERROR_TEMP, errno, "cannot use source address %s", source_text);
        close(fd);
        return NULL;
    }
    if (connect(fd, address, sockaddr_length(address)) && errno != EINPROGRESS) {
        error_set_errno(error, ERROR_TEMP, errno, "cannot connect to %s", text);
        close(fd);
        return NULL;
    }
    made = socket_new(loop, fd, handler, ctx, error);
    if (made) {
        made->connecting = true;
        update_poll(made);
    }
    return made;
}

void socket_close(struct socket *socket)
{
    if (!socket)
        return;
    socket->handler = NULL;
    if (socket->in_callback)
        socket->closed = true;
    else
        destroy(socket);
}

void socket_close_after_write(struct socket *socket, uint64_t linger_ms)
{
    if (!socket)
        return;
    if (socket->layer && !socket->failed && !socket->connecting) {
        /* the last words and the goodbye leave together: often the peer is gone after the former */
        encode_plain(socket);
        socket->layer_ops->shutdown(socket->layer, socket);
    }
    socket_flush(socket);
    if (socket->failed || socket->connecting || socket_unsent_bytes(socket) == 0) {
        socket_close(socket);
        return;
    }
    socket->handler = NULL;
    timer_init(&socket->linger, socket->loop, on_linger_due, socket);
    timer_start(&socket->linger, linger_ms);
    update_poll(socket);
}

/* ---- layer ---- */

void socket_set_layer(struct socket *socket, const struct socket_layer_ops *ops, void *layer)
{
    MUST(!socket->layer);
    /* what was said before the layer leaves in clear, before it */
    socket_flush(socket);
    socket->layer_ops = ops;
    socket->layer = layer;
}

void *socket_layer(const struct socket *socket) { return socket->layer; }

const struct error *socket_error(const struct socket *socket) { return &socket->error; }

int socket_fd(const struct socket *socket) { return socket->fd; }
