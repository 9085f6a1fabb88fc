/* SPDX-License-Identifier: Apache-2.0
 *
 * One mail transaction, from MAIL to the answer to the end of data. Its memory is the
 * largest that a peer can make us hold, so it is bounded here: recipients by count, the body
 * by max_message_size, all bodies together by the process's budget (limits.h).
 */
#ifndef GATEPOST_RECEIVE_TRANSACTION_H
#define GATEPOST_RECEIVE_TRANSACTION_H

#include "base/arena.h"
#include "gate/budget.h"
#include "receive/receive_private.h"

struct transaction {
    struct arena arena; /* sender and recipients */
    const char *sender; /* "" is the null sender */
    const char **recipients;
    size_t recipient_count;
    size_t recipient_room;
    bool smtputf8;
    uint64_t began_ms;
    struct gate_spending *spending; /* of budgets; NULL: there are none */

    /* the text */
    struct buf body;
    uint64_t charged_bytes; /* of the process's budget */
    bool over_budget;
    struct smtp_data_decoder decoder;
    uint64_t data_began_ms;
    uint64_t data_bytes; /* as received, to judge the rate */

    /* chunks */
    bool uses_bdat;
    bool chunk_is_last;
};

struct transaction *transaction_new(const struct receive_params *params, struct span sender, bool smtputf8,
                                    uint64_t now_ms) __attribute__((returns_nonnull));
void transaction_free(struct transaction *transaction); /* NULL is fine */

/* -1 when there is no room for it. */
int transaction_add_recipient(struct transaction *transaction, struct span mailbox) __attribute__((warn_unused_result));

/* Pays for the body's room out of the process's budget; false when that is spent. The body's
 * content is then dropped. */
bool transaction_charge(struct transaction *transaction);

struct span transaction_sender_domain(const struct transaction *transaction);

#endif
