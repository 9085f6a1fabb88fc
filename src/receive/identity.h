/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a session applies the guard (gate/identity.h): at MAIL, before policy hears of it; at each RCPT again, since
 * rules may have changed meanwhile; and at the end of data, on the text as the client sent it. What policy does to a
 * message afterwards is the operator's own word and is not looked at.
 */
#ifndef GATEPOST_RECEIVE_IDENTITY_H
#define GATEPOST_RECEIVE_IDENTITY_H

#include "message/message.h"
#include "receive/receive_private.h"

/* False: the answer has been given. `*instead_out` is a sender to go on with, the caller's, or NULL: the one asked. */
bool identity_admits_sender(struct session *session, struct span sender, char **instead_out);

/* The same of the transaction that has begun; it is over when the answer is no. */
bool identity_still_admits(struct session *session);

/* From, Sender and the tenant. In rewrite mode the message is another afterwards. -1 with the reply to give. */
int identity_judge_message(struct session *session, struct message *message, struct smtp_reply *refusal_out)
    __attribute__((warn_unused_result));

/* May mail go anywhere because of who is logged in? Only for who was let in by the gate itself, and where policy has
 * no get_listener_domain to say so, unless [identity] relay says it. */
bool identity_may_relay(const struct session *session);

#endif
