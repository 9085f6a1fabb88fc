/* SPDX-License-Identifier: Apache-2.0
 *
 * QUIT (RFC 5321, section 4.1.1.10).
 */
#include "receive/receive_private.h"

void cmd_quit(struct session *session, const struct smtp_command *command)
{
    (void)command;
    session_replyf_close(session, 221, "2.0.0 %s goodbye", session->connection->params->hostname);
}
