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
    bool is_of_tenant; /* it depends on the tenant that a message is of */
    double most, invalid_least;
    char *budget, *subject;
    json_t *tenants; /* open ones: of these alone; NULL: of any */
};

/* Whose mail a message is, its end tells. Who has one tenant is taken at his word before; of who has several the limits
 * that depend on it stay open until then. */
struct gate_allowance {
    atomic_uint refs;
    size_t count;
    struct budget_limit *limits;
    size_t open_count;
    struct budget_limit *open; /* all that depend on the tenant and are about messages. `subject` NULL: the tenant */
    json_t *tenants;           /* the user's, each once */
    char *tenant;              /* that `limits` are for; NULL: he has none, or several */
};

/* Messages and recipients are a tenant's; sessions, and refused recipients, are the user's first one's. */
static inline bool budget_is_of_message(enum gate_limit kind)
{
    return kind != GATE_LIMIT_SESSIONS && kind != GATE_LIMIT_INVALID_RECIPIENTS;
}

/* A new one with all limits of `allowance`, and behind them those that it leaves open and that hold for mail of
 * `tenant` (NULL: of no tenant). */
struct gate_allowance *budget_allowance_for(const struct gate_allowance *allowance, const char *tenant)
    __attribute__((returns_nonnull));
/* And the same for all tenants of a user who has several, each limit once: for showing them. */
struct gate_allowance *budget_allowance_of_all(const struct gate_allowance *allowance) __attribute__((returns_nonnull));

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

/* ---- budget_spend.c: what it shares with budget_message.c ---- */

struct budget_taken {
    double shared; /* where all nodes count, or in memory where there is no Redis */
    double here;   /* in memory, while Redis was away */
};

struct gate_spending {
    struct gate_allowance *allowance;
    struct budget_taken *taken; /* by limit */
    size_t recipients;
    char **new_to; /* the recipients' names, where somebody has to know them */
    size_t named;
    /* when the message is of another tenant than was assumed */
    bool is_settled;
    size_t settled_from; /* limits from here on are that tenant's */
};

/* Is it of those that the transaction counts for? The tenant's that was assumed may not be. */
bool budget_counts(const struct gate_spending *spending, size_t limit);

enum budget_purpose { BUDGET_TO_TRY, BUDGET_TO_TAKE, BUDGET_TO_BEGIN_SESSION, BUDGET_TO_COUNT_INVALID };

struct budget_item {
    size_t limit;
    double amount; /* taken, unless the item before it was there */
    bool depends;
};

struct gate_spend {
    enum budget_purpose purpose;
    struct gate_allowance *allowance;
    struct gate_spending *spending; /* BUDGET_TO_TAKE; not to be touched once it is left */
    char *name;                     /* of the recipient or session, or NULL */
    gate_spend_fn *on_done;
    void *ctx;
    bool is_left;
    size_t count;
    struct budget_item items[TALLY_OPS_MOST];
    /* budget_message.c, while it looks for recipients that are new to the tenant */
    struct loop *loop;
    uint64_t bytes;
    size_t looked;
    double *fresh; /* by limit: how many of them are */
    bool is_asking;
};

struct gate_spend *budget_spend_new(enum budget_purpose purpose, struct gate_allowance *allowance, const char *name,
                                    gate_spend_fn *on_done, void *ctx) __attribute__((returns_nonnull));
void budget_spend_free(struct gate_spend *spend);
/* Asks all of it in one step, and tells. NULL: it has told already. */
struct gate_spend *budget_spend_run(struct gate_spend *spend, struct loop *loop, struct budget_ops *ops);
/* Tells without asking. */
void budget_spend_tell(struct gate_spend *spend, const struct gate_excess *excess);
/* How much of a limit a message of so many bytes takes. */
double budget_message_takes(enum gate_limit kind, uint64_t bytes);

/* ---- budget_figures.c ---- */

enum budget_figure { BUDGET_REFUSED, BUDGET_TAKEN, BUDGET_GIVEN_BACK, BUDGET_FIGURE_COUNT };

void budget_figures_add(const char *budget, enum gate_limit limit, enum budget_figure figure, double amount);

#endif
