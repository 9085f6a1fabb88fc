/* SPDX-License-Identifier: Apache-2.0
 *
 * The physical limit: raw epoll and OpenSSL, one thread, canned replies. It speaks the dialogue
 * of the load generator, checks nothing and stores nothing. What it costs is the least that this
 * approach can cost; a server that does the work is measured against it.
 *
 * Its TLS is what the library does when nobody tunes it (AES-256, two tickets), but for the two
 * settings without which the comparison would be unfair: no Nagle, and idle buffers released.
 *
 *   bench-ceiling      prints the port it listens on, and runs until it is killed
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LINE_BYTES 512
#define OUT_BYTES 1024

struct session {
    int fd;
    SSL *ssl;
    bool shaking;
    bool data;       /* between 354 and the end of data */
    bool ending;     /* after QUIT */
    unsigned at_end; /* octets seen of CR LF . CR LF */
    size_t line_len;
    char line[LINE_BYTES];
};

/* Replies gather while one read is worked off, and leave in one write. */
struct out {
    size_t len;
    char data[OUT_BYTES];
};

static int poller;
static SSL_CTX *context;

static void fail(const char *what)
{
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* ---- a certificate ---- */

static SSL_CTX *make_context(void)
{
    SSL_CTX *made = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();

    if (!made || !key || !certificate)
        fail("certificate");
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)"ceiling.example", -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_set_pubkey(certificate, key);
    if (!X509_sign(certificate, key, EVP_sha256()) || SSL_CTX_use_certificate(made, certificate) != 1 ||
        SSL_CTX_use_PrivateKey(made, key) != 1)
        fail("certificate");
    X509_free(certificate);
    EVP_PKEY_free(key);
    SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS);
    return made;
}

/* ---- the dialogue ---- */

static void say(struct out *out, const char *text)
{
    size_t len = strlen(text);

    if (out->len + len <= sizeof out->data) {
        memcpy(out->data + out->len, text, len);
        out->len += len;
    }
}

static bool is_verb(const struct session *session, const char *verb)
{
    return session->line_len >= 4 && !strncasecmp(session->line, verb, 4);
}

static void on_line(struct session *session, struct out *out)
{
    if (is_verb(session, "EHLO")) {
        say(out, "250-ceiling.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n");
        say(out, session->ssl ? "250 AUTH PLAIN\r\n" : "250 STARTTLS\r\n");
    } else if (is_verb(session, "STAR")) {
        say(out, "220 2.0.0 ready\r\n");
        session->shaking = true;
    } else if (is_verb(session, "AUTH")) {
        say(out, "235 2.7.0 yes\r\n");
    } else if (is_verb(session, "DATA")) {
        say(out, "354 go on\r\n");
        session->data = true;
        session->at_end = 2; /* an empty message begins with its end */
    } else if (is_verb(session, "QUIT")) {
        say(out, "221 2.0.0 bye\r\n");
        session->ending = true;
    } else {
        say(out, "250 2.0.0 ok\r\n");
    }
}

/* How much of `data` belongs to the message. */
static size_t skip_message(struct session *session, const char *data, size_t len, struct out *out)
{
    static const char end[] = "\r\n.\r\n";
    size_t i = 0;

    while (i < len) {
        if (session->at_end == 0) {
            const char *next = memchr(data + i, '\r', len - i);

            if (!next)
                return len;
            i = (size_t)(next - data);
        }
        session->at_end = data[i] == end[session->at_end] ? session->at_end + 1 : data[i] == '\r';
        i++;
        if (session->at_end == 5) {
            session->data = false;
            say(out, "250 2.0.0 taken\r\n");
            break;
        }
    }
    return i;
}

static size_t take_line(struct session *session, const char *data, size_t len, struct out *out)
{
    const char *end = memchr(data, '\n', len);
    size_t taken = end ? (size_t)(end - data) + 1 : len;
    size_t room = sizeof session->line - session->line_len;

    memcpy(session->line + session->line_len, data, taken < room ? taken : room);
    session->line_len += taken < room ? taken : room;
    if (end) {
        on_line(session, out);
        session->line_len = 0;
    }
    return taken;
}

static void on_bytes(struct session *session, const char *data, size_t len, struct out *out)
{
    while (len > 0 && !session->ending && !(session->shaking && !session->ssl)) {
        size_t taken = session->data ? skip_message(session, data, len, out) : take_line(session, data, len, out);

        data += taken;
        len -= taken;
    }
}

/* ---- bytes in and out; false is the end ---- */

static bool flush(struct session *session, struct out *out)
{
    bool done =
        out->len == 0 || (session->ssl ? SSL_write(session->ssl, out->data, (int)out->len) == (int)out->len
                                       : send(session->fd, out->data, out->len, MSG_NOSIGNAL) == (ssize_t)out->len);

    out->len = 0;
    return done;
}

static bool shake(struct session *session)
{
    int status;

    if (!session->ssl) {
        session->ssl = SSL_new(context);
        SSL_set_fd(session->ssl, session->fd);
        SSL_set_accept_state(session->ssl);
    }
    ERR_clear_error();
    status = SSL_do_handshake(session->ssl);
    session->shaking = status != 1;
    return status == 1 || SSL_get_error(session->ssl, status) == SSL_ERROR_WANT_READ;
}

static ssize_t get(struct session *session, char *data, size_t len)
{
    ssize_t got;

    if (!session->ssl) {
        got = recv(session->fd, data, len, 0);
        return got < 0 && errno == EAGAIN ? -1 : got > 0 ? got : 0;
    }
    ERR_clear_error();
    got = SSL_read(session->ssl, data, (int)len);
    if (got > 0)
        return got;
    return SSL_get_error(session->ssl, (int)got) == SSL_ERROR_WANT_READ ? -1 : 0;
}

static bool on_event(struct session *session)
{
    char data[16384];
    struct out out = {0};

    if (session->shaking && !shake(session))
        return false;
    while (!session->shaking) {
        bool plain = !session->ssl;
        ssize_t got = get(session, data, sizeof data);

        if (got < 0)
            return true;
        if (got == 0)
            return false;
        on_bytes(session, data, (size_t)got, &out);
        if (!flush(session, &out))
            return false;
        if (session->ending) {
            if (session->ssl)
                SSL_shutdown(session->ssl);
            return false;
        }
        if (plain) /* a client in clear waits for its reply: asking again would be a call for nothing */
            return true;
    }
    return true;
}

static void accept_session(int listener)
{
    static const char banner[] = "220 ceiling.example ESMTP\r\n";
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct session *session;
    struct epoll_event event = {.events = EPOLLIN};
    int one = 1;

    if (fd < 0)
        return;
    session = calloc(1, sizeof *session);
    if (!session)
        abort();
    session->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    event.data.ptr = session;
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    if (send(fd, banner, sizeof banner - 1, MSG_NOSIGNAL) < 0)
        perror("bench-ceiling: send"); /* the next read will say that it is gone */
}

static int open_listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&address, &len))
        fail("bench-ceiling: listen");
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    struct epoll_event events[256];
    int listener;

    context = make_context();
    poller = epoll_create1(EPOLL_CLOEXEC);
    listener = open_listener();
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poller, events, 256, -1);

        for (int i = 0; i < count; i++) {
            struct session *session = events[i].data.ptr;

            if (!session) {
                accept_session(listener);
            } else if (!on_event(session)) {
                SSL_free(session->ssl);
                close(session->fd);
                free(session);
            }
        }
    }
}
