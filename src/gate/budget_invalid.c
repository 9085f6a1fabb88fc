/* SPDX-License-Identifier: Apache-2.0
 *
 * Recipients that turn out not to exist when their message is delivered. By then the session is over, and the daemon
 * may have been started anew; so a message carries in its metadata whose numbers it counts for, and nobody is looked
 * up. The awkward truth: such a recipient was counted as a good one when the message was accepted, and the two numbers
 * have faded since; budget_invalid_share sees to it that the wrong ones are never more than all.
 */
#include "gate/budget_private.h"

json_t *gate_allowance_watchers(const struct gate_allowance *allowance)
{
    json_t *watchers = NULL;

    for (size_t i = 0; i < allowance->count; i++) {
        const struct budget_limit *limit = &allowance->limits[i];

        if (limit->kind != GATE_LIMIT_INVALID_RECIPIENTS)
            continue;
        watchers = watchers ? watchers : json_array();
        json_array_append_new(watchers, json_pack("[s, s]", limit->budget, limit->subject));
    }
    return watchers;
}

/* A policy may write into metadata what it likes. */
static bool read_watcher(const json_t *watcher, struct budget_limit *limit_out)
{
    const char *budget = json_string_value(json_array_get(watcher, 0));
    const char *subject = json_string_value(json_array_get(watcher, 1));

    *limit_out = (struct budget_limit){.kind = GATE_LIMIT_INVALID_RECIPIENTS,
                                       .budget = (char *)(uintptr_t)budget,
                                       .subject = (char *)(uintptr_t)subject};
    return budget && subject;
}

void gate_budget_note_invalid(const json_t *watchers, size_t recipients)
{
    struct budget_ops ops = {.count = 0};
    json_t *watcher;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)watchers, i, watcher)
    {
        struct budget_limit limit;

        if (!read_watcher(watcher, &limit))
            continue;
        budget_ops_make_room(&ops, 2);
        budget_ops_invalid(&ops, &(struct gate_allowance){.count = 1, .limits = &limit}, 0, (double)recipients, 0);
    }
    budget_ops_send(&ops);
}
