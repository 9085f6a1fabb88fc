/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files about budgets share: the tables as they were read, and the limits that apply to one login.
 */
#ifndef GATEPOST_GATE_BUDGET_PRIVATE_H
#define GATEPOST_GATE_BUDGET_PRIVATE_H

#include <math.h>
#include <stdatomic.h>

#include "data/settings.h"
#include "gate/budget.h"
#include "tally/tally.h"

#define BUDGET_NAME_MOST 32
#define BUDGETS_MOST 64
#define BUDGET_OWN "own"

/* ---- budget_rules.c ---- */

struct budget_limits {
    double most[GATE_LIMIT_COUNT]; /* 0: not said; BUDGET_UNLIMITED: lifted */
    double invalid_least;
};
#define BUDGET_UNLIMITED (-1.0)

/* -1 with an error that names the key. */
int budget_limits_read(const json_t *table, struct budget_limits *limits_out, struct error *error)
    __attribute__((warn_unused_result));

enum budget_per { BUDGET_PER_IDENTITY, BUDGET_PER_TENANT, BUDGET_PER_GROUP, BUDGET_PER_ALL };

struct budget {
    char *name;
    enum budget_per per;
    json_t *groups, *tenants; /* arrays of strings; empty: whoever it may be */
    struct budget_limits limits;
};

struct gate_budgets {
    size_t count;
    struct budget list[BUDGETS_MOST];
};

/* The [budget.*] tables, and a look at the limits of the users in the file. Faults are kept in the settings. */
struct gate_budgets *gate_budgets_read(struct settings *root) __attribute__((returns_nonnull));
void gate_budgets_free(struct gate_budgets *budgets); /* NULL is fine */
/* Those of the rules; NULL when these have none. */
const struct gate_budgets *gate_rules_budgets(const struct gate_rules *rules);

/* ---- budget.c ---- */

struct budget_limit {
    enum gate_limit kind;
    double most, invalid_least;
    char *budget, *subject;
};

struct gate_allowance {
    atomic_uint refs;
    size_t count;
    struct budget_limit *limits;
};

/* ---- budget_ops.c: limits as tally's operations ---- */

#define BUDGET_HOUR_MS UINT64_C(3600000)
#define BUDGET_DAY_MS (24 * BUDGET_HOUR_MS)

/* Operations of one call, with the limit behind each. */
struct budget_ops {
    size_t count;
    bool is_here; /* sent to this node's memory alone, although there is a Redis */
    struct tally_op ops[TALLY_OPS_MOST];
    struct tally_key keys[TALLY_OPS_MOST];
    size_t limits[TALLY_OPS_MOST]; /* index in the allowance */
};

/* They are many bytes, most of which are never used: none of them is cleared. */
static inline void budget_ops_init(struct budget_ops *ops)
{
    ops->count = 0;
    ops->is_here = false;
}

/* How many operations the command with the most of them needs. */
size_t budget_ops_needed(const struct gate_allowance *allowance);

/* Each adds one; there has to be room. */
void budget_ops_take(struct budget_ops *ops, const struct gate_allowance *allowance, size_t limit, double amount);
void budget_ops_known(struct budget_ops *ops, const struct gate_allowance *allowance, size_t limit,
                      const char *recipient, enum tally_kind kind /* TALLY_MARK or TALLY_IS_MARKED */);
void budget_ops_session(struct budget_ops *ops, const struct gate_allowance *allowance, size_t limit,
                        const char *session_id, enum tally_kind kind /* TALLY_JOIN, TALLY_LEAVE, TALLY_MEMBERS */);
/* Two: the recipients that were refused for good, and all. */
void budget_ops_invalid(struct budget_ops *ops, const struct gate_allowance *allowance, size_t limit, double refused,
                        double all);
/* The share that the two make. They fade from when each was counted, and a recipient may prove wrong hours after. */
static inline double budget_invalid_share(double refused, double all)
{
    return refused > 0 ? refused / fmax(refused, all) : 0;
}
/* Counted, and nobody waits for it; the operations are forgotten. */
void budget_ops_send(struct budget_ops *ops);
void budget_ops_make_room(struct budget_ops *ops, size_t wanted); /* sends those there are, should they leave none */

/* ---- budget_figures.c ---- */

void budget_figures_count(const char *budget, enum gate_limit limit);

#endif
