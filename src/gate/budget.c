/* SPDX-License-Identifier: Apache-2.0
 *
 * Which limits apply to whom. They are picked once, when somebody logs in, and hold for the session: a reload that
 * changes them is about those who come after it.
 */
#include "gate/budget.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gate/budget_private.h"
#include "gate/identity.h"

#define LIMITS_MOST 256

struct picking {
    char *user; /* in lower case, as stores may go by: spelling a name anew opens no budget anew */
    const struct auth_info *info;
    const char *tenant; /* the one that holds where no header chooses; or NULL */
    struct budget_limits own;
    struct gate_allowance *allowance;
    bool is_full;
};

static void add(struct picking *picking, const char *budget, const char *subject, enum gate_limit kind,
                const struct budget_limits *limits)
{
    struct gate_allowance *allowance = picking->allowance;

    if (limits->most[kind] <= 0)
        return;
    if (allowance->count == LIMITS_MOST) {
        picking->is_full = true;
        return;
    }
    allowance->limits = mem_realloc(allowance->limits, (allowance->count + 1) * sizeof *allowance->limits);
    allowance->limits[allowance->count++] = (struct budget_limit){
        .kind = kind,
        .most = limits->most[kind],
        .invalid_least = limits->invalid_least,
        .budget = mem_strdup(budget),
        .subject = mem_strdup(subject),
    };
}

static void add_budget(struct picking *picking, const struct budget *budget, const char *subject)
{
    for (size_t kind = 0; kind < GATE_LIMIT_COUNT; kind++)
        if (budget->per != BUDGET_PER_IDENTITY || picking->own.most[kind] == 0)
            add(picking, budget->name, subject, (enum gate_limit)kind, &budget->limits);
}

/* ---- whom a budget is about ---- */

static bool names(const json_t *list, const char *name)
{
    json_t *item;
    size_t i;

    json_array_foreach(list, i, item) if (name && strcmp(json_string_value(item), name) == 0) return true;
    return false;
}

static bool is_for_group(const struct budget *budget, const char *group)
{
    return !json_array_size(budget->groups) || names(budget->groups, group);
}

static bool is_for_member(const struct budget *budget, const struct auth_info *info)
{
    const char *group;

    if (!json_array_size(budget->groups))
        return true;
    for (size_t i = 0; (group = auth_info_group_at(info, i)); i++)
        if (names(budget->groups, group))
            return true;
    return false;
}

static void add_for_groups(struct picking *picking, const struct budget *budget)
{
    const char *group;

    for (size_t i = 0; (group = auth_info_group_at(picking->info, i)); i++)
        if (is_for_group(budget, group))
            add_budget(picking, budget, group);
}

static void consider(struct picking *picking, const struct budget *budget)
{
    const char *tenant = picking->tenant;

    if ((json_array_size(budget->tenants) && !names(budget->tenants, tenant)) || !is_for_member(budget, picking->info))
        return;
    if (budget->per == BUDGET_PER_IDENTITY)
        add_budget(picking, budget, picking->user);
    else if (budget->per == BUDGET_PER_ALL)
        add_budget(picking, budget, "");
    else if (budget->per == BUDGET_PER_GROUP)
        add_for_groups(picking, budget);
    else if (tenant)
        add_budget(picking, budget, tenant);
}

/* ---- the allowance ---- */

static int pick(struct picking *picking, const struct gate_budgets *budgets, struct error *error)
{
    const json_t *limits = auth_info_limits(picking->info);

    if (limits && budget_limits_read(limits, &picking->own, error))
        return error_prefix(error, "limits");
    for (size_t i = 0; budgets && i < budgets->count; i++)
        consider(picking, &budgets->list[i]);
    for (size_t kind = 0; kind < GATE_LIMIT_COUNT; kind++)
        add(picking, BUDGET_OWN, picking->user, (enum gate_limit)kind, &picking->own);
    if (picking->is_full || budget_ops_needed(picking->allowance) > TALLY_OPS_MOST)
        return error_set(error, ERROR_PERM, "more budgets apply than can be asked at once");
    return 0;
}

int gate_allowance_new(const struct gate_rules *rules, const char *user, const struct auth_info *info,
                       struct gate_allowance **allowance_out, struct error *error)
{
    struct picking picking = {
        .user = span_dup_lower(span_of(user)), .info = info, .allowance = mem_zalloc(sizeof *picking.allowance)};
    json_t *tenants = gate_identity_tenants(&(struct gate_who){.rules = rules, .info = info});
    int result;

    atomic_init(&picking.allowance->refs, 1);
    picking.tenant = json_string_value(json_array_get(tenants, 0));
    result = pick(&picking, rules ? gate_rules_budgets(rules) : NULL, error);
    json_decref(tenants);
    free(picking.user);
    if (result) {
        gate_allowance_unref(&picking.allowance);
        return -1;
    }
    if (!picking.allowance->count)
        gate_allowance_unref(&picking.allowance);
    *allowance_out = picking.allowance;
    return 0;
}

struct gate_allowance *gate_allowance_ref(struct gate_allowance *allowance)
{
    if (allowance)
        atomic_fetch_add_explicit(&allowance->refs, 1, memory_order_relaxed);
    return allowance;
}

void gate_allowance_unref(struct gate_allowance **allowance_at)
{
    struct gate_allowance *allowance = *allowance_at;

    *allowance_at = NULL;
    if (!allowance || atomic_fetch_sub_explicit(&allowance->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < allowance->count; i++) {
        free(allowance->limits[i].budget);
        free(allowance->limits[i].subject);
    }
    free(allowance->limits);
    free(allowance);
}

/* ---- words for the client ---- */

static void say_when(uint64_t retry_ms, char *out, size_t size)
{
    uint64_t seconds = retry_ms / 1000 + 1;

    if (!retry_ms)
        snprintf(out, size, "later");
    else if (seconds < 120)
        snprintf(out, size, "in %llu seconds", (unsigned long long)seconds);
    else if (seconds < 7200)
        snprintf(out, size, "in %llu minutes", (unsigned long long)(seconds / 60 + 1));
    else
        snprintf(out, size, "in %llu hours", (unsigned long long)(seconds / 3600 + 1));
}

void gate_excess_say(const struct gate_excess *excess, char out[GATE_EXCESS_TEXT_BYTES])
{
    char when[64];

    say_when(excess->retry_ms, when, sizeof when);
    if (excess->is_never)
        snprintf(out, GATE_EXCESS_TEXT_BYTES, "more than limit %s of budget %s allows at all",
                 gate_limit_name(excess->limit), excess->budget);
    else
        snprintf(out, GATE_EXCESS_TEXT_BYTES, "limit %s of budget %s is reached; try again %s",
                 gate_limit_name(excess->limit), excess->budget, when);
}
