/* SPDX-License-Identifier: Apache-2.0
 *
 * An HTTP server on a port of loopback that gives every request the one answer the test has put in, or misbehaves. It
 * keeps the last request for the test to look at. One thread serves all connections, so one that hangs holds up no
 * other. In a header because test programs are one file each.
 */
#ifndef GATEPOST_TESTS_FAKE_ISSUER_H
#define GATEPOST_TESTS_FAKE_ISSUER_H

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_ISSUER_CONNECTIONS 200
#define FAKE_ISSUER_REQUEST_BYTES 65536

enum fake_issuer_way {
    FAKE_ANSWERS,
    FAKE_HANGS,     /* takes the request and says nothing, like a process that was stopped */
    FAKE_DRIPS,     /* promises more than it ever sends */
    FAKE_CUTS,      /* closes without a word */
    FAKE_TRUNCATES, /* closes in the middle */
    FAKE_FLOODS,    /* sends more than anybody wants */
};

struct fake_issuer_connection {
    int fd;
    size_t len;
    char text[FAKE_ISSUER_REQUEST_BYTES];
};

struct fake_issuer {
    int listener;
    char address[64];
    pthread_t thread;
    atomic_int requests;
    atomic_bool is_ending;

    /* under lock */
    pthread_mutex_t lock;
    enum fake_issuer_way way;
    int status;
    char *body;
    char last[FAKE_ISSUER_REQUEST_BYTES];

    struct fake_issuer_connection *connections[FAKE_ISSUER_CONNECTIONS];
    size_t count;
};

static inline void fake_issuer_send(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);

        if (sent <= 0)
            return;
        data += sent;
        len -= (size_t)sent;
    }
}

static inline void fake_issuer_say(int fd, int status, size_t promised, const char *body, size_t len)
{
    char head[256];

    snprintf(head, sizeof head,
             "HTTP/1.1 %d Whatever\r\nContent-Type: application/json\r\nLocation: /elsewhere\r\n"
             "Content-Length: %zu\r\n\r\n",
             status, promised);
    fake_issuer_send(fd, head, strlen(head));
    fake_issuer_send(fd, body, len);
}

/* False when the connection is to be closed. */
static inline bool fake_issuer_serve(struct fake_issuer *issuer, int fd)
{
    static char much[1 << 20];
    size_t len = issuer->body ? strlen(issuer->body) : 0;

    switch (issuer->way) {
    case FAKE_ANSWERS:
        fake_issuer_say(fd, issuer->status, len, issuer->body, len);
        return true;
    case FAKE_HANGS:
        return true;
    case FAKE_DRIPS:
        fake_issuer_say(fd, issuer->status, len + 1, issuer->body, len);
        return true;
    case FAKE_CUTS:
        return false;
    case FAKE_TRUNCATES:
        fake_issuer_say(fd, issuer->status, len, issuer->body, len / 2);
        return false;
    case FAKE_FLOODS:
        memset(much, ' ', sizeof much);
        fake_issuer_say(fd, issuer->status, sizeof much, much, sizeof much);
        return false;
    }
    return false;
}

/* True when a whole request is there. */
static inline bool fake_issuer_is_whole(const struct fake_issuer_connection *connection)
{
    const char *end = strstr(connection->text, "\r\n\r\n");
    const char *length = strcasestr(connection->text, "\r\nContent-Length:");
    size_t body = 0;

    if (!end)
        return false;
    if (length && length < end)
        body = strtoul(length + 17, NULL, 10);
    return connection->len >= (size_t)(end - connection->text) + 4 + body;
}

static inline bool fake_issuer_read(struct fake_issuer *issuer, struct fake_issuer_connection *connection)
{
    ssize_t got =
        recv(connection->fd, connection->text + connection->len, sizeof connection->text - 1 - connection->len, 0);
    bool goes_on = got > 0;

    if (!goes_on)
        return false;
    connection->len += (size_t)got;
    connection->text[connection->len] = '\0';
    if (!fake_issuer_is_whole(connection))
        return true;
    pthread_mutex_lock(&issuer->lock);
    memcpy(issuer->last, connection->text, connection->len + 1);
    atomic_fetch_add(&issuer->requests, 1);
    goes_on = fake_issuer_serve(issuer, connection->fd);
    pthread_mutex_unlock(&issuer->lock);
    connection->len = 0;
    connection->text[0] = '\0';
    return goes_on;
}

static inline void fake_issuer_drop(struct fake_issuer *issuer, size_t index)
{
    close(issuer->connections[index]->fd);
    free(issuer->connections[index]);
    issuer->connections[index] = issuer->connections[--issuer->count];
}

static inline void fake_issuer_accept(struct fake_issuer *issuer)
{
    int fd = accept(issuer->listener, NULL, NULL);

    if (fd < 0)
        return;
    if (issuer->count == FAKE_ISSUER_CONNECTIONS)
        abort();
    issuer->connections[issuer->count] = calloc(1, sizeof **issuer->connections);
    issuer->connections[issuer->count++]->fd = fd;
}

static inline void *fake_issuer_run(void *arg)
{
    struct fake_issuer *issuer = arg;
    struct pollfd polls[FAKE_ISSUER_CONNECTIONS + 1];

    while (!atomic_load(&issuer->is_ending)) {
        polls[0] = (struct pollfd){.fd = issuer->listener, .events = POLLIN};
        for (size_t i = 0; i < issuer->count; i++)
            polls[i + 1] = (struct pollfd){.fd = issuer->connections[i]->fd, .events = POLLIN};
        poll(polls, issuer->count + 1, -1);
        for (size_t i = issuer->count; i-- > 0;)
            if (polls[i + 1].revents && !fake_issuer_read(issuer, issuer->connections[i]))
                fake_issuer_drop(issuer, i);
        if (polls[0].revents & POLLIN)
            fake_issuer_accept(issuer);
    }
    while (issuer->count > 0)
        fake_issuer_drop(issuer, issuer->count - 1);
    return NULL;
}

/* From now on it does this. `body` may be NULL. */
static inline void fake_issuer_set(struct fake_issuer *issuer, enum fake_issuer_way way, int status, const char *body)
{
    pthread_mutex_lock(&issuer->lock);
    issuer->way = way;
    issuer->status = status;
    free(issuer->body);
    issuer->body = body ? strdup(body) : NULL;
    pthread_mutex_unlock(&issuer->lock);
}

/* True when the last request has `text` in it. */
static inline bool fake_issuer_was_told(struct fake_issuer *issuer, const char *text)
{
    bool was_told;

    pthread_mutex_lock(&issuer->lock);
    was_told = strstr(issuer->last, text) != NULL;
    pthread_mutex_unlock(&issuer->lock);
    return was_told;
}

static inline struct fake_issuer *fake_issuer_start(void)
{
    struct fake_issuer *issuer = calloc(1, sizeof *issuer);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;

    pthread_mutex_init(&issuer->lock, NULL);
    issuer->status = 200;
    issuer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (issuer->listener < 0 || bind(issuer->listener, (struct sockaddr *)&address, sizeof address) ||
        listen(issuer->listener, 128) || getsockname(issuer->listener, (struct sockaddr *)&address, &len) ||
        pthread_create(&issuer->thread, NULL, fake_issuer_run, issuer))
        abort();
    snprintf(issuer->address, sizeof issuer->address, "http://127.0.0.1:%u", ntohs(address.sin_port));
    return issuer;
}

static inline void fake_issuer_stop(struct fake_issuer *issuer)
{
    atomic_store(&issuer->is_ending, true);
    shutdown(issuer->listener, SHUT_RDWR);
    pthread_join(issuer->thread, NULL);
    close(issuer->listener);
    free(issuer->body);
    free(issuer);
}

#endif
