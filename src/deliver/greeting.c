/* SPDX-License-Identifier: Apache-2.0
 *
 * From a connection to a peer that is ready for mail: greeting, EHLO, STARTTLS, EHLO again,
 * AUTH. Whether the peer must be spoken to under TLS, and must prove who it is, the path
 * says; nothing the peer says can make that less.
 */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/must.h"
#include "base/secret.h"
#include "deliver/deliver_private.h"

#define AUTH_LINE_LIMIT 1024
#define REPEATED_LEAST 4 /* a shorter piece is found by chance, and tells little */
#define REPEATED_MOST 8

static void send_hello(struct deliver_session *session, const char *verb, enum deliver_state state)
{
    const struct route_plan *plan = session->plan;
    char hostname[HOSTNAME_BYTES];
    const char *name = plan->path->ehlo_domain ? plan->path->ehlo_domain : plan->source->ehlo_domain;

    settings_hostname(hostname);
    if (session_send(session, "%s %.255s\r\n", verb, name ? name : hostname) == 0)
        deliver_session_enter(session, state);
}

void greeting_start(struct deliver_session *session)
{
    struct sockaddr_storage source;
    socklen_t len = sizeof source;

    session->source_address[0] = '\0';
    if (getsockname(socket_fd(session->socket), (struct sockaddr *)&source, &len) == 0)
        sockaddr_format((struct sockaddr *)&source, session->source_address);
    session->capabilities = (struct smtp_capabilities){0};
    deliver_session_enter(session, STATE_BANNER);
}

static void fail(struct deliver_session *session, int code, const char *why)
{
    struct smtp_reply reply;

    smtp_reply_setf(&reply, code, "%s", why);
    walk_failed(session, &reply);
}

/* ---- AUTH ---- */

static bool peer_is_verified(const struct deliver_session *session)
{
    enum route_tls mode = session->plan->path->enable_tls;

    return tls_is_on(session->socket) && (mode == ROUTE_TLS_OPPORTUNISTIC || mode == ROUTE_TLS_REQUIRED);
}

/* Why the password must not be sent here; NULL when it may. */
static const char *auth_hindrance(const struct deliver_session *session)
{
    const struct route_path *path = session->plan->path;

    if (!tls_is_on(session->socket) && !path->allow_auth_without_tls)
        return "4.7.11 our credentials are not sent without TLS";
    if (tls_is_on(session->socket) && !peer_is_verified(session) && !path->allow_auth_without_valid_certificate)
        return "4.7.11 our credentials are not sent to a server whose certificate was not verified";
    if (!smtp_capabilities_has_auth(&session->capabilities, SPAN_LIT("PLAIN")))
        return "4.7.4 the server does not offer AUTH PLAIN, which this path needs";
    if (strlen(path->auth_username) + strlen(path->auth_password) > AUTH_LINE_LIMIT / 2)
        return "4.7.0 our credentials are too long";
    return NULL;
}

static int encode_credentials(const struct route_path *path, struct buf *out)
{
    char plain[AUTH_LINE_LIMIT];
    size_t user = strlen(path->auth_username);
    size_t password = strlen(path->auth_password);
    int status;

    plain[0] = '\0'; /* RFC 4616: no authorization identity */
    memcpy(plain + 1, path->auth_username, user + 1);
    memcpy(plain + 1 + user + 1, path->auth_password, password);
    status = base64_encode(span_make(plain, user + password + 2), out);
    secret_wipe(plain, sizeof plain);
    return status;
}

/* Does `text` hold a piece of what only the next server may know? */
static bool repeats_credentials(const struct route_path *path, struct span text)
{
    struct span password = span_of(path->auth_password), said;
    bool found = password.len >= REPEATED_LEAST && memmem(text.data, text.len, password.data, password.len);
    struct buf encoded;

    buf_init(&encoded, 2 * AUTH_LINE_LIMIT);
    MUST(encode_credentials(path, &encoded) == 0);
    said = span_from(buf_span(&encoded), (strlen(path->auth_username) + 2) / 3 * 4); /* before it: the name */
    for (size_t at = 0; !found && at + REPEATED_LEAST <= said.len; at += REPEATED_LEAST) {
        size_t len = said.len - at < REPEATED_MOST ? said.len - at : REPEATED_MOST;

        found = memmem(text.data, text.len, said.data + at, len);
    }
    secret_wipe(encoded.data, encoded.capacity);
    buf_done(&encoded);
    return found;
}

void greeting_hush(const struct deliver_session *session, struct smtp_reply *reply)
{
    if (session->state == STATE_AUTH && repeats_credentials(session->plan->path, span_of(reply->text)))
        snprintf(reply->text, sizeof reply->text, "%s", "the server's words are withheld: our credentials are in them");
}

static void send_auth(struct deliver_session *session)
{
    struct buf line;

    buf_init(&line, 2 * AUTH_LINE_LIMIT);
    MUST(encode_credentials(session->plan->path, &line) == 0);
    if (session_send(session, "AUTH PLAIN %.*s\r\n", SPAN_ARG(buf_span(&line))) == 0)
        deliver_session_enter(session, STATE_AUTH);
    secret_wipe(line.data, line.capacity);
    buf_done(&line);
}

static void after_tls(struct deliver_session *session)
{
    const char *hindrance;

    if (!session->plan->path->auth_username || session->is_authenticated) {
        session_ready(session);
        return;
    }
    hindrance = auth_hindrance(session);
    if (hindrance)
        fail(session, 451, hindrance);
    else
        send_auth(session);
}

/* ---- STARTTLS ---- */

static bool tls_is_required(const struct deliver_session *session)
{
    enum route_tls mode = session->plan->path->enable_tls;

    return mode == ROUTE_TLS_REQUIRED || mode == ROUTE_TLS_REQUIRED_INSECURE;
}

static void tls_failed(struct deliver_session *session, const struct error *error)
{
    struct smtp_reply reply;

    smtp_reply_setf(&reply, 451, "4.7.5 %s", error->sentence);
    walk_failed(session, &reply);
}

static void on_tls(void *ctx, const struct error *error)
{
    struct deliver_session *session = ctx;

    if (error) {
        tls_failed(session, error);
        return;
    }
    /* what was said in clear may not have been the server's words (RFC 3207, section 4.2) */
    session->capabilities = (struct smtp_capabilities){0};
    send_hello(session, "EHLO", STATE_EHLO);
}

/* The name to be verified: the host's as the plan has it, or its address. */
static void server_name(const struct deliver_session *session, char out[HOSTNAME_BYTES])
{
    const struct route_plan_host *host = walk_host(session);

    if (host->name[0] == '[')
        ip_format(&session->walk.addresses[session->walk.next_address - 1], out);
    else
        snprintf(out, HOSTNAME_BYTES, "%s", host->name);
}

static void start_tls(struct deliver_session *session)
{
    enum route_tls mode = session->plan->path->enable_tls;
    bool verify = mode == ROUTE_TLS_OPPORTUNISTIC || mode == ROUTE_TLS_REQUIRED;
    char name[HOSTNAME_BYTES];
    char stray;
    struct error error = {0};
    struct tls_client *client;

    if (buf_len(&session->input) > 0 || socket_read(session->socket, &stray, 1) != SOCKET_WAIT) {
        fail(session, 451, "4.7.5 the server sent text between its reply to STARTTLS and the handshake");
        return;
    }
    client = settings_tls_client(verify ? TLS_VERIFY_HOST : TLS_VERIFY_NONE, &error);
    server_name(session, name);
    deliver_session_enter(session, STATE_HANDSHAKE);
    if (!client || tls_connect(session->socket, client, name, on_tls, session, &error))
        tls_failed(session, &error);
    tls_client_unref(&client);
}

/* The peer has said what it can do: decides on TLS. */
static void after_hello(struct deliver_session *session)
{
    if (tls_is_on(session->socket) || session->in_clear || session->tls_given_up ||
        session->plan->path->enable_tls == ROUTE_TLS_DISABLED) {
        after_tls(session);
    } else if (session->capabilities.starttls) {
        if (session_send(session, "STARTTLS\r\n") == 0)
            deliver_session_enter(session, STATE_STARTTLS);
    } else if (tls_is_required(session)) {
        fail(session, 451, "4.7.4 the server does not offer STARTTLS, which this path needs");
    } else {
        after_tls(session);
    }
}

static void on_starttls_reply(struct deliver_session *session, const struct smtp_reply *reply)
{
    if (reply->code == 220) {
        start_tls(session);
    } else if (session->plan->path->enable_tls == ROUTE_TLS_OPPORTUNISTIC_INSECURE) {
        session->tls_given_up = true;
        after_hello(session);
    } else {
        walk_failed(session, reply);
    }
}

/* ---- replies ---- */

static void on_banner(struct deliver_session *session, const struct smtp_reply *reply)
{
    if (smtp_reply_is_success(reply))
        send_hello(session, "EHLO", STATE_EHLO);
    else
        walk_failed(session, reply);
}

static void on_ehlo_reply(struct deliver_session *session, const struct smtp_reply *reply)
{
    if (smtp_reply_is_success(reply))
        after_hello(session);
    else if (smtp_reply_is_permanent(reply) && reply->code != 521)
        send_hello(session, "HELO", STATE_HELO); /* RFC 5321, section 3.2 */
    else
        walk_failed(session, reply);
}

static void on_helo_reply(struct deliver_session *session, const struct smtp_reply *reply)
{
    if (smtp_reply_is_success(reply))
        after_hello(session);
    else
        walk_failed(session, reply);
}

static void on_auth_reply(struct deliver_session *session, const struct smtp_reply *reply)
{
    session->is_authenticated = smtp_reply_is_success(reply);
    if (session->is_authenticated)
        session_ready(session);
    else
        walk_failed(session, reply);
}

void greeting_on_reply(struct deliver_session *session, const struct smtp_reply *reply)
{
    if (reply->code >= 300 && reply->code < 400) {
        session_lost_because(session, "the server's reply was out of place");
        return;
    }
    switch (session->state) {
    case STATE_BANNER:
        on_banner(session, reply);
        break;
    case STATE_EHLO:
        on_ehlo_reply(session, reply);
        break;
    case STATE_HELO:
        on_helo_reply(session, reply);
        break;
    case STATE_STARTTLS:
        on_starttls_reply(session, reply);
        break;
    default:
        MUST(session->state == STATE_AUTH);
        on_auth_reply(session, reply);
    }
}
