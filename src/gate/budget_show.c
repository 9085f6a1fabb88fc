/* SPDX-License-Identifier: Apache-2.0
 *
 * What is used up of each limit, for whoever asks: read in as many calls of tally as it takes, nothing is counted.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "credential/lookup.h"
#include "gate/budget_private.h"
#include "gate/gate_private.h"
#include "gate/identity.h"

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

            use.used = budget_invalid_share(use.used, all);
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
    struct budget_ops ops;

    budget_ops_init(&ops);
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
    show->on_done(show->ctx, &(struct gate_uses){show->uses, show->known, show->is_local}, NULL);
    gate_allowance_unref(&show->allowance);
    free(show->uses);
    free(show);
}

void gate_allowance_show(struct gate_allowance *allowance, struct loop *loop, gate_uses_fn *on_done, void *ctx)
{
    struct show *show = mem_zalloc(sizeof *show);

    show->allowance = budget_allowance_of_all(allowance);
    show->loop = loop;
    show->on_done = on_done;
    show->ctx = ctx;
    show->uses = mem_zalloc((show->allowance->count + 1) * sizeof *show->uses);
    go_on(show);
}

/* ---- by name: the record tells what applies ---- */

struct by_name {
    struct gate_rules *rules;
    struct loop *loop;
    char *user;
    gate_uses_fn *on_done;
    void *ctx;
};

static void tell(struct by_name *by_name, struct gate_allowance *allowance, const struct error *error)
{
    if (allowance)
        gate_allowance_show(allowance, by_name->loop, by_name->on_done, by_name->ctx);
    else
        by_name->on_done(by_name->ctx, error ? NULL : &(struct gate_uses){.count = 0}, error);
    gate_rules_unref(&by_name->rules);
    free(by_name->user);
    free(by_name);
}

static void on_record(void *ctx, const struct lookup_result *result)
{
    struct by_name *by_name = ctx;
    struct credential *record = result->outcome == STORE_FOUND ? result->credential : NULL;
    const char *user = record ? record->name : by_name->user;
    struct gate_allowance *allowance = NULL;
    struct gate_login *login;
    struct auth_info *info;
    struct error error;

    if (result->outcome == STORE_FAILED) {
        tell(by_name, NULL, &result->error);
        return;
    }
    login = gate_login_of(by_name->rules, user, user);
    login->credential = record ? credential_ref(record) : NULL;
    info = gate_info_of(login, NULL);
    if (gate_allowance_new(&(struct gate_who){by_name->rules, login, info}, user, &allowance, &error))
        tell(by_name, NULL, &error);
    else
        tell(by_name, allowance, NULL);
    gate_allowance_unref(&allowance);
    auth_info_unref(&info);
    gate_login_unref(&login);
}

void gate_budget_show(struct gate_rules *rules, struct loop *loop, const char *user, gate_uses_fn *on_done, void *ctx)
{
    struct by_name *by_name = mem_zalloc(sizeof *by_name);

    *by_name = (struct by_name){gate_rules_ref(rules), loop, mem_strdup(user), on_done, ctx};
    (void)lookup_user(rules->stores, loop, by_name->user, SPAN_LIT(""), NULL, LOOKUP_CACHED, on_record, by_name);
}
