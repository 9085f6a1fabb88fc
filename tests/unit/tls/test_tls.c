/* SPDX-License-Identifier: Apache-2.0
 *
 * Both sides of TLS over a socket pair: names, reload, bindings, and what a cut connection
 * looks like.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/secret.h"
#include "tls/tls.h"

struct end {
    struct socket *socket;
    bool hands_shaken;
    bool failed;
    char got[200000];
    size_t got_len;
    ssize_t last;
};

static struct loop *loop;
static struct end server, client;

static void on_readable(void *ctx)
{
    struct end *end = ctx;

    while ((end->last = socket_read(end->socket, end->got + end->got_len, sizeof end->got - end->got_len)) > 0)
        end->got_len += (size_t)end->last;
}

static const struct socket_handler handler = {.on_readable = on_readable};

static void on_done(void *ctx, const struct error *error)
{
    struct end *end = ctx;

    end->hands_shaken = !error;
    end->failed = error != NULL;
}

static int set_up(void **state)
{
    int pair[2];

    (void)state;
    loop = loop_new("test", NULL);
    memset(&server, 0, sizeof server);
    memset(&client, 0, sizeof client);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    server.socket = socket_new(loop, pair[0], &handler, &server, NULL);
    client.socket = socket_new(loop, pair[1], &handler, &client, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    socket_close(server.socket);
    socket_close(client.socket);
    loop_free(loop);
    return 0;
}

static void shake_hands(struct tls_server *listener, enum tls_verify verify, const char *ca_pem, const char *name)
{
    struct tls_client_config config = {.verify = verify, .ca_pem = ca_pem};
    struct tls_client *demand = tls_client_new(&config, NULL);

    assert_non_null(demand);
    assert_int_equal(tls_accept(server.socket, listener, on_done, &server, NULL), 0);
    assert_int_equal(tls_connect(client.socket, demand, name, on_done, &client, NULL), 0);
    while (!((server.hands_shaken || server.failed) && (client.hands_shaken || client.failed)))
        loop_turn(loop, true);
    tls_client_unref(&demand);
}

static struct tls_server *self_signed(void)
{
    struct tls_server_config config = {.name = "test", .hostname = "mail.example.com", .tickets = 1};
    struct tls_server *made = tls_server_new(&config, NULL);

    assert_non_null(made);
    return made;
}

static void bytes_pass_both_ways_and_bindings_agree(void **state)
{
    struct tls_server *listener = self_signed();
    static char data[100000];
    struct buf ours, theirs;

    (void)state;
    shake_hands(listener, TLS_VERIFY_NONE, NULL, "mail.example.com");
    assert_true(server.hands_shaken && client.hands_shaken);
    assert_string_equal(tls_protocol(server.socket), "TLSv1.3");
    assert_string_equal(tls_cipher(server.socket), "TLS_AES_128_GCM_SHA256");
    assert_string_equal(tls_server_name(server.socket), "mail.example.com");
    assert_null(tls_peer_subject(server.socket));
    memset(data, 'x', sizeof data);
    assert_int_equal(socket_write(client.socket, data, sizeof data), 0);
    assert_int_equal(socket_write(server.socket, "220 hello\r\n", 11), 0);
    while (server.got_len < sizeof data || client.got_len < 11)
        loop_turn(loop, true);
    assert_memory_equal(client.got, "220 hello\r\n", 11);
    buf_init(&ours, 100);
    buf_init(&theirs, 100);
    for (enum tls_binding kind = TLS_BINDING_EXPORTER; kind <= TLS_BINDING_SERVER_END_POINT; kind++) {
        assert_int_equal(tls_channel_binding(server.socket, kind, &ours), 0);
        assert_int_equal(tls_channel_binding(client.socket, kind, &theirs), 0);
        assert_int_equal(buf_len(&ours), 32);
        assert_true(span_eq(buf_span(&ours), buf_span(&theirs)));
        buf_clear(&ours);
        buf_clear(&theirs);
    }
    buf_done(&ours);
    buf_done(&theirs);
    tls_server_free(listener);
}

static void an_end_is_told_from_a_cut(void **state)
{
    struct tls_server *listener = self_signed();
    struct socket *gone = client.socket;

    (void)state;
    shake_hands(listener, TLS_VERIFY_NONE, NULL, "mail.example.com");
    if (*(bool *)*state) /* properly ended */
        socket_close_after_write(gone, 1000);
    else
        socket_close(gone);
    client.socket = NULL;
    server.last = SOCKET_WAIT;
    while (server.last == SOCKET_WAIT)
        loop_turn(loop, true);
    assert_int_equal(server.last, *(bool *)*state ? SOCKET_EOF : SOCKET_ERROR);
    tls_server_free(listener);
}

static void garbage_fails_the_handshake(void **state)
{
    struct tls_server *listener = self_signed();

    (void)state;
    assert_int_equal(tls_accept(server.socket, listener, on_done, &server, NULL), 0);
    assert_int_equal(socket_write(client.socket, "MAIL FROM:<>\r\n", 14), 0);
    while (!server.failed)
        loop_turn(loop, true);
    assert_false(server.hands_shaken);
    tls_server_free(listener);
}

static void a_certificate_is_chosen_by_name_and_reloaded(void **state)
{
    char *certificate[2], *key[2];
    struct tls_certificate_source sources[2] = {{.server_name = NULL}, {.server_name = "*.two.example"}};
    struct tls_server_config config = {.name = "test", .certificates = sources, .certificate_count = 2};
    struct tls_certificate_source broken = {.certificate_pem = "no", .private_key_pem = "no"};
    struct tls_server_config broken_config = {.name = "test", .certificates = &broken, .certificate_count = 1};
    struct tls_server *listener;
    struct error error;

    assert_int_equal(tls_make_self_signed("one.example", 1, &certificate[0], &key[0], NULL), 0);
    assert_int_equal(tls_make_self_signed("a.two.example", 1, &certificate[1], &key[1], NULL), 0);
    for (int i = 0; i < 2; i++) {
        sources[i].certificate_pem = certificate[i];
        sources[i].private_key_pem = key[i];
    }
    listener = tls_server_new(&config, &error);
    assert_non_null(listener);
    /* verifying against one certificate proves which one was shown */
    shake_hands(listener, TLS_VERIFY_HOST, certificate[1], "a.two.example");
    assert_true(client.hands_shaken);
    tear_down(state);
    set_up(state);
    shake_hands(listener, TLS_VERIFY_HOST, certificate[1], "one.example");
    assert_true(client.failed);
    assert_int_equal(tls_server_reload(listener, &broken_config, &error), -1);
    assert_int_equal(error.kind, ERROR_PERM);
    sources[0].certificate_pem = certificate[1];
    sources[0].private_key_pem = key[1];
    config.certificate_count = 1;
    assert_int_equal(tls_server_reload(listener, &config, &error), 0);
    tear_down(state);
    set_up(state);
    shake_hands(listener, TLS_VERIFY_HOST, certificate[1], "a.two.example");
    assert_true(client.hands_shaken);
    /* a key that is another certificate's is refused */
    sources[0].private_key_pem = key[0];
    assert_int_equal(tls_server_reload(listener, &config, &error), -1);
    for (int i = 0; i < 2; i++) {
        free(certificate[i]);
        secret_free(key[i]);
    }
    tls_server_free(listener);
}

static void a_session_outlives_the_certificates_it_began_with(void **state)
{
    struct tls_server_config config = {.name = "test", .hostname = "other.example"};
    struct tls_server *listener = self_signed();
    struct buf before, after;

    (void)state;
    buf_init(&before, 100);
    buf_init(&after, 100);
    shake_hands(listener, TLS_VERIFY_NONE, NULL, "mail.example.com");
    assert_int_equal(tls_channel_binding(server.socket, TLS_BINDING_SERVER_END_POINT, &before), 0);
    assert_int_equal(tls_server_reload(listener, &config, NULL), 0);
    tls_server_free(listener);
    assert_int_equal(tls_channel_binding(server.socket, TLS_BINDING_SERVER_END_POINT, &after), 0);
    assert_true(span_eq(buf_span(&before), buf_span(&after)));
    assert_int_equal(socket_write(client.socket, "QUIT\r\n", 6), 0);
    while (server.got_len < 6)
        loop_turn(loop, true);
    buf_done(&before);
    buf_done(&after);
}

static void an_address_is_verified_as_one(void **state)
{
    char *certificate, *key;
    struct tls_certificate_source source = {0};
    struct tls_server_config config = {.name = "test", .certificates = &source, .certificate_count = 1};
    struct tls_server *listener;

    assert_int_equal(tls_make_self_signed("192.0.2.7", 1, &certificate, &key, NULL), 0);
    source.certificate_pem = certificate;
    source.private_key_pem = key;
    listener = tls_server_new(&config, NULL);
    shake_hands(listener, TLS_VERIFY_HOST, certificate, "192.0.2.7");
    assert_true(client.hands_shaken && server.hands_shaken);
    assert_null(tls_server_name(server.socket)); /* an address has no SNI */
    assert_string_equal(tls_peer_subject(client.socket), "CN=192.0.2.7");
    tear_down(state);
    set_up(state);
    shake_hands(listener, TLS_VERIFY_HOST, certificate, "192.0.2.8");
    assert_true(client.failed);
    tear_down(state);
    set_up(state);
    shake_hands(listener, TLS_VERIFY_HOST, NULL, "192.0.2.7"); /* the system knows no such CA */
    assert_true(client.failed);
    free(certificate);
    secret_free(key);
    tls_server_free(listener);
}

/* ---- a wire that carries a few bytes at a time ---- */

struct hop {
    int from, to;
};

static struct socket *far_end(struct end *end, struct hop *here, struct hop *there)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    socket_close(end->socket);
    here->from = there->to = pair[1];
    return socket_new(loop, pair[0], &handler, end, NULL);
}

static void carry(const struct hop *hop, size_t most)
{
    char bytes[64];
    ssize_t got = recv(hop->from, bytes, most, 0);

    if (got > 0)
        assert_int_equal(send(hop->to, bytes, (size_t)got, MSG_NOSIGNAL), got);
}

static void records_may_come_in_pieces(void **state)
{
    struct tls_server *listener = self_signed();
    struct tls_client_config config = {0};
    struct tls_client *demand = tls_client_new(&config, NULL);
    struct hop up, down;
    static char data[3000];

    (void)state;
    server.socket = far_end(&server, &down, &up);
    client.socket = far_end(&client, &up, &down);
    assert_int_equal(tls_accept(server.socket, listener, on_done, &server, NULL), 0);
    assert_int_equal(tls_connect(client.socket, demand, "mail.example.com", on_done, &client, NULL), 0);
    for (size_t i = 0; !server.hands_shaken || !client.hands_shaken; i++) {
        carry(&up, 1 + i % 7);
        carry(&down, 1 + i % 11);
        loop_turn(loop, false);
    }
    memset(data, 'x', sizeof data);
    assert_int_equal(socket_write(client.socket, data, sizeof data), 0);
    while (server.got_len < sizeof data) {
        loop_turn(loop, false);
        carry(&up, 64);
    }
    assert_memory_equal(server.got, data, sizeof data);
    close(up.from);
    close(down.from);
    tls_client_unref(&demand);
    tls_server_free(listener);
}

static void a_verified_client_certificate_has_a_subject(void **state)
{
    char *certificate, *key;
    struct tls_server_config config = {.name = "test", .hostname = "mail.example.com"};
    struct tls_client_config client_config = {0};
    struct tls_server *listener;
    struct tls_client *demand;

    (void)state;
    assert_int_equal(tls_make_self_signed("device-7.example", 1, &certificate, &key, NULL), 0);
    config.client_ca_pem = certificate;
    listener = tls_server_new(&config, NULL);
    client_config.certificate_pem = certificate;
    client_config.private_key_pem = key;
    demand = tls_client_new(&client_config, NULL);
    assert_int_equal(tls_accept(server.socket, listener, on_done, &server, NULL), 0);
    assert_int_equal(tls_connect(client.socket, demand, "mail.example.com", on_done, &client, NULL), 0);
    while (!server.hands_shaken && !server.failed)
        loop_turn(loop, true);
    /* a serverAuth certificate is not one for clients: it must not verify */
    assert_true(server.failed);
    tls_client_unref(&demand);
    tls_server_free(listener);
    free(certificate);
    secret_free(key);
}

int main(void)
{
    static bool yes = true, no = false;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_pass_both_ways_and_bindings_agree, set_up, tear_down),
        cmocka_unit_test_prestate_setup_teardown(an_end_is_told_from_a_cut, set_up, tear_down, &yes),
        cmocka_unit_test_prestate_setup_teardown(an_end_is_told_from_a_cut, set_up, tear_down, &no),
        cmocka_unit_test_setup_teardown(garbage_fails_the_handshake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_certificate_is_chosen_by_name_and_reloaded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_session_outlives_the_certificates_it_began_with, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_address_is_verified_as_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(records_may_come_in_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_verified_client_certificate_has_a_subject, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
