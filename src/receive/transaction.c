/* SPDX-License-Identifier: Apache-2.0
 *
 * Building up and freeing a transaction.
 */
#include "receive/transaction.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "receive/limits.h"

#define ENVELOPE_BYTES_PER_RECIPIENT 512 /* a path has at most 256 octets */
#define ENVELOPE_BYTES_LEAST 4096
#define TRACE_ROOM_BYTES 1024 /* our trace headers go here, and the message is not copied for them */
#define CHARGE_STEP_BYTES ((uint64_t)64 * 1024)

struct transaction *transaction_new(const struct receive_params *params, struct span sender, bool smtputf8,
                                    uint64_t now_ms)
{
    struct transaction *transaction = mem_zalloc(sizeof *transaction);

    arena_init(&transaction->arena,
               ENVELOPE_BYTES_LEAST + sender.len + params->max_recipients_per_message * ENVELOPE_BYTES_PER_RECIPIENT);
    transaction->sender = arena_strdup(&transaction->arena, sender);
    MUST(transaction->sender); /* without one it would read as the null reverse-path */
    transaction->smtputf8 = smtputf8;
    transaction->began_ms = now_ms;
    buf_init(&transaction->body, params->max_message_size);
    buf_keep_front(&transaction->body, TRACE_ROOM_BYTES);
    smtp_data_decoder_init(&transaction->decoder, params->line_endings, params->line_length_hard_limit);
    return transaction;
}

void transaction_free(struct transaction *transaction)
{
    if (!transaction)
        return;
    gate_spending_end(&transaction->spending, false);
    limits_give_bytes(transaction->charged_bytes);
    buf_done(&transaction->body);
    arena_done(&transaction->arena);
    free(transaction->recipients);
    free(transaction);
}

int transaction_add_recipient(struct transaction *transaction, struct span mailbox)
{
    char *copy = arena_strdup(&transaction->arena, mailbox);

    if (!copy)
        return -1;
    if (transaction->recipient_count == transaction->recipient_room) {
        transaction->recipient_room = transaction->recipient_room ? transaction->recipient_room * 2 : 4;
        transaction->recipients =
            mem_realloc(transaction->recipients, transaction->recipient_room * sizeof *transaction->recipients);
    }
    transaction->recipients[transaction->recipient_count++] = copy;
    return 0;
}

bool transaction_charge(struct transaction *transaction)
{
    uint64_t needed = (transaction->body.capacity + CHARGE_STEP_BYTES - 1) / CHARGE_STEP_BYTES * CHARGE_STEP_BYTES;

    if (transaction->over_budget)
        return false;
    if (needed <= transaction->charged_bytes)
        return true;
    if (limits_take_bytes(needed - transaction->charged_bytes)) {
        transaction->charged_bytes = needed;
        return true;
    }
    transaction->over_budget = true;
    limits_give_bytes(transaction->charged_bytes);
    transaction->charged_bytes = 0;
    buf_release(&transaction->body);
    transaction->body.limit_bytes = 0;
    return false;
}

struct span transaction_sender_domain(const struct transaction *transaction)
{
    return address_domain(span_of(transaction->sender));
}
