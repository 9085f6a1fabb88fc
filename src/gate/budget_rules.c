/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits as operators write them: [budget.*] of auth.toml, and the table `limits` of a record or AuthInfo, which has
 * the same keys. A limit that cannot be understood must not become none: in the file it stops the load, in a record
 * the login.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gate/budget_private.h"

#define AMOUNT_MOST 1e15
#define SESSIONS_MOST 4096 /* members of one set that tally keeps */
#define INVALID_LEAST 20
#define LEAST_KEY "invalid_recipients_least"

static const char *const names[GATE_LIMIT_COUNT] = {
    [GATE_LIMIT_MESSAGES_PER_HOUR] = "messages_per_hour",
    [GATE_LIMIT_MESSAGES_PER_DAY] = "messages_per_day",
    [GATE_LIMIT_RECIPIENTS_PER_HOUR] = "recipients_per_hour",
    [GATE_LIMIT_RECIPIENTS_PER_DAY] = "recipients_per_day",
    [GATE_LIMIT_NEW_RECIPIENTS_PER_DAY] = "new_recipients_per_day",
    [GATE_LIMIT_BYTES_PER_DAY] = "bytes_per_day",
    [GATE_LIMIT_SESSIONS] = "sessions",
    [GATE_LIMIT_INVALID_RECIPIENTS] = "invalid_recipients",
};

const char *gate_limit_name(enum gate_limit limit) { return names[limit]; }

/* ---- one table ---- */

static int read_ratio(const json_t *value, double *most_out, struct error *error)
{
    double ratio = json_number_value(value);

    if (!json_is_number(value) || !(ratio > 0 && ratio <= 1))
        return error_set(error, ERROR_PERM,
                         "invalid_recipients: must be a share, above 0 and up to 1, or "
                         "\"unlimited\"");
    *most_out = ratio;
    return 0;
}

static int read_count(const char *key, const json_t *value, double largest, double *most_out, struct error *error)
{
    double amount = json_number_value(value);

    if (!json_is_number(value) || amount != floor(amount) || amount < 1 || amount > largest)
        return error_set(error, ERROR_PERM, "%s: must be a whole number from 1 to %.0f%s", key, largest,
                         strcmp(key, LEAST_KEY) == 0 ? "" : ", or \"unlimited\"");
    *most_out = amount;
    return 0;
}

static int read_limit(enum gate_limit kind, const json_t *value, double *most_out, struct error *error)
{
    if (json_is_string(value) && strcmp(json_string_value(value), "unlimited") == 0) {
        *most_out = BUDGET_UNLIMITED;
        return 0;
    }
    if (kind == GATE_LIMIT_INVALID_RECIPIENTS)
        return read_ratio(value, most_out, error);
    return read_count(names[kind], value, kind == GATE_LIMIT_SESSIONS ? SESSIONS_MOST : AMOUNT_MOST, most_out, error);
}

static enum gate_limit kind_of(const char *key)
{
    size_t kind = 0;

    while (kind < GATE_LIMIT_COUNT && strcmp(names[kind], key) != 0)
        kind++;
    return (enum gate_limit)kind;
}

int budget_limits_read(const json_t *table, struct budget_limits *limits_out, struct error *error)
{
    struct budget_limits limits = {.invalid_least = INVALID_LEAST};
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)table, key, value)
    {
        enum gate_limit kind = kind_of(key);

        if (strcmp(key, LEAST_KEY) == 0) {
            if (read_count(key, value, AMOUNT_MOST, &limits.invalid_least, error))
                return -1;
        } else if (kind == GATE_LIMIT_COUNT) {
            return error_set(error, ERROR_PERM, "%.64s: there is no such limit", key);
        } else if (read_limit(kind, value, &limits.most[kind], error)) {
            return -1;
        }
    }
    *limits_out = limits;
    return 0;
}

/* ---- [budget.NAME] ---- */

/* It is in replies to clients. */
static bool is_a_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

    return len > 0 && len <= BUDGET_NAME_MOST && !name[len];
}

static void read_limits(struct budget *budget, struct settings *table)
{
    json_t *limits = json_object();
    struct error error;

    for (size_t kind = 0; kind <= GATE_LIMIT_COUNT; kind++) {
        const char *key = kind < GATE_LIMIT_COUNT ? names[kind] : LEAST_KEY;
        const json_t *value = settings_value(table, key);

        if (value)
            json_object_set(limits, key, (json_t *)(uintptr_t)value);
    }
    if (budget_limits_read(limits, &budget->limits, &error))
        settings_fault(table, NULL, "%s", error.sentence);
    json_decref(limits);
}

static void read_budget(struct budget *budget, const char *name, struct settings *table)
{
    static const char *const pers[] = {"identity", "tenant", "group", "all", NULL};

    if (!is_a_name(name))
        settings_fault(table, NULL, "the name of a budget is at most %d letters, digits and _.-", BUDGET_NAME_MOST);
    else if (strcmp(name, BUDGET_OWN) == 0)
        settings_fault(table, NULL, "\"" BUDGET_OWN "\" is what users' own limits are called");
    budget->name = mem_strdup(name);
    budget->per = (enum budget_per)settings_choice(table, "per", pers, BUDGET_PER_IDENTITY);
    budget->groups = json_deep_copy(settings_strings(table, "groups"));
    budget->tenants = json_deep_copy(settings_strings(table, "tenants"));
    read_limits(budget, table);
}

/* A record of another store is looked at when its user comes; those in the file are here already. */
static void look_at_users(struct settings *root)
{
    struct budget_limits limits;
    struct error error;
    const char *name;
    json_t *user;

    json_object_foreach((json_t *)(uintptr_t)settings_peek(root, "user"), name, user)
    {
        if (budget_limits_read(json_object_get(user, "limits"), &limits, &error))
            settings_fault(settings_table(root, "user"), name, "limits: %s", error.sentence);
    }
}

struct gate_budgets *gate_budgets_read(struct settings *root)
{
    struct settings *table = settings_table(root, "budget");
    struct gate_budgets *budgets = mem_zalloc(sizeof *budgets);
    const char *name;

    for (size_t i = 0; table && (name = settings_name_at(table, i)); i++) {
        if (i == BUDGETS_MOST) {
            settings_fault(table, name, "there are at most %d budgets", BUDGETS_MOST);
            break;
        }
        read_budget(&budgets->list[budgets->count++], name, settings_table(table, name));
    }
    look_at_users(root);
    return budgets;
}

void gate_budgets_free(struct gate_budgets *budgets)
{
    if (!budgets)
        return;
    for (size_t i = 0; i < budgets->count; i++) {
        free(budgets->list[i].name);
        json_decref(budgets->list[i].groups);
        json_decref(budgets->list[i].tenants);
    }
    free(budgets);
}
