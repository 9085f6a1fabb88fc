/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to this room: a session's budgets (gate/budget.h has the rules). Where a command takes something it waits
 * here until that is granted.
 */
#ifndef GATEPOST_RECEIVE_BUDGET_H
#define GATEPOST_RECEIVE_BUDGET_H

#include "gate/budget.h"
#include "receive/receive_private.h"

/* NULL: granted, or nothing limits this session. */
typedef void budget_then_fn(struct session *session, const struct smtp_reply *refusal);

/* A login that is about to be let in: from now on its budgets hold. 454: nobody can tell which. */
void budget_log_in(struct session *session, const struct gate_rules *rules, const char *user,
                   const struct auth_info *info, budget_then_fn *then);
/* It is nobody's session any more, or over. */
void budget_log_out(struct session *session);

/* MAIL, with its transaction made: is there room at all for a message of `bytes` (0: not said)? */
void budget_mail(struct session *session, uint64_t bytes, budget_then_fn *then);
/* Before RCPT is looked at: has this session guessed too often? Waits until the recipient before is counted, so that
 * a pipeline gets no further than one who asks one at a time. */
void budget_check_guessing(struct session *session, budget_then_fn *then);
/* One more recipient, which nobody else has refused. */
void budget_recipient(struct session *session, const char *recipient, budget_then_fn *then);
/* RCPT was answered with `code` by whoever decides about recipients. */
void budget_note_refusal(struct session *session, int code);
/* For its metadata: gate_allowance_watchers. */
json_t *budget_watchers(const struct session *session);
/* All of the message is here, and it is settled whose it is. */
void budget_message(struct session *session, const struct message *message, budget_then_fn *then);

#endif
