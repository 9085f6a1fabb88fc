/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic of counters, budgets, marks and members, on plain structs and a given time. script.c says the same in
 * Lua for Redis: whoever changes one changes the other.
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tally/tally_private.h"

/* Ten half-lives of one event: what is left then is nothing. */
#define COUNTER_LEAST (1.0 / 1024)
#define MEMBERS_DEFAULT 256
#define MEMBERS_MOST 4096

static uint64_t ms_until(uint64_t until_ms, uint64_t now_ms) { return until_ms > now_ms ? until_ms - now_ms : 0; }

/* ---- counters ---- */

static double decayed(const struct tally_counter *counter, uint64_t half_life_ms, uint64_t now_ms)
{
    double passed_ms = now_ms > counter->at_ms ? (double)(now_ms - counter->at_ms) : 0;
    double value = half_life_ms ? counter->value * pow(2, -(passed_ms / (double)half_life_ms)) : 0;

    return value < COUNTER_LEAST ? 0 : value;
}

double rules_counter_now(const struct tally_counter *counter, uint64_t now_ms)
{
    return decayed(counter, counter->half_life_ms, now_ms);
}

uint64_t rules_counter_left_ms(const struct tally_counter *counter, uint64_t now_ms)
{
    double value = rules_counter_now(counter, now_ms);

    return value > 0 ? (uint64_t)ceil((double)counter->half_life_ms * log2(value / COUNTER_LEAST)) : 0;
}

void rules_count(struct tally_counter *counter, const struct tally_item *item, uint64_t now_ms,
                 struct tally_result *result)
{
    double value = decayed(counter, item->time_ms, now_ms);

    if (item->amount != 0) {
        if (item->amount > 0 && item->limit > 0)
            value = fmax(value, fmin(value + item->amount, item->limit));
        else
            value = fmax(value + item->amount, 0);
        *counter = (struct tally_counter){.value = value, .at_ms = now_ms, .half_life_ms = item->time_ms};
    }
    result->value = value;
}

/* ---- budgets ---- */

static struct tally_budget rolled(const struct tally_budget *budget, uint64_t window_ms, uint64_t now_ms)
{
    uint64_t start_ms = now_ms / window_ms * window_ms;
    struct tally_budget now = {.start_ms = start_ms, .window_ms = window_ms};

    if (budget->start_ms == start_ms) {
        now.former = budget->former;
        now.present = budget->present;
    } else if (budget->start_ms + window_ms == start_ms) {
        now.former = budget->present;
    }
    return now;
}

static double used(const struct tally_budget *budget, uint64_t now_ms)
{
    double passed = (double)(now_ms - budget->start_ms) / (double)budget->window_ms;

    return budget->former * (1 - passed) + budget->present;
}

double rules_budget_now(const struct tally_budget *budget, uint64_t now_ms)
{
    struct tally_budget now;

    if (!budget->window_ms)
        return 0;
    now = rolled(budget, budget->window_ms, now_ms);
    return used(&now, now_ms);
}

uint64_t rules_budget_left_ms(const struct tally_budget *budget, uint64_t now_ms)
{
    uint64_t end_ms = budget->start_ms + budget->window_ms;

    if (budget->present > 0)
        end_ms += budget->window_ms;
    return budget->former + budget->present > 0 ? ms_until(end_ms, now_ms) : 0;
}

/* When `amount` fits, if nothing else is taken: still in the present window, when enough of the former has passed; or
 * in the next one, whose former is the present. */
static uint64_t fits_in_ms(const struct tally_budget *budget, double amount, double limit, uint64_t now_ms)
{
    double window = (double)budget->window_ms;
    double at;

    if (amount > limit)
        return 0;
    if (budget->present + amount <= limit)
        at = window * (1 - (limit - amount - budget->present) / budget->former);
    else
        at = window + window * (1 - (limit - amount) / budget->present);
    return (uint64_t)fmax(ceil((double)budget->start_ms + at - (double)now_ms), 1);
}

static void give_back(struct tally_budget *budget, double amount)
{
    double rest = amount - budget->present;

    budget->present = fmax(budget->present - amount, 0);
    if (rest > 0) /* it was taken before the window rolled */
        budget->former = fmax(budget->former - rest, 0);
}

bool rules_take(struct tally_budget *budget, const struct tally_item *item, bool is_forced, uint64_t now_ms,
                struct tally_result *result)
{
    struct tally_budget now = rolled(budget, item->time_ms, now_ms);

    result->value = used(&now, now_ms);
    if (item->amount > 0 && item->limit > 0 && !is_forced && result->value + item->amount > item->limit) {
        result->left_ms = fits_in_ms(&now, item->amount, item->limit, now_ms);
        return false;
    }
    if (item->amount > 0)
        now.present += item->amount;
    else
        give_back(&now, -item->amount);
    if (item->amount != 0)
        *budget = now;
    result->value = used(&now, now_ms);
    return true;
}

/* ---- marks ---- */

void rules_is_marked(const struct tally_mark *mark, uint64_t now_ms, struct tally_result *result)
{
    result->left_ms = ms_until(mark->until_ms, now_ms);
    result->was_there = result->left_ms > 0;
    result->value = result->was_there ? mark->value : 0;
}

void rules_mark(struct tally_mark *mark, const struct tally_item *item, uint64_t now_ms, struct tally_result *result)
{
    rules_is_marked(mark, now_ms, result);
    if (result->was_there && item->keep)
        return;
    *mark = (struct tally_mark){.value = item->amount, .until_ms = now_ms + item->time_ms};
    result->value = item->amount;
    result->left_ms = item->time_ms;
}

/* ---- members ---- */

struct tally_member *rules_member_find(struct tally_members *members, const unsigned char *id)
{
    for (uint32_t i = 0; i < members->count; i++)
        if (!memcmp(members->list[i].id, id, TALLY_DIGEST_BYTES))
            return &members->list[i];
    return NULL;
}

void rules_member_put(struct tally_members *members, const struct tally_member *member)
{
    struct tally_member *there = rules_member_find(members, member->id);

    if (!there && members->count == members->capacity) {
        members->capacity = members->capacity ? members->capacity * 2 : 2;
        members->list = mem_realloc(members->list, members->capacity * sizeof *members->list);
    }
    if (!there)
        there = &members->list[members->count++];
    *there = *member;
    if (member->until_ms > members->until_ms)
        members->until_ms = member->until_ms;
}

void rules_member_remove(struct tally_members *members, struct tally_member *member)
{
    *member = members->list[--members->count];
}

void rules_members_expire(struct tally_members *members, uint64_t now_ms)
{
    for (uint32_t i = members->count; i-- > 0;)
        if (members->list[i].until_ms <= now_ms)
            rules_member_remove(members, &members->list[i]);
}

static uint64_t first_goes_in_ms(const struct tally_members *members, uint64_t now_ms)
{
    uint64_t first_ms = UINT64_MAX;

    for (uint32_t i = 0; i < members->count; i++)
        if (members->list[i].until_ms < first_ms)
            first_ms = members->list[i].until_ms;
    return members->count ? ms_until(first_ms, now_ms) : 0;
}

uint32_t rules_most_members(const struct tally_item *item)
{
    uint32_t most = item->most ? item->most : MEMBERS_DEFAULT;

    return most < MEMBERS_MOST ? most : MEMBERS_MOST;
}

bool rules_join(struct tally_members *members, const struct tally_item *item, bool is_forced, uint64_t now_ms,
                struct tally_result *result)
{
    struct tally_member member = {.until_ms = now_ms + item->time_ms};

    rules_members(members, item, now_ms, result);
    if (!result->was_there && item->limit > 0 && !is_forced && result->value >= item->limit) {
        result->left_ms = first_goes_in_ms(members, now_ms);
        return false;
    }
    result->is_capped = !result->was_there && members->count >= rules_most_members(item);
    if (!result->is_capped) {
        memcpy(member.id, item->member, sizeof member.id);
        rules_member_put(members, &member);
    }
    result->value = members->count;
    return true;
}

void rules_leave(struct tally_members *members, const struct tally_item *item, uint64_t now_ms,
                 struct tally_result *result)
{
    rules_members(members, item, now_ms, result);
    if (result->was_there)
        rules_member_remove(members, rules_member_find(members, item->member));
    result->value = members->count;
}

void rules_members(struct tally_members *members, const struct tally_item *item, uint64_t now_ms,
                   struct tally_result *result)
{
    rules_members_expire(members, now_ms);
    result->value = members->count;
    result->was_there = rules_member_find(members, item->member) != NULL;
}
