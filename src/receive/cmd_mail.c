/* SPDX-License-Identifier: Apache-2.0
 *
 * MAIL (RFC 5321, section 4.1.1.2; SIZE of RFC 1870, BODY of RFC 6152, SMTPUTF8 of RFC 6531,
 * AUTH of RFC 4954). Here is where mail is put off when there is no room for it: before the
 * client has sent any.
 */
#include <stdlib.h>

#include "receive/identity.h"
#include "receive/budget.h"
#include "receive/limits.h"
#include "receive/receive_private.h"
#include "receive/transaction.h"

static void on_sender(struct session *session, const struct policy_result *result)
{
    if (result->outcome != POLICY_UNHANDLED && result->outcome != POLICY_RETURNED)
        session_drop_transaction(session);
    if (session_refused(session, result))
        return;
    session->messages++;
    session_replyf(session, 250, "2.1.0 OK");
}

/* ---- smtp_server_mail_from(sender, conn_meta) ---- */

static int push_sender(lua_State *L, void *ctx)
{
    struct session *session = ctx;

    session_push_address(L, session->transaction->sender);
    return 1 + session_push_connection(L, session);
}

/* Only what EHLO has offered may be used. */
static bool is_offered(struct session *session, const struct smtp_mail *mail)
{
    if (mail->body == SMTP_BODY_BINARYMIME || mail->ret != SMTP_RET_UNSAID || mail->envid[0])
        session_replyf(session, 555, "5.5.4 a parameter that was not offered");
    else if (mail->has_size && mail->size > session->connection->params->max_message_size)
        session_replyf(session, 552, "5.3.4 the message is too big");
    else
        return true;
    return false;
}

static bool has_room(struct session *session)
{
    const struct receive_params *params = session->connection->params;
    const struct receive_ops *ops = session->listener->ops;
    struct smtp_reply why_not;

    if (session->messages >= params->max_messages_per_connection)
        session_replyf(session, 452, "4.5.3 too many messages in one connection");
    else if (!limits_have_bytes())
        session_replyf(session, 452, "4.3.1 too much mail is coming in just now; try again later");
    else if (!ops->accepts(session->listener->ctx, &why_not))
        session_reply(session, &why_not, SESSION_COMMAND);
    else
        return true;
    return false;
}

static void on_budget(struct session *session, const struct smtp_reply *refusal)
{
    if (refusal) {
        session_drop_transaction(session);
        session_reply(session, refusal, SESSION_COMMAND);
    } else {
        session_ask(session, POLICY_EVENT_SMTP_MAIL_FROM, push_sender, on_sender);
    }
}

void cmd_mail(struct session *session, const struct smtp_command *command)
{
    struct smtp_mail mail;
    struct smtp_reply refusal;
    char *instead;

    if (smtp_mail_parse(command->args, &mail, &refusal)) {
        session_reply(session, &refusal, SESSION_COMMAND);
        return;
    }
    if (!is_offered(session, &mail) || !has_room(session) ||
        !identity_admits_sender(session, mail.sender.text, &instead))
        return;
    session->transaction = transaction_new(session->connection->params, instead ? span_of(instead) : mail.sender.text,
                                           mail.smtputf8, loop_now_ms(session->listener->loop));
    free(instead);
    budget_mail(session, mail.has_size ? mail.size : 0, on_budget);
}
