/* SPDX-License-Identifier: Apache-2.0
 *
 * From accept to 220: whom the balancer speaks for, which parameters hold for this client,
 * and whether policy wants to talk to it at all. What a client sends meanwhile waits.
 */
#include "receive/receive_private.h"
#include "smtp/proxy.h"

/* ---- the PROXY header ---- */

#define PROXY_LEAST 15 /* "PROXY UNKNOWN" CRLF */
#define PROXY_V2_FIXED 16

/* Bytes behind the header may belong to a TLS handshake, so not one of them is read. */
size_t session_proxy_wanted(struct span have)
{
    size_t total;

    if (have.len < PROXY_LEAST)
        return PROXY_LEAST - have.len;
    if (have.data[0] != '\r') /* version 1, a line: byte by byte, at most about a hundred */
        return 1;
    if (have.len < PROXY_V2_FIXED)
        return PROXY_V2_FIXED - have.len;
    total = PROXY_V2_FIXED + ((size_t)(unsigned char)have.data[14] << 8) + (unsigned char)have.data[15];
    return total > have.len ? total - have.len : 1;
}

static void use_proxy(struct session *session, const struct smtp_proxy *proxy)
{
    struct receive_connection *connection = session->connection;

    if (proxy->is_local)
        return;
    connection->proxy_ip = connection->remote_ip;
    connection->remote_ip = ip_of_sockaddr((const struct sockaddr *)&proxy->source);
    connection->remote_port = sockaddr_port((const struct sockaddr *)&proxy->source);
    connection->local_ip = ip_of_sockaddr((const struct sockaddr *)&proxy->destination);
    connection->local_port = sockaddr_port((const struct sockaddr *)&proxy->destination);
    receive_connection_changed(connection);
    receive_connection_from(connection, session->peer_text);
    session_use_params(session,
                       receive_params_for(session->listener->params, &connection->local_ip, &connection->remote_ip));
}

size_t session_take_proxy(struct session *session, struct span input)
{
    struct smtp_proxy proxy;
    size_t used = 0;

    switch (smtp_proxy_parse(input, &proxy, &used)) {
    case SMTP_PROXY_MORE:
        return 0;
    case SMTP_PROXY_BROKEN:
        diag(DIAG_WARN, &session->scope, "no valid PROXY header where one is required: closing");
        session_close(session, "no valid PROXY header");
        return 0;
    case SMTP_PROXY_DONE:
        break;
    }
    session->line_began_ms = 0;
    use_proxy(session, &proxy);
    session_welcome(session, session_open);
    return used;
}

/* ---- 220 ---- */

static void greet(struct session *session)
{
    const struct receive_params *params = session->connection->params;

    session->connection->is_greeted = true;
    session_replyf(session, 220, "%s %s", params->hostname, params->banner);
}

static void on_accepted(struct session *session, const struct policy_result *result)
{
    if (result->outcome == POLICY_REJECTED || result->outcome == POLICY_DISCONNECT)
        session_reply_close(session, &result->reply);
    else if (result->outcome == POLICY_FAILED)
        session_replyf_close(session, 421, "4.3.0 %s is not ready; try again later",
                             session->connection->params->hostname);
    else
        greet(session);
}

static int push_accepted(lua_State *L, void *ctx) { return session_push_connection(L, ctx); }

/* After XCLIENT the greeting is said again, but the connection is no new one. */
static void ask_whether_welcome(struct session *session)
{
    if (session->connection->is_greeted)
        greet(session);
    else
        session_ask(session, POLICY_EVENT_SMTP_CONNECTION_ACCEPTED, push_accepted, on_accepted);
}

/* ---- smtp_server_get_dynamic_parameters(listener, conn_meta) ---- */

static int push_dynamic(lua_State *L, void *ctx)
{
    struct session *session = ctx;
    char via[SOCKADDR_TEXT_BYTES];

    receive_connection_via(session->connection, via);
    lua_pushstring(L, via);
    return 1 + session_push_connection(L, session);
}

static int use_dynamic(struct session *session, const struct policy_result *result, struct error *error)
{
    struct receive_connection *connection = session->connection;
    json_t *table = session_result_json(result, error);
    struct receive_params *params = NULL;

    if (!table)
        return -1;
    if (json_is_null(table) || (json_is_array(table) && json_array_size(table) == 0)) {
        json_decref(table);
        return 0;
    }
    params = receive_params_override(connection->params, table, &connection->local_ip, &connection->remote_ip, error);
    json_decref(table);
    if (!params)
        return -1;
    session_use_params(session, params);
    return 0;
}

static void on_dynamic(struct session *session, const struct policy_result *result)
{
    struct error error;

    if (result->outcome == POLICY_REJECTED || result->outcome == POLICY_DISCONNECT) {
        session_reply_close(session, &result->reply);
        return;
    }
    if (result->outcome == POLICY_FAILED || use_dynamic(session, result, &error)) {
        if (result->outcome != POLICY_FAILED)
            diag_error(&session->scope, &error, "smtp_server_get_dynamic_parameters");
        /* without its parameters we do not know what this client may do */
        session_replyf_close(session, 421, "4.3.0 %s is not ready; try again later",
                             session->connection->params->hostname);
        return;
    }
    ask_whether_welcome(session);
}

void session_greet(struct session *session)
{
    session_enter(session, SESSION_GREETING);
    session_ask(session, POLICY_EVENT_SMTP_GET_DYNAMIC_PARAMETERS, push_dynamic, on_dynamic);
}
