/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's whole side of a connection, over a socket pair, against a listener without a
 * policy. Whatever it sends, the session ends when it has ended, and what was taken in is no
 * more than what was promised.
 */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "log/diag.h"
#include "receive/receive_private.h"

#define INPUT_MOST 32768

static struct loop *loop;
static struct receive_listener *listener;

static void store(void *ctx, struct receive_reception *reception, struct list *messages)
{
    struct list_node *node;

    (void)ctx;
    while ((node = list_take_first(messages)))
        message_free(message_of_link(node));
    receive_stored(reception, NULL);
}

static bool accepts(void *ctx, struct smtp_reply *why_not_out)
{
    (void)ctx;
    (void)why_not_out;
    return true;
}

static const struct receive_ops ops = {.store = store, .accepts = accepts};

static void open_world(void)
{
    static const struct policy_options options = {.text = ""};
    json_t *table =
        json_pack("{ss ss si si s[s] sb}", "listen", "127.0.0.1:0", "hostname", "mx.test", "junk_command_delay", 0,
                  "auth_failure_delay", 0, "relay_hosts", "0.0.0.0/0", "allow_xclient", 1);
    struct sockaddr_storage bound;
    struct receive_params *params;
    struct error error;

    MUST(table);
    diag_set_level(DIAG_ERROR);
    loop = loop_new("fuzz", &error);
    params = receive_params_new(table, &error);
    MUST(loop && params);
    listener = receive_listener_new(loop, listener_bind((struct sockaddr *)&params->listen, &bound, &error),
                                    policy_vm_new(policy_new(&options, &error), loop, &error), params,
                                    receive_share_new(), &ops, NULL, &error);
    MUST(listener);
    json_decref(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sockaddr_storage peer = {.ss_family = AF_INET};
    char answers[65536];
    int fds[2];

    if (!loop)
        open_world();
    if (size > INPUT_MOST)
        return 0;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    MUST(write(fds[0], data, size) == (ssize_t)size);
    shutdown(fds[0], SHUT_WR);
    atomic_fetch_add(&listener->share->connections, 1);
    session_start(listener, fds[1], (struct sockaddr *)&peer);
    while (receive_listener_sessions(listener) > 0) {
        loop_turn(loop, true);
        while (recv(fds[0], answers, sizeof answers, MSG_DONTWAIT) > 0)
            ;
    }
    close(fds[0]);
    loop_turn(loop, false);
    return 0;
}
