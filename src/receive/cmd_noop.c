/* SPDX-License-Identifier: Apache-2.0
 *
 * NOOP (RFC 5321, section 4.1.1.9).
 */
#include "receive/receive_private.h"

void cmd_noop(struct session *session, const struct smtp_command *command)
{
    (void)command;
    session_replyf(session, 250, "2.0.0 OK");
}
