/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's whole side of a connection to the HTTP listener, over loopback: it is answered or
 * cut off, and the listener goes on. What reaches the house as a question is an object.
 */
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/must.h"
#include "log/diag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct admin *admin;

static int describe(void *ctx, size_t most, struct buf *json_out)
{
    (void)ctx;
    (void)most;
    return buf_append(json_out, "[]", 2);
}

static void bump_config_epoch(void *ctx) { (void)ctx; }

/* "ok" and its like: an answer; what is no text, or begins otherwise, is at fault. */
static json_t *ask_auth(void *ctx, const char *verb, const json_t *question, struct error *error)
{
    const char *user = json_string_value(json_object_get(question, "user"));

    (void)ctx;
    MUST(json_is_object(question));
    if (user && user[0] == 'o')
        return json_pack("{ss sO}", "verb", verb, "question", question);
    error_set(error, user ? ERROR_PERM : ERROR_TEMP, "%s: cannot be told of %s", verb, user ? user : "nobody");
    return NULL;
}

static bool is_live(void *ctx)
{
    (void)ctx;
    return true;
}

static void open_world(void)
{
    static const struct admin_ops ops = {
        .describe_queues = describe, .is_live = is_live, .bump_config_epoch = bump_config_epoch, .ask_auth = ask_auth};
    json_t *table =
        json_pack("{ss si s[s]}", "listen", "127.0.0.1:0", "request_body_limit", 4096, "trusted_hosts", "127.0.0.0/8");
    struct admin_params params;
    struct error error;

    diag_set_level(DIAG_ERROR);
    MUST(admin_params_from_json(table, &params, &error) == 0);
    admin = admin_new(&ops, NULL, &error);
    MUST(admin && admin_listen(admin, &params, &error) == 0);
    json_decref(table);
}

/* A port is not to be had again for a minute, and there are more inputs in one than ports: so each comes from another
 * address. */
static int connect_from_anywhere(const struct sockaddr *address)
{
    static uint32_t number;
    struct sockaddr_in ours = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ours.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number++ % 60000);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&ours, sizeof ours) == 0);
    MUST(connect(fd, address, sockaddr_length(address)) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sockaddr *address;
    struct timeval soon = {.tv_sec = 5};
    char answer[65536];
    int fd;

    if (!admin)
        open_world();
    if (size > 32768)
        return 0;
    address = admin_address(admin, 0);
    fd = connect_from_anywhere(address);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    (void)!send(fd, data, size, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while (recv(fd, answer, sizeof answer, 0) > 0)
        ;
    close(fd);
    return 0;
}
