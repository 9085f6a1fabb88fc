/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits as operations of tally, and the keys under which they are counted: what is counted, the budget's name, whose
 * it is, and for recipients that are known the recipient.
 */
#include <stdlib.h>

#include "base/must.h"
#include "gate/budget_private.h"

#define KNOWN_MS (90 * BUDGET_DAY_MS)
#define SESSION_LEASE_MS (3 * (uint64_t)GATE_SESSION_RENEW_MS)
#define SESSIONS_MOST 4096

static const struct {
    const char *key;
    uint64_t time_ms;
    size_t try_ops, recipient_ops; /* that MAIL and RCPT need for it */
} rows[GATE_LIMIT_COUNT] = {
    [GATE_LIMIT_MESSAGES_PER_HOUR] = {"budget.messages.hour", BUDGET_HOUR_MS, 2, 0},
    [GATE_LIMIT_MESSAGES_PER_DAY] = {"budget.messages.day", BUDGET_DAY_MS, 2, 0},
    [GATE_LIMIT_RECIPIENTS_PER_HOUR] = {"budget.recipients.hour", BUDGET_HOUR_MS, 0, 1},
    [GATE_LIMIT_RECIPIENTS_PER_DAY] = {"budget.recipients.day", BUDGET_DAY_MS, 0, 1},
    [GATE_LIMIT_NEW_RECIPIENTS_PER_DAY] = {"budget.new.day", BUDGET_DAY_MS, 0, 2},
    [GATE_LIMIT_BYTES_PER_DAY] = {"budget.bytes.day", BUDGET_DAY_MS, 2, 0},
    [GATE_LIMIT_SESSIONS] = {"budget.sessions", SESSION_LEASE_MS, 0, 1},
    [GATE_LIMIT_INVALID_RECIPIENTS] = {"budget.invalid", BUDGET_HOUR_MS, 2, 2},
};

size_t budget_ops_needed(const struct gate_allowance *allowance)
{
    size_t to_try = 0, recipient = 0;

    for (size_t i = 0; i < allowance->count; i++) {
        to_try += rows[allowance->limits[i].kind].try_ops;
        recipient += rows[allowance->limits[i].kind].recipient_ops;
    }
    return to_try > recipient ? to_try : recipient;
}

static struct tally_op *add(struct budget_ops *ops, const struct gate_allowance *allowance, size_t limit,
                            const char *name)
{
    const struct budget_limit *of = &allowance->limits[limit];
    size_t i = ops->count++;

    MUST(i < TALLY_OPS_MOST);
    tally_key_init(&ops->keys[i], name);
    tally_key_add(&ops->keys[i], span_of(of->budget));
    tally_key_add(&ops->keys[i], span_of(of->subject));
    ops->limits[i] = limit;
    ops->ops[i] = (struct tally_op){.key = &ops->keys[i], .time_ms = rows[of->kind].time_ms};
    return &ops->ops[i];
}

void budget_ops_take(struct budget_ops *ops, const struct gate_allowance *allowance, size_t limit, double amount)
{
    struct tally_op *op = add(ops, allowance, limit, rows[allowance->limits[limit].kind].key);

    op->kind = TALLY_TAKE;
    op->amount = amount;
    op->limit = allowance->limits[limit].most;
}

/* Mailboxes that differ in case alone are taken for one, lest a recipient be new again and again. */
void budget_ops_known(struct budget_ops *ops, const struct gate_allowance *allowance, size_t limit,
                      const char *recipient, enum tally_kind kind)
{
    struct tally_op *op = add(ops, allowance, limit, "budget.known");
    char *lower = span_dup_lower(span_of(recipient));

    tally_key_add(&ops->keys[ops->count - 1], span_of(lower));
    free(lower);
    op->kind = kind;
    op->time_ms = KNOWN_MS;
}

void budget_ops_session(struct budget_ops *ops, const struct gate_allowance *allowance, size_t limit,
                        const char *session_id, enum tally_kind kind)
{
    struct tally_op *op = add(ops, allowance, limit, rows[GATE_LIMIT_SESSIONS].key);

    op->kind = kind;
    op->member = span_of(session_id);
    op->most = SESSIONS_MOST;
}

void budget_ops_invalid(struct budget_ops *ops, const struct gate_allowance *allowance, size_t limit, double refused,
                        double all)
{
    struct tally_op *op = add(ops, allowance, limit, rows[GATE_LIMIT_INVALID_RECIPIENTS].key);

    op->kind = TALLY_COUNT;
    op->amount = refused;
    op = add(ops, allowance, limit, "budget.recipients");
    op->kind = TALLY_COUNT;
    op->amount = all;
}

void budget_ops_send(struct budget_ops *ops)
{
    if (ops->count && tally_get() && ops->is_here)
        tally_run_here(tally_get(), ops->ops, ops->count);
    else if (ops->count && tally_get())
        (void)tally_run(tally_get(), NULL, ops->ops, ops->count, NULL, NULL);
    ops->count = 0;
}

void budget_ops_make_room(struct budget_ops *ops, size_t wanted)
{
    if (ops->count + wanted > TALLY_OPS_MOST)
        budget_ops_send(ops);
}
