/* SPDX-License-Identifier: Apache-2.0
 *
 * The clients: one epoll, one thread, each connection going through the dialogue step by step.
 *
 * A step that pipelines commands says them in one write and waits for all replies. Connections
 * are cut with a reset after the last reply, because a million TIME_WAITs of our own would run
 * out of ports.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define LATENCIES_MOST ((size_t)1 << 22)
#define DRAIN_US 20000000 /* a dialogue that has begun and takes longer has failed */
#define COMPLAINTS_MOST 3
#define PAUSE_GRAIN_MS 2
#define OPENING_MOST 32 /* of sessions that are to be held: a thousand handshakes at once is another test */

struct connection {
    struct clients *clients;
    int fd; /* -1 when closed */
    SSL *ssl;
    bool shaking;
    bool want_write;
    size_t step;
    size_t sent;
    size_t replies;
    char line[512];
    size_t line_len;
    char *proof;
    uint64_t began_us;
    uint64_t due_us; /* of the next session, while it pauses; 0: it does not */
};

struct clients {
    /* fixed */
    struct sockaddr_in server;
    const struct dialogue *dialogue;
    bool hold;
    uint64_t units_most;
    uint64_t pause_us;
    struct sockaddr_in source;
    size_t sources;
    int poller;
    SSL_CTX *context;
    size_t count;

    bool over;    /* no new sessions */
    size_t begun; /* of the connections, those that were opened at least once */
    size_t open;
    struct counts counts;
    uint32_t *latencies;
    size_t latency_count;
    struct connection connections[];
};

uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void note_latency(struct connection *connection)
{
    struct clients *clients = connection->clients;
    uint64_t now = now_us();

    if (clients->latency_count < LATENCIES_MOST)
        clients->latencies[clients->latency_count++] = (uint32_t)(now - connection->began_us);
    connection->began_us = now;
}

static void watch(struct connection *connection, int operation, bool write)
{
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0u), .data.ptr = connection};

    epoll_ctl(connection->clients->poller, operation, connection->fd, &event);
    connection->want_write = write;
}

/* The port is left to connect(), which need not find one that no other address has. */
static void bind_source(struct clients *clients, const struct connection *connection)
{
    struct sockaddr_in source = clients->source;
    size_t nth = clients->sources ? (size_t)(connection - clients->connections) % clients->sources : 0;
    int one = 1;

    source.sin_addr.s_addr = htonl(ntohl(source.sin_addr.s_addr) + (uint32_t)nth);
    setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(connection->fd, (struct sockaddr *)&source, sizeof source)) {
        perror("bench-load: bind");
        exit(1);
    }
}

static void open_connection(struct clients *clients, struct connection *connection)
{
    int one = 1;
    struct linger reset = {1, 0};

    *connection = (struct connection){.clients = clients, .began_us = now_us()};
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        perror("bench-load: socket");
        exit(1);
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (clients->source.sin_family)
        bind_source(clients, connection);
    if (connect(connection->fd, (struct sockaddr *)&clients->server, sizeof clients->server) && errno != EINPROGRESS) {
        perror("bench-load: connect");
        exit(1);
    }
    watch(connection, EPOLL_CTL_ADD, false);
    clients->open++;
}

static void open_next(struct clients *clients)
{
    if (clients->begun < clients->count)
        open_connection(clients, &clients->connections[clients->begun++]);
}

static void close_connection(struct connection *connection)
{
    SSL_free(connection->ssl);
    free(connection->proof);
    connection->proof = NULL;
    close(connection->fd);
    connection->ssl = NULL;
    connection->fd = -1;
    connection->clients->open--;
}

static void end_session(struct connection *connection, bool failed)
{
    struct clients *clients = connection->clients;

    if (failed)
        clients->counts.failures++;
    else
        clients->counts.sessions++;
    close_connection(connection);
    if (clients->pause_us)
        connection->due_us = now_us() + clients->pause_us / 2 + (uint64_t)random() % clients->pause_us;
    else if (!clients->over)
        open_connection(clients, connection);
}

static void open_due(struct clients *clients)
{
    uint64_t now = now_us();

    for (size_t i = 0; i < clients->begun; i++) {
        struct connection *connection = &clients->connections[i];

        if (connection->fd < 0 && connection->due_us <= now)
            open_connection(clients, connection);
    }
}

/* ---- bytes: -1 with EAGAIN, or with another errno for the end ---- */

static ssize_t put(struct connection *connection, const char *data, size_t len)
{
    int done;

    if (!connection->ssl)
        return send(connection->fd, data, len, MSG_NOSIGNAL);
    ERR_clear_error();
    done = SSL_write(connection->ssl, data, (int)len);
    if (done > 0)
        return done;
    errno = SSL_get_error(connection->ssl, done) == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
}

static ssize_t get(struct connection *connection, char *data, size_t len)
{
    ssize_t done;

    if (!connection->ssl) {
        done = recv(connection->fd, data, len, 0);
    } else {
        ERR_clear_error();
        done = SSL_read(connection->ssl, data, (int)len);
        if (done <= 0)
            errno = SSL_get_error(connection->ssl, (int)done) == SSL_ERROR_WANT_READ ? EAGAIN : ECONNRESET;
    }
    if (done == 0)
        errno = ECONNRESET;
    return done > 0 ? done : -1;
}

/* ---- steps; false is the end of the connection, and a failure ---- */

static const struct step *step_of(const struct connection *connection)
{
    return &connection->clients->dialogue->steps[connection->step];
}

static bool speak(struct connection *connection)
{
    const struct step *step = step_of(connection);
    const char *say = step->is_proof ? connection->proof : step->say;
    size_t len = step->is_proof ? strlen(say) : step->say_len;

    while (connection->sent < len) {
        ssize_t done = put(connection, say + connection->sent, len - connection->sent);

        if (done < 0) {
            if (errno == EAGAIN && !connection->want_write)
                watch(connection, EPOLL_CTL_MOD, true);
            return errno == EAGAIN;
        }
        connection->sent += (size_t)done;
    }
    if (connection->want_write)
        watch(connection, EPOLL_CTL_MOD, false);
    return true;
}

static bool shake(struct connection *connection)
{
    int status;

    ERR_clear_error();
    status = SSL_do_handshake(connection->ssl);
    if (status != 1)
        return SSL_get_error(connection->ssl, status) == SSL_ERROR_WANT_READ;
    connection->shaking = false;
    return speak(connection);
}

static bool start_tls(struct connection *connection)
{
    connection->ssl = SSL_new(connection->clients->context);
    if (!connection->ssl)
        return false;
    SSL_set_fd(connection->ssl, connection->fd);
    SSL_set_connect_state(connection->ssl);
    connection->shaking = true;
    return shake(connection);
}

enum heard { HEARD_MORE, HEARD_END, HEARD_WRONG };

/* All replies of a step are in. */
static enum heard next_step(struct connection *connection)
{
    struct clients *clients = connection->clients;
    const struct dialogue *dialogue = clients->dialogue;
    const struct step *former = step_of(connection);

    connection->sent = 0;
    connection->replies = 0;
    connection->step++;
    if (former->ends_message) {
        clients->counts.messages++;
        if (dialogue->again_from)
            note_latency(connection);
        if (dialogue->again_from && !clients->over)
            connection->step = dialogue->again_from;
    }
    if (connection->step == dialogue->count) {
        if (clients->hold) {
            connection->step--; /* whatever the server says from now on is wrong */
            clients->counts.held++;
            open_next(clients);
            return HEARD_MORE;
        }
        if (!dialogue->again_from)
            note_latency(connection);
        return HEARD_END;
    }
    if (step_of(connection)->is_proof) {
        connection->line[connection->line_len] = '\0';
        connection->proof = scram_final(dialogue->login, connection->ssl, connection->line + 4);
        if (!connection->proof)
            return HEARD_WRONG;
    }
    return (former->tls_after ? start_tls(connection) : speak(connection)) ? HEARD_MORE : HEARD_WRONG;
}

static bool is_expected(char code, char digit) { return code == '-' ? digit == '4' || digit == '5' : digit == code; }

static enum heard hear_line(struct connection *connection)
{
    const struct step *step = step_of(connection);
    struct counts *counts = &connection->clients->counts;

    if (connection->line_len > 3 && connection->line[3] == '-')
        return HEARD_MORE;
    if (step->codes[connection->replies] == '-' && connection->line[0] == '4')
        counts->deferred++;
    if (connection->line_len < 3 || !is_expected(step->codes[connection->replies], connection->line[0])) {
        connection->line[connection->line_len] = '\0';
        if (counts->failures < COMPLAINTS_MOST)
            fprintf(stderr, "bench-load: step %zu was answered '%s'\n", connection->step, connection->line);
        return HEARD_WRONG;
    }
    connection->replies++;
    return step->codes[connection->replies] ? HEARD_MORE : next_step(connection);
}

static enum heard hear(struct connection *connection, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        enum heard heard;

        if (data[i] != '\n') {
            if (data[i] != '\r' && connection->line_len < sizeof connection->line - 1)
                connection->line[connection->line_len++] = data[i];
            continue;
        }
        heard = hear_line(connection);
        connection->line_len = 0;
        if (heard != HEARD_MORE)
            return heard;
    }
    return HEARD_MORE;
}

static enum heard on_event(struct connection *connection, uint32_t events)
{
    char data[16384];

    if (connection->shaking && !shake(connection))
        return HEARD_WRONG;
    if (connection->shaking)
        return HEARD_MORE;
    if ((events & EPOLLOUT) && !speak(connection))
        return HEARD_WRONG;
    for (;;) {
        ssize_t got = get(connection, data, sizeof data);
        enum heard heard;

        if (got < 0)
            return errno == EAGAIN ? HEARD_MORE : HEARD_WRONG;
        heard = hear(connection, data, (size_t)got);
        /* after a handshake has begun, the next bytes are the library's */
        if (heard != HEARD_MORE || connection->shaking)
            return heard;
    }
}

/* ---- all of them ---- */

static void run_turn(struct clients *clients)
{
    struct epoll_event events[256];
    int count = epoll_wait(clients->poller, events, 256, clients->pause_us ? PAUSE_GRAIN_MS : 100);

    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        enum heard heard = on_event(connection, events[i].events);

        if (heard != HEARD_MORE)
            end_session(connection, heard == HEARD_WRONG);
    }
    if (clients->pause_us && !clients->over)
        open_due(clients);
}

static void give_up(struct clients *clients)
{
    for (size_t i = 0; i < clients->count; i++)
        if (clients->connections[i].fd >= 0) {
            clients->counts.failures++;
            close_connection(&clients->connections[i]);
        }
}

static volatile sig_atomic_t is_terminated;

static void on_term(int number)
{
    (void)number;
    is_terminated = 1;
}

static bool is_enough(const struct clients *clients)
{
    const struct counts *counts = &clients->counts;
    uint64_t units = clients->dialogue->again_from ? counts->messages : counts->sessions;

    if (clients->hold)
        return counts->held >= clients->count;
    return is_terminated || (clients->units_most && units + counts->failures >= clients->units_most);
}

void clients_run(struct clients *clients, double seconds)
{
    uint64_t until = now_us() + (uint64_t)(seconds * 1e6);
    size_t at_once = clients->hold && clients->count > OPENING_MOST ? OPENING_MOST : clients->count;

    clients->over = false;
    for (clients->begun = 0; clients->begun < at_once;)
        open_next(clients);
    while (now_us() < until && !is_enough(clients))
        run_turn(clients);
    if (clients->hold)
        return;
    clients->over = true;
    until = now_us() + DRAIN_US;
    while (clients->open > 0 && now_us() < until)
        run_turn(clients);
    give_up(clients);
}

void clients_stay(struct clients *clients)
{
    while (!is_terminated)
        run_turn(clients);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

struct counts clients_counts(struct clients *clients)
{
    struct counts counts = clients->counts;
    size_t count = clients->latency_count;

    qsort(clients->latencies, count, sizeof *clients->latencies, compare);
    if (count > 0) {
        counts.p50_us = clients->latencies[count / 2];
        counts.p99_us = clients->latencies[count - 1 - count / 100];
    }
    return counts;
}

void clients_clear(struct clients *clients)
{
    clients->counts = (struct counts){0};
    clients->latency_count = 0;
}

static void use_certificate(struct clients *clients, const char *path)
{
    if (SSL_CTX_use_certificate_chain_file(clients->context, path) != 1 ||
        SSL_CTX_use_PrivateKey_file(clients->context, path, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "bench-load: %s has no certificate with its key\n", path);
        exit(2);
    }
}

struct clients *clients_new(const struct clients_options *options, const struct dialogue *dialogue)
{
    struct clients *clients = calloc(1, sizeof *clients + options->count * sizeof clients->connections[0]);

    if (!clients)
        abort();
    clients->server = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(options->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (options->source && inet_pton(AF_INET, options->source, &clients->source.sin_addr) == 1)
        clients->source.sin_family = AF_INET;
    clients->dialogue = dialogue;
    clients->sources = options->sources;
    clients->hold = options->hold;
    clients->pause_us = options->pause_us;
    clients->units_most = options->units_most;
    signal(SIGTERM, on_term);
    clients->count = options->count;
    clients->poller = epoll_create1(EPOLL_CLOEXEC);
    clients->latencies = malloc(LATENCIES_MOST * sizeof *clients->latencies);
    clients->context = SSL_CTX_new(TLS_client_method());
    if (!clients->latencies || !clients->context || clients->poller < 0)
        abort();
    SSL_CTX_set_verify(clients->context, SSL_VERIFY_NONE, NULL);
    if (options->certificate)
        use_certificate(clients, options->certificate);
    SSL_CTX_set_session_cache_mode(clients->context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(clients->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
    return clients;
}
