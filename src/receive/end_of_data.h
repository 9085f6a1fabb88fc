/* SPDX-License-Identifier: Apache-2.0
 *
 * A reception: the messages that one transaction became, from the end of its data until the
 * house has answered for them. What the files around the end of data share.
 */
#ifndef GATEPOST_RECEIVE_END_OF_DATA_H
#define GATEPOST_RECEIVE_END_OF_DATA_H

#include "receive/receive_private.h"
#include "receive/transaction.h"

struct receive_reception {
    struct session *session; /* NULL once it has ended */
    struct receive_connection *connection;
    struct message *message;        /* the one in hand: first the transaction's, then each split one */
    struct list pending;            /* still to be shown to policy */
    struct list accepted;           /* to be stored */
    struct buf ids;                 /* "OK ids=..." */
    uint64_t charged_bytes;         /* of the process's budget */
    struct gate_spending *spending; /* from the transaction, once it is being stored */
    struct timer processing;
    bool is_storing;
    bool is_advancing; /* see advance() */
    bool advance_wanted;
};

/* end_of_data_split.c: makes `pending` out of reception->message, as the handler's result (may
 * be NULL) or batch_handling says. -1 when the result makes no sense. */
int reception_split(struct receive_reception *reception, const struct policy_result *result, struct error *error)
    __attribute__((warn_unused_result));

/* end_of_data_message.c: makes reception->message of the transaction's text, what is forged
 * removed. -1 with the reply to give. */
int reception_make_message(struct receive_reception *reception, struct transaction *transaction,
                           struct smtp_reply *refusal_out) __attribute__((warn_unused_result));

/* Ours will stand before it. -1 with the reply to give where its first line would become part of them. */
int reception_check_first_line(struct span text, struct smtp_reply *refusal_out) __attribute__((warn_unused_result));

/* end_of_data_trace.c: our marks; Received and who logged in first, the supplemental header when policy has seen it. */
int reception_add_trace(struct receive_reception *reception) __attribute__((warn_unused_result));
int reception_add_supplemental(struct receive_reception *reception, struct error *error)
    __attribute__((warn_unused_result));

#endif
