/* SPDX-License-Identifier: Apache-2.0
 *
 * What is used up of each limit, for whoever asks: read in as many calls of tally as it takes, nothing is counted.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "gate/budget_private.h"

struct show {
    struct gate_allowance *allowance;
    struct loop *loop;
    gate_uses_fn *on_done;
    void *ctx;
    bool is_local;
    size_t next; /* the first limit that was not asked for */
    size_t known;
    struct gate_use *uses;
};

static void go_on(struct show *show);

static void take(struct show *show, const struct tally_answer *answer)
{
    for (size_t i = 0; i < answer->count; i++) {
        const struct budget_limit *limit = &show->allowance->limits[show->known];
        struct gate_use use = {limit->budget, limit->subject, limit->kind, answer->results[i].value, limit->most};

        if (limit->kind == GATE_LIMIT_INVALID_RECIPIENTS) {
            double all = answer->results[++i].value;

            use.used = all > 0 ? use.used / all : 0;
        }
        show->uses[show->known++] = use;
    }
    show->is_local |= answer->is_local;
}

static void on_answer(void *ctx, const struct tally_answer *answer)
{
    take(ctx, answer);
    go_on(ctx);
}

static void ask(struct show *show)
{
    struct budget_ops ops = {.count = 0};

    for (; show->next < show->allowance->count && ops.count + 2 <= TALLY_OPS_MOST; show->next++) {
        enum gate_limit kind = show->allowance->limits[show->next].kind;

        if (kind == GATE_LIMIT_INVALID_RECIPIENTS)
            budget_ops_invalid(&ops, show->allowance, show->next, 0, 0);
        else if (kind == GATE_LIMIT_SESSIONS)
            budget_ops_session(&ops, show->allowance, show->next, "", TALLY_MEMBERS);
        else
            budget_ops_take(&ops, show->allowance, show->next, 0);
    }
    MUST(tally_get());
    (void)tally_run(tally_get(), show->loop, ops.ops, ops.count, on_answer, show);
}

static void go_on(struct show *show)
{
    if (show->next < show->allowance->count) {
        ask(show);
        return;
    }
    show->on_done(show->ctx, show->uses, show->known, show->is_local);
    gate_allowance_unref(&show->allowance);
    free(show->uses);
    free(show);
}

void gate_allowance_show(struct gate_allowance *allowance, struct loop *loop, gate_uses_fn *on_done, void *ctx)
{
    struct show *show = mem_zalloc(sizeof *show);

    show->allowance = gate_allowance_ref(allowance);
    show->loop = loop;
    show->on_done = on_done;
    show->ctx = ctx;
    show->uses = mem_zalloc((allowance->count + 1) * sizeof *show->uses);
    go_on(show);
}
