/* SPDX-License-Identifier: Apache-2.0
 *
 * What happened to a message, as disposition records: fills log/record.h from what the
 * other rooms know. A failed AUTH is journalled with its verb and mechanism only.
 */
#ifndef GATEPOST_JOURNAL_H
#define GATEPOST_JOURNAL_H

#include "deliver/deliver.h"
#include "message/message.h"
#include "receive/receive.h"
#include "route/route.h"
#include "smtp/reply.h"

void journal_reception(const struct message *message, struct receive_connection *connection);

/* Delivery, Bounce or TransientFailure, as the outcome says: for `recipient` alone, or for all
 * of the message's when it is NULL. The message's attempts count this one. */
void journal_outcome(const struct message *message, const char *recipient, const struct route_plan *plan,
                     const struct deliver_outcome *outcome);

/* The queue gave up on it (Expiration), or cannot deliver it (Bounce). */
void journal_given_up(const struct message *message, const struct smtp_reply *reply, bool expired);
/* Put off: after a failure (TransientFailure) or, with no reply, as asked (Delayed). */
void journal_put_off(const struct message *message, const struct smtp_reply *reply);

void journal_rejection(const struct receive_rejection *rejection);

#endif
