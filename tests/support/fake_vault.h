/* SPDX-License-Identifier: Apache-2.0
 *
 * A small HTTP server on a port of loopback that speaks Vault's KV version 2 with its real
 * statuses and bodies, and misbehaves on request: the last part of the path says how. Every
 * connection has a thread of its own, so that one that hangs holds up no other. In a header
 * because test programs are one file each.
 */
#ifndef GATEPOST_TESTS_FAKE_VAULT_H
#define GATEPOST_TESTS_FAKE_VAULT_H

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_VAULT_TOKEN "hvs.token-of-the-test"
#define FAKE_VAULT_CONNECTIONS 256

struct fake_vault {
    int listener;
    unsigned short port;
    char address[64];
    pthread_t thread;
    pthread_t workers[FAKE_VAULT_CONNECTIONS];
    int fds[FAKE_VAULT_CONNECTIONS];
    atomic_int connections;
    atomic_int requests;
    pthread_mutex_t lock;
    char last_path[512];
    int last_had_token;
};

struct fake_vault_connection {
    struct fake_vault *vault;
    int fd;
};

static void fake_vault_send(int fd, const char *text) { (void)!send(fd, text, strlen(text), MSG_NOSIGNAL); }

static void fake_vault_answer(int fd, const char *status, const char *body)
{
    char text[4096];

    snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             status, strlen(body), body);
    fake_vault_send(fd, text);
}

static void fake_vault_wait_gone(int fd)
{
    char ignored[256];

    while (recv(fd, ignored, sizeof ignored, 0) > 0)
        ;
}

static void fake_vault_drip(int fd)
{
    struct pollfd gone = {.fd = fd, .events = POLLIN};

    fake_vault_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (send(fd, " ", 1, MSG_NOSIGNAL) == 1 && poll(&gone, 1, 10) == 0)
        ;
}

static void fake_vault_flood(int fd)
{
    static const char block[8192];

    fake_vault_send(fd, "HTTP/1.1 200 OK\r\n\r\n");
    while (send(fd, block, sizeof block, MSG_NOSIGNAL) > 0)
        ;
}

static void fake_vault_header_flood(int fd)
{
    fake_vault_send(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 100000; i++)
        if (send(fd, "X-Long: 0123456789012345678901234567890123456789\r\n", 50, MSG_NOSIGNAL) != 50)
            return;
}

/* 0 when the connection stays open. */
static int fake_vault_serve(struct fake_vault *vault, int fd, const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    char location[256];

    if (!strcmp(name, "hang"))
        return fake_vault_wait_gone(fd), 1;
    if (!strcmp(name, "slow"))
        return fake_vault_drip(fd), 1;
    if (!strcmp(name, "flood"))
        return fake_vault_flood(fd), 1;
    if (!strcmp(name, "headers"))
        return fake_vault_header_flood(fd), 1;
    if (!strcmp(name, "truncated"))
        return fake_vault_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"data\":{\"data\":{\"key\":\"tig"),
               1;
    if (!strcmp(name, "cut"))
        return 1;
    if (!strcmp(name, "redirect")) {
        snprintf(location, sizeof location,
                 "HTTP/1.1 307 Temporary Redirect\r\nLocation: %s/v1/secret/data/scott\r\n"
                 "Content-Length: 0\r\n\r\n",
                 vault->address);
        return fake_vault_send(fd, location), 0;
    }
    if (!strcmp(name, "denied"))
        return fake_vault_answer(fd, "403 Forbidden", "{\"errors\":[\"permission denied\"]}\n"), 0;
    if (!strcmp(name, "sealed"))
        return fake_vault_answer(fd, "503 Service Unavailable", "{\"errors\":[\"Vault is sealed\"]}\n"), 0;
    if (!strcmp(name, "busy"))
        return fake_vault_answer(fd, "429 Too Many Requests", "{\"errors\":[\"request path is rate limited\"]}\n"), 0;
    if (!strcmp(name, "broken"))
        return fake_vault_answer(fd, "500 Internal Server Error", "{\"errors\":[\"internal error\"]}\n"), 0;
    if (!strcmp(name, "garbage"))
        return fake_vault_answer(fd, "200 OK", "<html>It works!</html>"), 0;
    if (!strcmp(name, "notvault"))
        return fake_vault_answer(fd, "404 Not Found", "<html>nginx</html>"), 0;
    if (!strcmp(name, "version1"))
        return fake_vault_answer(fd, "200 OK", "{\"data\":{\"key\":\"tiger\"}}"), 0;
    if (!strcmp(name, "deleted"))
        return fake_vault_answer(fd, "404 Not Found",
                                 "{\"request_id\":\"x\",\"data\":{\"data\":null,\"metadata\":{\"deletion_time\":"
                                 "\"2026-01-01T00:00:00Z\",\"destroyed\":false,\"version\":1}}}"),
               0;
    if (strstr(path, "/nomount/"))
        return fake_vault_answer(
                   fd, "404 Not Found",
                   "{\"errors\":[\"no handler for route \\\"nomount/data/x\\\". route entry not found.\"]}\n"),
               0;
    if (!strcmp(name, "scott"))
        return fake_vault_answer(
                   fd, "200 OK",
                   "{\"request_id\":\"x\",\"data\":{\"data\":{\"key\":\"tiger\",\"number\":5,\"password\":"
                   "\"other\"},\"metadata\":{\"destroyed\":false,\"version\":1}},\"warnings\":null}"),
               0;
    return fake_vault_answer(fd, "404 Not Found", "{\"errors\":[]}\n"), 0;
}

static void *fake_vault_connection_run(void *arg)
{
    struct fake_vault_connection connection = *(struct fake_vault_connection *)arg;
    struct fake_vault *vault = connection.vault;
    char text[8192];
    size_t len = 0;
    int closing = 0;

    free(arg);
    while (!closing) {
        ssize_t got = recv(connection.fd, text + len, sizeof text - 1 - len, 0);
        char path[512] = "/";
        bool has_token;
        char *end;

        if (got <= 0)
            break;
        len += (size_t)got;
        text[len] = '\0';
        end = strstr(text, "\r\n\r\n");
        if (!end)
            continue;
        sscanf(text, "%*s %511s", path);
        pthread_mutex_lock(&vault->lock);
        strcpy(vault->last_path, path);
        has_token = strstr(text, "X-Vault-Token: " FAKE_VAULT_TOKEN "\r\n") != NULL;
        vault->last_had_token = has_token;
        pthread_mutex_unlock(&vault->lock);
        atomic_fetch_add(&vault->requests, 1);
        len = 0; /* no pipelining, no bodies */
        closing =
            has_token
                ? fake_vault_serve(vault, connection.fd, path)
                : (fake_vault_answer(connection.fd, "403 Forbidden", "{\"errors\":[\"permission denied\"]}\n"), 0);
    }
    shutdown(connection.fd, SHUT_RDWR);
    return NULL;
}

static void *fake_vault_run(void *arg)
{
    struct fake_vault *vault = arg;
    int fd;

    while ((fd = accept(vault->listener, NULL, NULL)) >= 0) {
        struct fake_vault_connection *connection = malloc(sizeof *connection);
        int n = atomic_load(&vault->connections);

        if (!connection || n == FAKE_VAULT_CONNECTIONS)
            abort();
        *connection = (struct fake_vault_connection){vault, fd};
        vault->fds[n] = fd;
        /* before there is a worker: it may have answered everything before this thread goes on */
        atomic_store(&vault->connections, n + 1);
        if (pthread_create(&vault->workers[n], NULL, fake_vault_connection_run, connection))
            abort();
    }
    return NULL;
}

static void fake_vault_start(struct fake_vault *vault)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;

    memset(vault, 0, sizeof *vault);
    pthread_mutex_init(&vault->lock, NULL);
    vault->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (vault->listener < 0 || bind(vault->listener, (struct sockaddr *)&address, sizeof address) ||
        listen(vault->listener, 64) || getsockname(vault->listener, (struct sockaddr *)&address, &len) ||
        pthread_create(&vault->thread, NULL, fake_vault_run, vault))
        abort();
    vault->port = ntohs(address.sin_port);
    snprintf(vault->address, sizeof vault->address, "http://127.0.0.1:%u", vault->port);
}

static void fake_vault_stop(struct fake_vault *vault)
{
    shutdown(vault->listener, SHUT_RDWR);
    pthread_join(vault->thread, NULL);
    close(vault->listener);
    for (int i = 0; i < atomic_load(&vault->connections); i++) {
        shutdown(vault->fds[i], SHUT_RDWR);
        pthread_join(vault->workers[i], NULL);
        close(vault->fds[i]);
    }
}

#endif
