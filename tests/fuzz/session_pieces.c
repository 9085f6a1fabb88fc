/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's whole side of a connection, sent at once and then in pieces: a byte, or some, at a time. The network
 * chooses where a stream is cut, so it may change nothing: not the answers, not what is taken, not where a message
 * ends. The first byte chooses the listener (line endings; a PROXY header that must come first), the second the
 * size of the pieces.
 */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "log/diag.h"
#include "receive/receive_private.h"

#define INPUT_MOST 4096
#define LISTENERS 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct receive_listener *listeners[LISTENERS];
static struct buf *heard; /* of the session that is under way: answers, and what was taken */

static void append(const void *data, size_t len) { MUST(buf_append(heard, data, len) == 0); }

static void note(const struct message *message)
{
    struct span body = bytes_span(message_body(message));

    MUST(buf_appendf(heard, "\nfrom <%s>", message_sender(message)) == 0);
    for (size_t i = 0; i < message_recipient_count(message); i++)
        MUST(buf_appendf(heard, " to <%s>", message_recipient(message, i)) == 0);
    MUST(buf_appendf(heard, ", %zu bytes:\n", body.len) == 0);
    append(body.data, body.len);
}

static void store(void *ctx, struct receive_reception *reception, struct list *messages)
{
    struct list_node *node;

    (void)ctx;
    while ((node = list_take_first(messages))) {
        note(message_of_link(node));
        message_free(message_of_link(node));
    }
    receive_stored(reception, NULL);
}

static bool accepts(void *ctx, struct smtp_reply *why_not_out)
{
    (void)ctx;
    (void)why_not_out;
    return true;
}

static struct receive_listener *open_listener(const char *endings, int needs_proxy)
{
    static const struct receive_ops ops = {.store = store, .accepts = accepts};
    static const struct policy_options options = {.text = ""};
    json_t *table = json_pack("{ss ss si si ss sb si s[s] s{sb sb}}", "listen", "127.0.0.1:0", "hostname", "mx.test",
                              "junk_command_delay", 0, "auth_failure_delay", 0, "invalid_line_endings", endings,
                              "require_proxy_protocol", needs_proxy, "max_message_size", 1000, "relay_hosts",
                              "0.0.0.0/0", "trace_headers", "received_header", 0, "supplemental_header", 0);
    struct receive_listener *listener;
    struct sockaddr_storage bound;
    struct receive_params *params;
    struct error error;

    params = receive_params_new(table, &error);
    MUST(params);
    listener = receive_listener_new(loop, listener_bind((struct sockaddr *)&params->listen, &bound, &error),
                                    policy_vm_new(policy_new(&options, &error), loop, &error), params,
                                    receive_share_new(), &ops, NULL, &error);
    MUST(listener);
    json_decref(table);
    return listener;
}

static void open_world(void)
{
    static const char *const endings[] = {"Deny", "Allow", "Fix"};
    struct error error;

    diag_set_level(DIAG_ERROR);
    loop = loop_new("fuzz", &error);
    MUST(loop);
    for (size_t i = 0; i < LISTENERS; i++)
        listeners[i] = open_listener(endings[i / 2], i % 2);
}

/* Ids differ from one session to the next. */
static void append_answers(struct span answers)
{
    static const struct span ids = SPAN_LIT("OK ids=");
    size_t line;

    for (; answers.len > 0; answers = span_from(answers, line)) {
        struct span text;

        line = span_find(answers, '\n');
        line += line < answers.len ? 1 : 0;
        text = span_head(answers, line);
        if (text.len > 4 + ids.len && span_starts_with(span_from(text, 4), ids))
            text = span_head(text, 4 + ids.len);
        append(text.data, text.len);
    }
}

static void hear(int fd, struct buf *answers)
{
    char some[65536];
    ssize_t got;

    while ((got = recv(fd, some, sizeof some, MSG_DONTWAIT)) > 0)
        MUST(buf_append(answers, some, (size_t)got) == 0);
}

/* What is stored is noted as it comes, and answers at the end: both are in their own order. */
static void talk(struct receive_listener *listener, struct span input, size_t piece, struct buf *out)
{
    struct sockaddr_storage peer = {.ss_family = AF_INET};
    struct buf answers;
    int fds[2];

    heard = out;
    buf_init(&answers, (size_t)1 << 22);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    atomic_fetch_add(&listener->share->connections, 1);
    session_start(listener, fds[1], (struct sockaddr *)&peer);
    while (input.len > 0 && receive_listener_sessions(listener) > 0) {
        struct span some = span_head(input, piece < input.len ? piece : input.len);

        if (send(fds[0], some.data, some.len, MSG_NOSIGNAL) != (ssize_t)some.len)
            break;
        input = span_from(input, some.len);
        loop_turn(loop, false);
        hear(fds[0], &answers);
    }
    shutdown(fds[0], SHUT_WR);
    while (receive_listener_sessions(listener) > 0) {
        loop_turn(loop, true);
        hear(fds[0], &answers);
    }
    hear(fds[0], &answers);
    close(fds[0]);
    loop_turn(loop, false);
    append_answers(buf_span(&answers));
    buf_done(&answers);
}

/* A TLS hello is read from where it begins, and what comes with STARTTLS is an attack: there the cut matters. */
static bool asks_for_tls(struct span input)
{
    static const char word[] = "STARTTLS";

    for (; input.len >= sizeof word - 1; input = span_from(input, 1))
        if (strncasecmp(input.data, word, sizeof word - 1) == 0)
            return true;
    return false;
}

/* What stands behind it is passed over when it is there, and refused when it comes later. */
static bool has_bare_lf(struct span said)
{
    static const char words[] = "lines end with CRLF, and only with it";

    return memmem(said.data, said.len, words, sizeof words - 1) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct receive_listener *listener;
    struct buf whole, pieces;
    struct span input;

    if (!loop)
        open_world();
    if (size < 2 || size > INPUT_MOST)
        return 0;
    input = span_make((const char *)data + 2, size - 2);
    if (asks_for_tls(input))
        return 0;
    listener = listeners[data[0] % LISTENERS];
    buf_init(&whole, (size_t)1 << 23);
    buf_init(&pieces, (size_t)1 << 23);
    talk(listener, input, size, &whole);
    talk(listener, input, 1 + data[1] % 32, &pieces);
    if (!has_bare_lf(buf_span(&pieces))) {
        if (!span_eq(buf_span(&whole), buf_span(&pieces)))
            fprintf(stderr, "at once:\n%s\nin pieces:\n%s\n", buf_cstr(&whole), buf_cstr(&pieces));
        MUST(span_eq(buf_span(&whole), buf_span(&pieces)));
    }
    buf_done(&whole);
    buf_done(&pieces);
    return 0;
}
