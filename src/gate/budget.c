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
#define OPEN_MOST 4096 /* a user may have many tenants, and each message is of one */

struct picking {
    char *user; /* in lower case, as stores may go by: spelling a name anew opens no budget anew */
    const struct auth_info *info;
    struct budget_limits own;
    struct gate_allowance *allowance;
    bool is_full;
};

/* ---- lists of limits ---- */

static void limits_add(struct budget_limit **limits, size_t *count, const struct budget_limit *limit)
{
    struct budget_limit copy = *limit;

    copy.budget = mem_strdup(limit->budget);
    copy.subject = limit->subject ? mem_strdup(limit->subject) : NULL;
    copy.tenants = limit->tenants ? json_deep_copy(limit->tenants) : NULL;
    *limits = mem_realloc(*limits, (*count + 1) * sizeof **limits);
    (*limits)[(*count)++] = copy;
}

static void limits_free(struct budget_limit *limits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(limits[i].budget);
        free(limits[i].subject);
        json_decref(limits[i].tenants);
    }
    free(limits);
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

static bool is_for_tenant(const json_t *tenants, const char *tenant)
{
    return !json_array_size(tenants) || names(tenants, tenant);
}

static bool is_for_one_of(const json_t *tenants, const json_t *those)
{
    json_t *item;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)those, i,
                       item) if (is_for_tenant(tenants, json_string_value(item))) return true;
    return !json_array_size(tenants);
}

/* ---- picking ---- */

static void add(struct picking *picking, const struct budget_limit *limit)
{
    struct gate_allowance *allowance = picking->allowance;

    if (allowance->count == LIMITS_MOST)
        picking->is_full = true;
    else
        limits_add(&allowance->limits, &allowance->count, limit);
}

/* Sessions, and recipients that were refused, are no message's: they count for the first of the user's tenants. */
static void add_of_tenant(struct picking *picking, const struct budget *budget, struct budget_limit limit)
{
    struct gate_allowance *allowance = picking->allowance;
    const char *first = json_string_value(json_array_get(allowance->tenants, 0));
    bool is_of_message = budget_is_of_message(limit.kind);

    limit.is_of_tenant = true;
    limit.tenants = json_array_size(budget->tenants) ? budget->tenants : NULL;
    if (is_of_message && allowance->open_count == OPEN_MOST)
        picking->is_full = true;
    else if (is_of_message)
        limits_add(&allowance->open, &allowance->open_count, &limit);
    if (!first || !is_for_tenant(budget->tenants, first) || (is_of_message && !allowance->tenant))
        return;
    limit.tenants = NULL;
    limit.subject = limit.subject ? limit.subject : (char *)(uintptr_t)first;
    add(picking, &limit);
}

static bool depends_on_tenant(const struct budget *budget)
{
    return budget->per == BUDGET_PER_TENANT || json_array_size(budget->tenants);
}

static void add_budget(struct picking *picking, const struct budget *budget, const char *subject)
{
    for (size_t kind = 0; kind < GATE_LIMIT_COUNT; kind++) {
        struct budget_limit limit = {.kind = (enum gate_limit)kind,
                                     .most = budget->limits.most[kind],
                                     .invalid_least = budget->limits.invalid_least,
                                     .budget = budget->name,
                                     .subject = (char *)(uintptr_t)subject};

        if (limit.most <= 0 || (budget->per == BUDGET_PER_IDENTITY && picking->own.most[kind] != 0))
            continue;
        if (depends_on_tenant(budget))
            add_of_tenant(picking, budget, limit);
        else
            add(picking, &limit);
    }
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
    if (!is_for_one_of(budget->tenants, picking->allowance->tenants) || !is_for_member(budget, picking->info))
        return;
    if (budget->per == BUDGET_PER_IDENTITY)
        add_budget(picking, budget, picking->user);
    else if (budget->per == BUDGET_PER_ALL)
        add_budget(picking, budget, "");
    else if (budget->per == BUDGET_PER_GROUP)
        add_for_groups(picking, budget);
    else
        add_budget(picking, budget, NULL);
}

static void add_own(struct picking *picking)
{
    for (size_t kind = 0; kind < GATE_LIMIT_COUNT; kind++)
        if (picking->own.most[kind] > 0)
            add(picking, &(struct budget_limit){.kind = (enum gate_limit)kind,
                                                .most = picking->own.most[kind],
                                                .invalid_least = picking->own.invalid_least,
                                                .budget = (char *)(uintptr_t)BUDGET_OWN,
                                                .subject = picking->user});
}

/* ---- the tenant of a message ---- */

static bool holds_for(const struct budget_limit *open, const char *tenant)
{
    return tenant && is_for_tenant(open->tenants, tenant);
}

/* What the end of a message of his first, second, ... tenant asks for. */
static size_t most_at_the_end(const struct gate_allowance *allowance)
{
    size_t most = 0, count;
    json_t *tenant;
    size_t i;

    json_array_foreach(allowance->tenants, i, tenant)
    {
        count = 0;
        for (size_t k = 0; k < allowance->count; k++)
            count += !allowance->limits[k].is_of_tenant && budget_message_takes(allowance->limits[k].kind, 1) > 0;
        for (size_t k = 0; k < allowance->open_count; k++)
            count += holds_for(&allowance->open[k], json_string_value(tenant));
        most = count > most ? count : most;
    }
    return most;
}

static bool has_limit(const struct gate_allowance *allowance, const struct budget_limit *limit, const char *subject)
{
    for (size_t i = 0; i < allowance->count; i++) {
        const struct budget_limit *known = &allowance->limits[i];

        if (known->kind == limit->kind && !strcmp(known->budget, limit->budget) && !strcmp(known->subject, subject))
            return true;
    }
    return false;
}

static void add_open(struct gate_allowance *to, const struct gate_allowance *from, const char *tenant, bool is_once)
{
    for (size_t i = 0; i < from->open_count; i++) {
        struct budget_limit limit = from->open[i];

        if (!holds_for(&limit, tenant))
            continue;
        limit.tenants = NULL;
        limit.subject = limit.subject ? limit.subject : (char *)(uintptr_t)tenant;
        if (!is_once || !has_limit(to, &limit, limit.subject))
            limits_add(&to->limits, &to->count, &limit);
    }
}

static struct gate_allowance *copy_of(const struct gate_allowance *allowance)
{
    struct gate_allowance *copy = mem_zalloc(sizeof *copy);

    atomic_init(&copy->refs, 1);
    for (size_t i = 0; i < allowance->count; i++)
        limits_add(&copy->limits, &copy->count, &allowance->limits[i]);
    return copy;
}

struct gate_allowance *budget_allowance_for(const struct gate_allowance *allowance, const char *tenant)
{
    struct gate_allowance *copy = copy_of(allowance);

    copy->tenant = tenant ? mem_strdup(tenant) : NULL;
    add_open(copy, allowance, tenant, false);
    return copy;
}

struct gate_allowance *budget_allowance_of_all(const struct gate_allowance *allowance)
{
    struct gate_allowance *copy = copy_of(allowance);
    json_t *tenant;
    size_t i;

    json_array_foreach(allowance->tenants, i, tenant) add_open(copy, allowance, json_string_value(tenant), true);
    return copy;
}

/* ---- the allowance ---- */

static int pick(struct picking *picking, const struct gate_budgets *budgets, struct error *error)
{
    const json_t *limits = auth_info_limits(picking->info);
    const struct gate_allowance *allowance = picking->allowance;

    if (limits && budget_limits_read(limits, &picking->own, error))
        return error_prefix(error, "limits");
    for (size_t i = 0; budgets && i < budgets->count; i++)
        consider(picking, &budgets->list[i]);
    add_own(picking);
    if (picking->is_full || budget_ops_needed(allowance) > TALLY_OPS_MOST ||
        most_at_the_end(allowance) > TALLY_OPS_MOST)
        return error_set(error, ERROR_PERM, "more budgets apply than can be asked at once");
    return 0;
}

int gate_allowance_new(const struct gate_who *who, const char *user, struct gate_allowance **allowance_out,
                       struct error *error)
{
    struct gate_allowance *allowance = mem_zalloc(sizeof *allowance);
    struct picking picking = {.user = span_dup_lower(span_of(user)), .info = who->info, .allowance = allowance};
    int result;

    atomic_init(&allowance->refs, 1);
    allowance->tenants = gate_identity_tenants(who);
    if (json_array_size(allowance->tenants) == 1)
        allowance->tenant = mem_strdup(json_string_value(json_array_get(allowance->tenants, 0)));
    result = pick(&picking, who->rules ? gate_rules_budgets(who->rules) : NULL, error);
    free(picking.user);
    if (result || (!allowance->count && !allowance->open_count))
        gate_allowance_unref(&allowance);
    if (result)
        return -1;
    *allowance_out = allowance;
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
    limits_free(allowance->limits, allowance->count);
    limits_free(allowance->open, allowance->open_count);
    json_decref(allowance->tenants);
    free(allowance->tenant);
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
