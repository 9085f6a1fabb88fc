/* SPDX-License-Identifier: Apache-2.0
 *
 * What a user has used up of the budgets, for an operator: {"who": "ada"} becomes {"limits": [{budget, whose, limit,
 * used, most}]}.
 */
#include "desk/desk_private.h"
#include "gate/budget.h"

static json_t *use_json(const struct gate_use *use)
{
    return json_pack("{s:s, s:s, s:s, s:f, s:f}", "budget", use->budget, "whose", use->subject, "limit",
                     gate_limit_name(use->limit), "used", use->used, "most", use->most);
}

static void on_uses(void *ctx, const struct gate_uses *uses, const struct error *error)
{
    struct question *question = ctx;
    json_t *limits;

    if (error) {
        question->error = *error;
        desk_finish(question, NULL);
        return;
    }
    limits = json_array();
    for (size_t i = 0; i < uses->count; i++)
        json_array_append_new(limits, use_json(&uses->list[i]));
    desk_finish(question, json_pack("{s:o, s:b}", "limits", limits, "is_local", uses->is_local));
}

void desk_budget(struct question *question)
{
    const char *who = desk_needed_name(question, "who");

    if (who)
        gate_budget_show(question->rules, question->desk->thread.loop, who, on_uses, question);
}
