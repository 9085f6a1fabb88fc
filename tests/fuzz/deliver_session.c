/* SPDX-License-Identifier: Apache-2.0
 *
 * The next server's whole side of a connection. The input is what it says, in pieces that a byte 0xff ends: one after
 * it has accepted, one more each time the session has said something or has nothing to say, and then it closes. A
 * message counts as delivered only after its end was sent; each has one outcome, and the connection has one end.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "deliver/deliver.h"
#include "log/diag.h"
#include "loop/listener.h"
#include "loop/socket.h"

#define INPUT_MOST 65536
#define MESSAGES 3
#define QUIET_TURNS 4
#define PIECE_END 0xff

struct world {
    struct loop *loop;
    struct dns *dns;
    struct route_plan *plan;
    struct listener *listener;

    /* the server */
    struct span rest;
    struct socket *server;
    struct buf heard;
    size_t texts; /* that have ended */

    /* the owner */
    struct list messages;
    size_t outcomes, delivered, ends;
};

static struct world world;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the server ---- */

static void say_next(void)
{
    size_t len = span_find(world.rest, (char)PIECE_END);
    struct span piece = span_head(world.rest, len);

    world.rest = span_from(world.rest, len + (len < world.rest.len));
    if (piece.len > 0 && socket_write(world.server, piece.data, piece.len))
        return;
    if (piece.len > 0 || world.rest.len > 0)
        return;
    socket_close_after_write(world.server, 10);
    world.server = NULL;
}

static size_t count_ends(struct span heard)
{
    size_t count = 0;
    const char *at = heard.data, *end = heard.data + heard.len;

    while (at && (at = memmem(at, (size_t)(end - at), "\r\n.\r\n", 5))) {
        count++;
        at += 3;
    }
    return count;
}

static void server_readable(void *ctx)
{
    char bytes[65536];
    ssize_t got = SOCKET_WAIT;
    bool heard_something = false;

    (void)ctx;
    while (world.server && (got = socket_read(world.server, bytes, sizeof bytes)) > 0) {
        MUST(buf_append(&world.heard, bytes, (size_t)got) == 0);
        heard_something = true;
    }
    world.texts = count_ends(buf_span(&world.heard));
    if (got != SOCKET_WAIT && world.server) {
        socket_close(world.server);
        world.server = NULL;
    } else if (heard_something && world.server) {
        say_next();
    }
}

static void on_accept(void *ctx, int fd, const struct sockaddr *peer)
{
    static const struct socket_handler handler = {.on_readable = server_readable};

    (void)ctx;
    (void)peer;
    if (world.server)
        socket_close(world.server);
    world.server = socket_new(world.loop, fd, &handler, NULL, NULL);
    MUST(world.server);
    say_next();
}

/* ---- the owner of the session ---- */

static void on_hungry(void *ctx, struct deliver_session *session, size_t most)
{
    struct list batch;

    (void)ctx;
    list_init(&batch);
    while (batch.count < most && !list_is_empty(&world.messages))
        list_push_back(&batch, list_take_first(&world.messages));
    if (list_is_empty(&batch))
        deliver_session_finish(session);
    deliver_session_give(session, &batch);
}

static void on_outcome(void *ctx, struct deliver_session *session, struct message *message,
                       const struct deliver_outcome *outcome)
{
    (void)ctx;
    (void)session;
    world.outcomes++;
    world.delivered += outcome->verdict == DELIVER_OK;
    for (size_t i = 0; outcome->recipients && i < outcome->recipient_count; i++)
        MUST(outcome->recipients[i].reply);
    message_free(message);
}

static void on_end(void *ctx, struct deliver_session *session, enum deliver_end end, const struct smtp_reply *reply)
{
    (void)ctx;
    (void)session;
    (void)end;
    (void)reply;
    world.ends++;
}

static const struct deliver_handler handler = {.on_hungry = on_hungry, .on_outcome = on_outcome, .on_end = on_end};

/* ---- the world ---- */

static struct route_plan *new_plan(uint16_t port)
{
    json_t *path_params = json_pack("{ss s[] ss ss sb ss ss ss}", "enable_tls", "Disabled", "prohibited_hosts",
                                    "smtp_auth_plain_username", "u", "smtp_auth_plain_password", "secret-of-ours",
                                    "allow_smtp_auth_plain_without_tls", 1, "connect_timeout", "1s", "banner_timeout",
                                    "1s", "idle_timeout", "1s");
    json_t *source_params = json_pack("{ss}", "name", "s");
    struct error error = {0};
    struct route_path *path = route_path_new(path_params, &error);
    struct route_source *source = route_source_new(source_params, &error);
    struct route_plan *plan;

    MUST(path && source);
    plan = route_plan_new("source->site@smtp", "site", "pool", source, path, 1);
    plan->hosts[0].name = mem_strdup("mx.test");
    plan->hosts[0].port = port;
    route_path_unref(&path);
    route_source_unref(&source);
    json_decref(path_params);
    json_decref(source_params);
    return plan;
}

static void open_world(void)
{
    struct dns_config config = {.zone_text = "mx.test A 127.0.0.1\n"};
    struct deliver_settings settings = {.hostname = "me.test"};
    struct sockaddr_storage any, bound;
    struct error error;
    int fd;

    diag_set_level(DIAG_ERROR);
    world.loop = loop_new("fuzz", &error);
    world.dns = dns_new(world.loop, &config, &error);
    MUST(sockaddr_parse(SPAN_LIT("127.0.0.1:0"), &any, NULL) == 0);
    fd = listener_bind((struct sockaddr *)&any, &bound, NULL);
    MUST(fd >= 0);
    world.listener = listener_new(world.loop, fd, on_accept, NULL, NULL, NULL);
    world.plan = new_plan(sockaddr_port((struct sockaddr *)&bound));
    buf_init(&world.heard, 64 << 20);
    deliver_set_settings(&settings);
}

static void add_message(const char *sender, const char *second, struct span body)
{
    struct message *message = message_new();

    message_set_sender(message, span_of(sender));
    message_add_recipient(message, SPAN_LIT("x@y.test"));
    if (second)
        message_add_recipient(message, span_of(second));
    message_set_body(message, bytes_copy(body));
    list_push_back(&world.messages, message_link(message));
}

static void offer_mail(void)
{
    list_init(&world.messages);
    add_message("a@b.test", NULL, SPAN_LIT("Subject: one\r\n\r\n.dots\r\n"));
    add_message("", "z@y.test", SPAN_LIT("Subject: two\r\n\r\n8 bit \xc3\xbc\r\n"));
    add_message("\xc3\xbc@b.test", NULL, SPAN_LIT("no header\r\n"));
}

static void drop_mail(void)
{
    struct list_node *node;

    while ((node = list_take_first(&world.messages)))
        message_free(message_of_link(node));
}

/* Nobody waits for a timeout: when both sides are silent, the server goes on. */
static void turn(void)
{
    size_t heard = buf_len(&world.heard), left = world.rest.len;

    if (!world.server && !world.ends)
        loop_turn(world.loop, true);
    for (int quiet = 0; world.server && quiet < QUIET_TURNS; quiet++)
        loop_turn(world.loop, false);
    if (world.server && buf_len(&world.heard) == heard && world.rest.len == left)
        say_next();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!world.loop)
        open_world();
    if (size > INPUT_MOST)
        return 0;
    world.rest = span_make((const char *)data, size);
    world.outcomes = world.delivered = world.ends = world.texts = 0;
    buf_clear(&world.heard);
    offer_mail();
    MUST(deliver_session_new(world.loop, world.dns, world.plan, &handler, NULL));
    while (!world.ends || world.server)
        turn();
    loop_turn(world.loop, false);
    MUST(world.ends == 1);
    MUST(world.outcomes + world.messages.count <= MESSAGES);
    MUST(world.delivered <= world.texts);
    drop_mail();
    return 0;
}
