/* SPDX-License-Identifier: Apache-2.0
 *
 * RSET (RFC 5321, section 4.1.1.5): the transaction is gone, the login stays.
 */
#include "receive/receive_private.h"

void cmd_rset(struct session *session, const struct smtp_command *command)
{
    (void)command;
    session_drop_transaction(session);
    session_replyf(session, 250, "2.0.0 OK");
}
