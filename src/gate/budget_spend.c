/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking from an allowance, one command at a time: all limits that a command touches are one call of tally, which
 * grants all of them or none. The awkward truth is the client that leaves while Redis is asked: what was asked for is
 * still taken, so whoever leaves a question leaves it to give back by itself. And what was taken from this node's
 * memory while Redis was away is given back there alone: Redis has never taken it, and would give credit for it.
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "gate/budget_private.h"
#include "gate/gate_private.h"

static bool has(const struct budget_limit *limits, size_t count, enum gate_limit kind)
{
    for (size_t i = 0; i < count; i++)
        if (limits[i].kind == kind)
            return true;
    return false;
}

static bool needs_names(const struct gate_allowance *allowance)
{
    return has(allowance->limits, allowance->count, GATE_LIMIT_NEW_RECIPIENTS_PER_DAY) ||
           has(allowance->open, allowance->open_count, GATE_LIMIT_NEW_RECIPIENTS_PER_DAY);
}

static void count(const struct gate_allowance *allowance, size_t limit, enum budget_figure figure, double amount)
{
    budget_figures_add(allowance->limits[limit].budget, allowance->limits[limit].kind, figure, amount);
}

static void count_sessions(const struct gate_allowance *allowance, enum budget_figure figure)
{
    for (size_t i = 0; i < allowance->count; i++)
        if (allowance->limits[i].kind == GATE_LIMIT_SESSIONS)
            count(allowance, i, figure, 1);
}

/* ---- the answer ---- */

/* As long as the refused ones are fewer than it takes for a judgement, there is none. Both numbers shrink from the
 * moment they are counted, so the half is rounded up. */
static bool is_over_ratio(const struct budget_limit *limit, const struct tally_result *pair, struct gate_excess *out)
{
    double refused = pair[0].value, all = pair[1].value, least = limit->invalid_least - 0.5;

    if (refused < least || budget_invalid_share(refused, all) <= limit->most)
        return false;
    *out = (struct gate_excess){.limit = limit->kind, .budget = limit->budget};
    out->retry_ms = (uint64_t)fmax((double)BUDGET_HOUR_MS * log2(refused / least), 1000);
    return true;
}

static bool find_excess(const struct gate_spend *spend, const struct tally_answer *answer, struct gate_excess *out)
{
    const struct budget_limit *limits = spend->allowance->limits;

    if (answer->refused_by >= 0) {
        const struct budget_item *item = &spend->items[answer->refused_by];
        const struct budget_limit *limit = &limits[item->limit];

        *out = (struct gate_excess){.limit = limit->kind, .budget = limit->budget};
        out->retry_ms = answer->results[answer->refused_by].left_ms;
        out->is_never = limit->kind == GATE_LIMIT_BYTES_PER_DAY && item->amount > limit->most;
        return true;
    }
    for (size_t i = 0; i < spend->count; i++) {
        const struct budget_limit *limit = &limits[spend->items[i].limit];

        if (limit->kind == GATE_LIMIT_INVALID_RECIPIENTS && is_over_ratio(limit, &answer->results[i++], out))
            return true;
    }
    return false;
}

static bool is_taken(const struct gate_spend *spend, const struct tally_answer *answer, size_t i)
{
    return spend->items[i].amount > 0 && !(spend->items[i].depends && answer->results[i - 1].was_there);
}

static void keep_name(struct gate_spending *spending, char *name)
{
    spending->new_to = mem_realloc(spending->new_to, (spending->named + 1) * sizeof *spending->new_to);
    spending->new_to[spending->named++] = name;
}

static void keep(struct gate_spend *spend, const struct tally_answer *answer)
{
    struct gate_spending *spending = spend->spending;

    for (size_t i = 0; i < spend->count; i++) {
        struct budget_taken *taken = &spending->taken[spend->items[i].limit];

        if (!is_taken(spend, answer, i))
            continue;
        *(answer->is_local ? &taken->here : &taken->shared) += spend->items[i].amount;
        count(spend->allowance, spend->items[i].limit, BUDGET_TAKEN, spend->items[i].amount);
    }
    if (!spend->name)
        return;
    spending->recipients++;
    if (needs_names(spending->allowance)) {
        keep_name(spending, spend->name);
        spend->name = NULL;
    }
}

static void add_sessions(struct budget_ops *ops, const struct gate_allowance *allowance, const char *session_id,
                         enum tally_kind kind)
{
    for (size_t i = 0; i < allowance->count; i++)
        if (allowance->limits[i].kind == GATE_LIMIT_SESSIONS)
            budget_ops_session(ops, allowance, i, session_id, kind);
}

static void forget_session(const struct gate_allowance *allowance, const char *session_id)
{
    struct budget_ops ops;

    budget_ops_init(&ops);
    add_sessions(&ops, allowance, session_id, TALLY_LEAVE);
    budget_ops_send(&ops);
}

static void undo(const struct gate_spend *spend, const struct tally_answer *answer)
{
    struct budget_ops ops;

    budget_ops_init(&ops);
    ops.is_here = answer->is_local;
    if (spend->purpose == BUDGET_TO_BEGIN_SESSION)
        forget_session(spend->allowance, spend->name);
    for (size_t i = 0; spend->purpose == BUDGET_TO_TAKE && i < spend->count; i++)
        if (is_taken(spend, answer, i))
            budget_ops_take(&ops, spend->allowance, spend->items[i].limit, -spend->items[i].amount);
    budget_ops_send(&ops);
}

void budget_spend_free(struct gate_spend *spend)
{
    gate_allowance_unref(&spend->allowance);
    free(spend->name);
    free(spend->fresh);
    free(spend);
}

static void on_answer(void *ctx, const struct tally_answer *answer)
{
    struct gate_spend *spend = ctx;
    struct gate_excess excess;
    bool is_excess = find_excess(spend, answer, &excess);

    if (spend->is_left) {
        if (!is_excess)
            undo(spend, answer);
        gate_work_ended();
    } else {
        if (is_excess)
            budget_figures_add(excess.budget, excess.limit, BUDGET_REFUSED, 1);
        else if (spend->purpose == BUDGET_TO_TAKE)
            keep(spend, answer);
        else if (spend->purpose == BUDGET_TO_BEGIN_SESSION)
            count_sessions(spend->allowance, BUDGET_TAKEN);
        spend->on_done(spend->ctx, is_excess ? &excess : NULL);
    }
    budget_spend_free(spend);
}

void budget_spend_tell(struct gate_spend *spend, const struct gate_excess *excess)
{
    budget_figures_add(excess->budget, excess->limit, BUDGET_REFUSED, 1);
    spend->on_done(spend->ctx, excess);
    budget_spend_free(spend);
}

void gate_spend_leave(struct gate_spend *spend)
{
    if (!spend)
        return;
    spend->is_left = true;
    gate_work_goes_on();
}

/* ---- the question ---- */

struct gate_spend *budget_spend_new(enum budget_purpose purpose, struct gate_allowance *allowance, const char *name,
                                    gate_spend_fn *on_done, void *ctx)
{
    struct gate_spend *spend = mem_zalloc(sizeof *spend);

    spend->purpose = purpose;
    spend->allowance = gate_allowance_ref(allowance);
    spend->name = name ? mem_strdup(name) : NULL;
    spend->on_done = on_done;
    spend->ctx = ctx;
    return spend;
}

struct gate_spend *budget_spend_run(struct gate_spend *spend, struct loop *loop, struct budget_ops *ops)
{
    static const struct tally_answer nothing = {.refused_by = -1};

    spend->count = ops->count;
    for (size_t i = 0; i < ops->count; i++)
        spend->items[i] = (struct budget_item){
            .limit = ops->limits[i],
            .amount = ops->ops[i].kind == TALLY_TAKE ? ops->ops[i].amount : 0,
            .depends = ops->ops[i].if_new > 0,
        };
    if (!ops->count) {
        on_answer(spend, &nothing);
        return NULL;
    }
    MUST(tally_get());
    return tally_run(tally_get(), loop, ops->ops, ops->count, on_answer, spend) ? spend : NULL;
}

double budget_message_takes(enum gate_limit kind, uint64_t bytes)
{
    if (kind == GATE_LIMIT_MESSAGES_PER_HOUR || kind == GATE_LIMIT_MESSAGES_PER_DAY)
        return 1;
    return kind == GATE_LIMIT_BYTES_PER_DAY ? (double)bytes : 0;
}

struct gate_spend *gate_spend_try(struct gate_allowance *allowance, struct loop *loop, uint64_t bytes,
                                  gate_spend_fn *on_done, void *ctx)
{
    struct gate_spend *spend = budget_spend_new(BUDGET_TO_TRY, allowance, NULL, on_done, ctx);
    struct budget_ops ops;

    budget_ops_init(&ops);
    for (size_t i = 0; i < allowance->count; i++) {
        double amount = budget_message_takes(allowance->limits[i].kind, bytes);

        if (allowance->limits[i].kind == GATE_LIMIT_INVALID_RECIPIENTS) {
            budget_ops_invalid(&ops, allowance, i, 0, 0);
        } else if (amount > 0) { /* taken and given back in one step: refused is the taking, and it knows until when */
            budget_ops_take(&ops, allowance, i, amount);
            budget_ops_take(&ops, allowance, i, -amount);
        }
    }
    return budget_spend_run(spend, loop, &ops);
}

struct gate_spend *gate_spend_recipient(struct gate_spending *spending, struct loop *loop, const char *recipient,
                                        gate_spend_fn *on_done, void *ctx)
{
    struct gate_spend *spend = budget_spend_new(BUDGET_TO_TAKE, spending->allowance, recipient, on_done, ctx);
    const struct gate_allowance *allowance = spending->allowance;
    struct budget_ops ops;

    budget_ops_init(&ops);
    spend->spending = spending;
    for (size_t i = 0; i < allowance->count; i++) {
        enum gate_limit kind = allowance->limits[i].kind;

        if (kind == GATE_LIMIT_NEW_RECIPIENTS_PER_DAY) {
            budget_ops_known(&ops, allowance, i, recipient, TALLY_IS_MARKED);
            budget_ops_take(&ops, allowance, i, 1);
            ops.ops[ops.count - 1].if_new = (uint8_t)(ops.count - 1);
        } else if (kind == GATE_LIMIT_RECIPIENTS_PER_HOUR || kind == GATE_LIMIT_RECIPIENTS_PER_DAY) {
            budget_ops_take(&ops, allowance, i, 1);
        }
    }
    return budget_spend_run(spend, loop, &ops);
}

struct gate_spend *gate_spend_invalid(struct gate_allowance *allowance, struct loop *loop, gate_spend_fn *on_done,
                                      void *ctx)
{
    struct gate_spend *spend = budget_spend_new(BUDGET_TO_COUNT_INVALID, allowance, NULL, on_done, ctx);
    struct budget_ops ops;

    budget_ops_init(&ops);
    for (size_t i = 0; i < allowance->count; i++)
        if (allowance->limits[i].kind == GATE_LIMIT_INVALID_RECIPIENTS)
            budget_ops_invalid(&ops, allowance, i, 1, 1);
    return budget_spend_run(spend, loop, &ops);
}

/* ---- a transaction ---- */

struct gate_spending *gate_spending_new(struct gate_allowance *allowance)
{
    struct gate_spending *spending = mem_zalloc(sizeof *spending);

    spending->allowance = gate_allowance_ref(allowance);
    spending->settled_from = allowance->count;
    spending->taken = mem_zalloc(allowance->count * sizeof *spending->taken);
    return spending;
}

bool budget_counts(const struct gate_spending *spending, size_t limit)
{
    const struct budget_limit *of = &spending->allowance->limits[limit];

    return !spending->is_settled || limit >= spending->settled_from || !of->is_of_tenant ||
           !budget_is_of_message(of->kind);
}

/* All of it, or what was taken from a tenant whose mail it was not. */
static void give_back_to(const struct gate_spending *spending, bool is_accepted, bool is_here, struct budget_ops *ops)
{
    ops->is_here = is_here;
    for (size_t i = 0; i < spending->allowance->count; i++) {
        double amount = is_here ? spending->taken[i].here : spending->taken[i].shared;

        if (amount <= 0 || (is_accepted && budget_counts(spending, i)))
            continue;
        budget_ops_make_room(ops, 1);
        budget_ops_take(ops, spending->allowance, i, -amount);
        count(spending->allowance, i, BUDGET_GIVEN_BACK, amount);
    }
    budget_ops_send(ops);
}

static void give_back(const struct gate_spending *spending, bool is_accepted, struct budget_ops *ops)
{
    give_back_to(spending, is_accepted, true, ops);
    give_back_to(spending, is_accepted, false, ops);
}

/* From now on they are known; before, each transaction that named one has counted it, so that a transaction held open
 * and given up makes nobody known. */
static void make_known(const struct gate_spending *spending, size_t limit, struct budget_ops *ops)
{
    for (size_t i = 0; i < spending->named; i++) {
        budget_ops_make_room(ops, 1);
        budget_ops_known(ops, spending->allowance, limit, spending->new_to[i], TALLY_MARK);
        ops->ops[ops->count - 1].amount = 1;
    }
}

static void settle(const struct gate_spending *spending, struct budget_ops *ops)
{
    for (size_t i = 0; i < spending->allowance->count; i++) {
        enum gate_limit kind = spending->allowance->limits[i].kind;

        if (kind == GATE_LIMIT_NEW_RECIPIENTS_PER_DAY && budget_counts(spending, i))
            make_known(spending, i, ops);
        if (kind != GATE_LIMIT_INVALID_RECIPIENTS || !spending->recipients)
            continue;
        budget_ops_make_room(ops, 2);
        budget_ops_invalid(ops, spending->allowance, i, 0, (double)spending->recipients);
    }
}

void gate_spending_end(struct gate_spending **spending_at, bool is_accepted)
{
    struct gate_spending *spending = *spending_at;
    struct budget_ops ops;

    *spending_at = NULL;
    if (!spending)
        return;
    budget_ops_init(&ops);
    give_back(spending, is_accepted, &ops);
    if (is_accepted)
        settle(spending, &ops);
    budget_ops_send(&ops);
    for (size_t i = 0; i < spending->named; i++)
        free(spending->new_to[i]);
    free(spending->new_to);
    free(spending->taken);
    gate_allowance_unref(&spending->allowance);
    free(spending);
}

/* ---- a session ---- */

struct gate_spend *gate_spend_session(struct gate_allowance *allowance, struct loop *loop, const char *session_id,
                                      gate_spend_fn *on_done, void *ctx)
{
    struct gate_spend *spend = budget_spend_new(BUDGET_TO_BEGIN_SESSION, allowance, session_id, on_done, ctx);
    struct budget_ops ops;

    budget_ops_init(&ops);
    add_sessions(&ops, allowance, session_id, TALLY_JOIN);
    for (size_t i = 0; i < ops.count; i++)
        ops.ops[i].limit = allowance->limits[ops.limits[i]].most;
    return budget_spend_run(spend, loop, &ops);
}

void gate_session_renew(struct gate_allowance *allowance, const char *session_id)
{
    struct budget_ops ops;

    budget_ops_init(&ops);
    add_sessions(&ops, allowance, session_id, TALLY_JOIN);
    budget_ops_send(&ops);
}

void gate_session_end(struct gate_allowance *allowance, const char *session_id)
{
    count_sessions(allowance, BUDGET_GIVEN_BACK);
    forget_session(allowance, session_id);
}
