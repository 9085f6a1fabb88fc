/* SPDX-License-Identifier: Apache-2.0
 *
 * XCLIENT: a proxy that we trust says for whom it speaks. Only addresses and ports are taken
 * from it; a name or a login it might tell is not ours to believe. The client is a new one
 * after that: it is greeted again, with the parameters that its address has.
 */
#include "receive/receive_private.h"
#include "smtp/xclient.h"

static bool is_said(const struct smtp_xclient *xclient, enum smtp_xclient_attribute attribute)
{
    return xclient->values[attribute].state == SMTP_XCLIENT_SAID;
}

static bool has_others(const struct smtp_xclient *xclient)
{
    static const enum smtp_xclient_attribute others[] = {SMTP_XCLIENT_NAME, SMTP_XCLIENT_PROTO, SMTP_XCLIENT_HELO,
                                                         SMTP_XCLIENT_LOGIN};

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (xclient->values[others[i]].state != SMTP_XCLIENT_UNSAID)
            return true;
    return false;
}

static void become(struct session *session, const struct smtp_xclient *xclient)
{
    struct receive_connection *connection = session->connection;

    if (is_said(xclient, SMTP_XCLIENT_ADDR)) {
        if (!connection->proxy_ip.family)
            connection->proxy_ip = connection->remote_ip;
        connection->remote_ip = xclient->addr;
    }
    if (is_said(xclient, SMTP_XCLIENT_PORT))
        connection->remote_port = xclient->port;
    if (is_said(xclient, SMTP_XCLIENT_DESTADDR))
        connection->local_ip = xclient->destaddr;
    if (is_said(xclient, SMTP_XCLIENT_DESTPORT))
        connection->local_port = xclient->destport;
    receive_connection_from(connection, session->peer_text);
    receive_connection_forget(connection);
    relay_forget(session);
    session_use_params(session,
                       receive_params_for(session->listener->params, &connection->local_ip, &connection->remote_ip));
    session_welcome(session, session_greet);
}

void cmd_xclient(struct session *session, const struct smtp_command *command)
{
    struct smtp_xclient xclient;
    struct smtp_reply refusal;

    if (!session->connection->params->allow_xclient) {
        diag(DIAG_WARN, &session->scope, "XCLIENT from a peer that may not: closing");
        session_replyf_close(session, 550, "5.7.0 XCLIENT is not permitted");
    } else if (session->transaction) {
        session_replyf(session, 503, "5.5.1 not inside of a transaction");
    } else if (session->connection->auth) {
        session_replyf(session, 503, "5.5.1 not after a login");
    } else if (smtp_xclient_parse(command->args, &xclient, &refusal)) {
        session_reply_close(session, &refusal);
    } else if (has_others(&xclient)) {
        session_replyf_close(session, 501, "5.5.4 an attribute that was not offered");
    } else {
        become(session, &xclient);
    }
}
