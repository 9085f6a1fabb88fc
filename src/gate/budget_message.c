/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking for a message when all of it is here. By then it is settled which tenant it is of, and where that was open, or
 * assumed and wrong, the tenant's limits join in: what they say about recipients is taken now too, all in one step with
 * the rest. Recipients that are new to the tenant have to be looked for before, and there may be more of them than one
 * call has room for; who makes one known in the meantime has it counted twice, which errs to the strict side.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "gate/budget_private.h"
#include "gate/gate_private.h"

/* ---- whose it is ---- */

static bool is_same(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

static void settle(struct gate_spending *spending, const char *tenant)
{
    struct gate_allowance *former = spending->allowance, *allowance;

    if (spending->is_settled || is_same(former->tenant, tenant))
        return;
    allowance = budget_allowance_for(former, tenant);
    spending->is_settled = true;
    spending->taken = mem_realloc(spending->taken, (allowance->count + 1) * sizeof *spending->taken);
    for (size_t i = former->count; i < allowance->count; i++)
        spending->taken[i] = (struct budget_taken){0};
    spending->allowance = allowance;
    gate_allowance_unref(&former);
}

/* ---- new recipients ---- */

/* The next of them, limit by limit. */
static void add_looks(struct gate_spend *spend, struct budget_ops *ops)
{
    const struct gate_spending *spending = spend->spending;
    size_t total = (spend->allowance->count - spending->settled_from) * spending->named;

    for (; spend->looked < total && ops->count < TALLY_OPS_MOST; spend->looked++) {
        size_t limit = spending->settled_from + spend->looked / spending->named;
        const char *name = spending->new_to[spend->looked % spending->named];

        if (spend->allowance->limits[limit].kind == GATE_LIMIT_NEW_RECIPIENTS_PER_DAY)
            budget_ops_known(ops, spend->allowance, limit, name, TALLY_IS_MARKED);
    }
    spend->count = ops->count;
    for (size_t i = 0; i < ops->count; i++)
        spend->items[i] = (struct budget_item){.limit = ops->limits[i]};
}

static struct gate_spend *go_on(struct gate_spend *spend);

static void on_looked(void *ctx, const struct tally_answer *answer)
{
    struct gate_spend *spend = ctx;

    if (spend->is_left) {
        gate_work_ended();
        budget_spend_free(spend);
        return;
    }
    for (size_t i = 0; i < spend->count; i++)
        spend->fresh[spend->items[i].limit] += answer->results[i].was_there ? 0 : 1;
    if (!spend->is_asking)
        (void)go_on(spend);
}

/* ---- all of it ---- */

static double takes(const struct gate_spend *spend, size_t limit)
{
    const struct gate_spending *spending = spend->spending;
    enum gate_limit kind = spend->allowance->limits[limit].kind;

    if (!budget_counts(spending, limit))
        return 0;
    if (limit < spending->settled_from || budget_message_takes(kind, 1) > 0)
        return budget_message_takes(kind, spend->bytes);
    return kind == GATE_LIMIT_NEW_RECIPIENTS_PER_DAY ? spend->fresh[limit] : (double)spending->recipients;
}

/* More than can be asked at once is refused at the login, but a reload may since have given the user another tenant. */
static struct gate_spend *take(struct gate_spend *spend)
{
    struct budget_ops ops;

    budget_ops_init(&ops);
    for (size_t i = 0; i < spend->allowance->count; i++) {
        const struct budget_limit *limit = &spend->allowance->limits[i];
        double amount = takes(spend, i);

        if (amount > 0 && ops.count == TALLY_OPS_MOST) {
            budget_spend_tell(spend, &(struct gate_excess){.limit = limit->kind, .budget = limit->budget});
            return NULL;
        }
        if (amount > 0)
            budget_ops_take(&ops, spend->allowance, i, amount);
    }
    return budget_spend_run(spend, spend->loop, &ops);
}

/* Round by round; where the answer comes at once, no deeper than here. */
static struct gate_spend *go_on(struct gate_spend *spend)
{
    struct tally_call *waiting = NULL;
    struct budget_ops ops;

    while (!waiting) {
        budget_ops_init(&ops);
        add_looks(spend, &ops);
        if (!ops.count)
            return take(spend);
        MUST(tally_get());
        spend->is_asking = true;
        waiting = tally_run(tally_get(), spend->loop, ops.ops, ops.count, on_looked, spend);
        spend->is_asking = false;
    }
    return spend;
}

struct gate_spend *gate_spend_message(struct gate_spending *spending, struct loop *loop, uint64_t bytes,
                                      const char *tenant, gate_spend_fn *on_done, void *ctx)
{
    struct gate_spend *spend;

    settle(spending, tenant);
    spend = budget_spend_new(BUDGET_TO_TAKE, spending->allowance, NULL, on_done, ctx);
    spend->spending = spending;
    spend->loop = loop;
    spend->bytes = bytes;
    spend->fresh = mem_zalloc((spending->allowance->count + 1) * sizeof *spend->fresh);
    return go_on(spend);
}
