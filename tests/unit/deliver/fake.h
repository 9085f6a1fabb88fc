/* SPDX-License-Identifier: Apache-2.0
 *
 * A mail server that follows a script, on the loop of the session under test. A script is a
 * list of steps, NULL at the end; after it the server goes on reading and says no more.
 *
 *     "S220 hello"  send this line          "s..."  send these bytes, no line end
 *     "CMAIL FROM"  a line that begins so   "B"     read a text up to its end
 *     "T"           TLS handshake           "X"     close
 *     "O"           send replies for ever
 */
#ifndef GATEPOST_TEST_FAKE_H
#define GATEPOST_TEST_FAKE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "loop/listener.h"
#include "loop/socket.h"
#include "tls/tls.h"

#define FAKE_CONNECTIONS 8

struct fake;

struct fake_connection {
    struct fake *fake;
    struct socket *socket;
    const char *const *step;
    struct buf input;
    bool is_waiting; /* for a handshake */
};

struct fake {
    struct loop *loop;
    struct listener *listener;
    struct sockaddr_storage address;
    struct tls_server *tls;
    const char *const *scripts[FAKE_CONNECTIONS];
    struct fake_connection connections[FAKE_CONNECTIONS];
    size_t accepted;
    size_t open;
    struct buf heard; /* all command lines, each ended by LF */
    struct buf body;  /* the last text, as it stood on the wire */
    char unexpected[512];
};

static void fake_run(struct fake_connection *connection);

static void fake_close(struct fake_connection *connection)
{
    if (!connection->socket)
        return;
    socket_flush(connection->socket);
    socket_close(connection->socket);
    connection->socket = NULL;
    buf_done(&connection->input);
    connection->fake->open--;
}

static bool fake_take_line(struct fake_connection *connection, const char *wanted)
{
    struct span input = buf_span(&connection->input);
    size_t end = span_find(input, '\n');
    struct span line;

    if (end == input.len)
        return false;
    line = span_trim(span_head(input, end));
    MUST(buf_appendf(&connection->fake->heard, "%.*s\n", SPAN_ARG(line)) == 0);
    if (wanted && !span_starts_with(line, span_of(wanted)))
        snprintf(connection->fake->unexpected, sizeof connection->fake->unexpected, "'%.*s' instead of '%s'",
                 SPAN_ARG(line), wanted);
    buf_consume(&connection->input, end + 1);
    return true;
}

static bool fake_take_body(struct fake_connection *connection)
{
    struct span input = buf_span(&connection->input);
    const char *end = memmem(input.data, input.len, "\r\n.\r\n", 5);
    size_t len = end ? (size_t)(end - input.data) + 5 : 0;

    if (span_starts_with(input, SPAN_LIT(".\r\n")))
        len = 3;
    if (len == 0)
        return false;
    buf_clear(&connection->fake->body);
    MUST(buf_append(&connection->fake->body, input.data, len) == 0);
    buf_consume(&connection->input, len);
    return true;
}

static void fake_on_tls(void *ctx, const struct error *error)
{
    struct fake_connection *connection = ctx;

    if (error) {
        fake_close(connection);
        return;
    }
    connection->is_waiting = false;
    fake_run(connection);
}

static void fake_start_tls(struct fake_connection *connection)
{
    socket_flush(connection->socket);
    connection->is_waiting = true;
    MUST(tls_accept(connection->socket, connection->fake->tls, fake_on_tls, connection, NULL) == 0);
}

/* Does one step; false when it must wait. */
static bool fake_do(struct fake_connection *connection, const char *step)
{
    switch (step[0]) {
    case 'S':
    case 's':
        MUST(socket_write(connection->socket, step + 1, strlen(step + 1)) == 0);
        return step[0] == 's' || socket_write(connection->socket, "\r\n", 2) == 0;
    case 'C':
        return fake_take_line(connection, step + 1);
    case 'B':
        return fake_take_body(connection);
    case 'T':
        fake_start_tls(connection);
        return true;
    case 'O':
        for (int i = 0; i < 20000; i++)
            MUST(socket_write(connection->socket, "250-more\r\n", 10) == 0);
        return true;
    default:
        MUST(step[0] == 'X');
        fake_close(connection);
        return true;
    }
}

static void fake_run(struct fake_connection *connection)
{
    while (connection->socket && !connection->is_waiting && *connection->step) {
        if (!fake_do(connection, *connection->step))
            return;
        connection->step++;
    }
    while (connection->socket && !connection->is_waiting && fake_take_line(connection, NULL))
        ;
}

static void fake_on_readable(void *ctx)
{
    struct fake_connection *connection = ctx;

    while (connection->socket) {
        char *room = buf_reserve(&connection->input, 65536);
        ssize_t got;

        MUST(room);
        got = socket_read(connection->socket, room, 65536);
        if (got == SOCKET_WAIT)
            return;
        if (got < 0) {
            fake_close(connection);
            return;
        }
        buf_commit(&connection->input, (size_t)got);
        fake_run(connection);
    }
}

static void fake_on_accept(void *ctx, int fd, const struct sockaddr *peer)
{
    static const struct socket_handler handler = {.on_readable = fake_on_readable};
    struct fake *fake = ctx;
    struct fake_connection *connection = &fake->connections[fake->accepted];

    (void)peer;
    MUST(fake->accepted < FAKE_CONNECTIONS && fake->scripts[fake->accepted]);
    *connection = (struct fake_connection){.fake = fake, .step = fake->scripts[fake->accepted++]};
    buf_init(&connection->input, 64 << 20);
    connection->socket = socket_new(fake->loop, fd, &handler, connection, NULL);
    MUST(connection->socket);
    fake->open++;
    fake_run(connection);
}

static void fake_start(struct fake *fake, struct loop *loop)
{
    struct sockaddr_storage any;
    int fd;

    *fake = (struct fake){.loop = loop};
    buf_init(&fake->heard, 1 << 20);
    buf_init(&fake->body, 64 << 20);
    MUST(sockaddr_parse(SPAN_LIT("127.0.0.1:0"), &any, NULL) == 0);
    fd = listener_bind((struct sockaddr *)&any, &fake->address, NULL);
    MUST(fd >= 0);
    fake->listener = listener_new(loop, fd, fake_on_accept, NULL, fake, NULL);
    MUST(fake->listener);
}

static uint16_t fake_port(const struct fake *fake) { return sockaddr_port((const struct sockaddr *)&fake->address); }

static void fake_stop(struct fake *fake)
{
    for (size_t i = 0; i < fake->accepted; i++)
        fake_close(&fake->connections[i]);
    listener_free(fake->listener);
    tls_server_free(fake->tls);
    buf_done(&fake->heard);
    buf_done(&fake->body);
}

#endif
