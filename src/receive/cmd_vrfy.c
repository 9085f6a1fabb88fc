/* SPDX-License-Identifier: Apache-2.0
 *
 * VRFY (RFC 5321, section 3.5.3): politely tells nothing. Who exists here is nobody's business.
 */
#include "receive/receive_private.h"

void cmd_vrfy(struct session *session, const struct smtp_command *command)
{
    (void)command;
    session_replyf(session, 252, "2.1.5 cannot say; send mail and see");
}
