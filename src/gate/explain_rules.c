/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands against a login that is right: what was guessed lately, as whom it may send, and what it has used up. All
 * of it is told, also when the login was refused before, since an operator asks about the next try as well.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "gate/budget.h"
#include "gate/explain_private.h"
#include "gate/guess_private.h"
#include "gate/identity.h"

struct rules_asked {
    struct explaining *explaining;
    struct guess_subject subject;
    struct guess_plan plan;
    struct gate_allowance *allowance;
    void (*on_explained)(struct explaining *explaining);
};

static void end(struct rules_asked *asked)
{
    struct explaining *explaining = asked->explaining;
    void (*on_explained)(struct explaining *) = asked->on_explained;

    gate_allowance_unref(&asked->allowance);
    guess_subject_done(&asked->subject);
    free(asked);
    on_explained(explaining);
}

/* Of a login that would be let in so far: the first that stands against it is why, in the order of a session. */
static void decide(struct explaining *explaining, enum auth_reason reason)
{
    if (explaining->reason == AUTH_REASON_OK)
        explaining->reason = reason;
}

/* ---- what it has used up ---- */

static void tell_use(struct explaining *explaining, const struct gate_use *use, const char *where)
{
    bool is_reached = use->used >= use->most;
    bool refuses = is_reached && use->limit == GATE_LIMIT_SESSIONS; /* the others are about mail, not logins */
    json_t *step =
        explain_step(explaining, "budget", refuses ? EXPLAIN_REFUSES : EXPLAIN_NOTE, "%s%s%s: %s: %g of %g%s%s",
                     use->budget, *use->subject ? " of " : "", use->subject, gate_limit_name(use->limit), use->used,
                     use->most, is_reached ? ", reached" : "", where);

    if (refuses)
        decide(explaining, AUTH_REASON_BUDGET);
    json_object_set_new(step, "value", json_real(use->used));
    json_object_set_new(step, "limit", json_real(use->most));
    json_object_set_new(step, "applies", json_boolean(is_reached));
}

static void fail_budgets(struct explaining *explaining, const struct error *error)
{
    explain_step(explaining, "budget", EXPLAIN_FAILS, "%s", error->sentence);
    decide(explaining, AUTH_REASON_STORE_ERROR);
}

static void on_uses(void *ctx, const struct gate_uses *uses, const struct error *error)
{
    struct rules_asked *asked = ctx;

    if (error)
        fail_budgets(asked->explaining, error);
    for (size_t i = 0; uses && i < uses->count; i++)
        tell_use(asked->explaining, &uses->list[i], uses->is_local ? ", on this node" : "");
    end(asked);
}

static void tell_budgets(struct rules_asked *asked)
{
    struct explaining *explaining = asked->explaining;
    struct error error;

    if (!explaining->info) {
        end(asked);
    } else if (gate_allowance_new(&(struct gate_who){explaining->rules, explaining->login, explaining->info},
                                  explaining->user, &asked->allowance, &error)) {
        fail_budgets(explaining, &error);
        end(asked);
    } else if (asked->allowance) {
        gate_allowance_show(asked->allowance, explaining->loop, on_uses, asked);
    } else {
        end(asked);
    }
}

/* ---- as whom it may send ---- */

static void tell_tenants(struct explaining *explaining, const struct gate_who *who)
{
    json_t *tenants = gate_identity_tenants(who);
    char *text = json_dumps(tenants, JSON_COMPACT);

    if (json_array_size(tenants) && text)
        explain_step(explaining, "tenants", EXPLAIN_NOTE, "%s", text);
    free(text);
    json_decref(tenants);
}

static void tell_mail_from(struct explaining *explaining, const struct gate_who *who, enum gate_identity_mode mode)
{
    bool may = mode == GATE_IDENTITY_OFF || !(gate_identity_checks(who) & GATE_CHECK_MAIL_FROM) ||
               gate_identity_may_send_as(who, span_of(explaining->mail_from));

    if (may)
        explain_step(explaining, "mail_from", EXPLAIN_PASSES, "may send as <%s>", explaining->mail_from);
    else
        explain_step(explaining, "mail_from", mode == GATE_IDENTITY_REJECT ? EXPLAIN_REFUSES : EXPLAIN_NOTE,
                     "may not send as <%s>", explaining->mail_from);
}

static void add_senders(struct buf *line, const struct credential *credential, const char *whose)
{
    for (size_t i = 0; credential && i < credential->senders.count; i++)
        if (buf_appendf(line, "%s%s%s", i ? ", " : whose, i ? "" : " allows ", credential->senders.texts[i]))
            return;
}

static bool names_senders(const struct credential *credential) { return credential && credential->senders.count > 0; }

static void tell_identity(struct explaining *explaining)
{
    static const char *const modes[] = {"off", "log", "reject", "rewrite"};
    struct gate_who who = {explaining->rules, explaining->login, explaining->info};
    enum gate_identity_mode mode = gate_identity_mode(&who);
    struct buf line;

    buf_init(&line, 65536);
    if (names_senders(explaining->credential) || !explaining->login)
        add_senders(&line, explaining->credential, "; its record");
    else
        add_senders(&line, explaining->login->credential, "; its token");
    explain_step(explaining, "identity", EXPLAIN_NOTE, "mode %s%s", modes[mode], buf_cstr(&line));
    buf_done(&line);
    if (explaining->mail_from)
        tell_mail_from(explaining, &who, mode);
    tell_tenants(explaining, &who);
}

/* ---- what was guessed lately ---- */

static bool is_a(const struct gate_guess_fact *fact, const char *rule) { return !strcmp(fact->rule, rule); }

/* A lock refuses who is right as well; all else is for the operator to know. */
static enum explain_result weight(const struct gate_guess_fact *fact, bool is_locked)
{
    if (fact->is_decisive && is_locked)
        return EXPLAIN_REFUSES;
    if (is_a(fact, "known") || is_a(fact, "trusted"))
        return EXPLAIN_NOTE;
    return fact->applies ? EXPLAIN_NOTE : EXPLAIN_PASSES;
}

static char *phrase_mark(const struct gate_guess_fact *fact, const char *prefix)
{
    const char *no = fact->applies ? "" : "not ";

    if (is_a(fact, "held"))
        return mem_printf("the user is %sheld", no);
    if (is_a(fact, "known"))
        return mem_printf("the user is %sknown to come from %s", no, prefix);
    return mem_printf("%s is %s%s", prefix, no, fact->rule); /* blocked, trusted */
}

static char *phrase_number(const struct explaining *explaining, const struct gate_guess_fact *fact, const char *prefix)
{
    const char *user = explaining->user ? explaining->user : "";
    const char *locked = !fact->applies ? "" : fact->is_decisive ? ": locked" : ": locked, but not for this one";

    if (is_a(fact, "address"))
        return mem_printf("%.1f of %g failures from %s%s", fact->value, fact->limit, prefix, locked);
    if (is_a(fact, "user"))
        return mem_printf("%.1f of %g failures for %s%s", fact->value, fact->limit, user, locked);
    return mem_printf("%.1f of %g failures from %s for %s%s", fact->value, fact->limit, prefix, user, locked);
}

static void tell_fact(struct explaining *explaining, const struct gate_guess_fact *fact,
                      const struct gate_guess_explanation *explanation)
{
    const char *prefix = explanation->prefix;
    char *text = fact->limit > 0 ? phrase_number(explaining, fact, prefix) : phrase_mark(fact, prefix);
    enum explain_result result = weight(fact, explanation->locked_by != GATE_GUESS_NONE);
    json_t *step = explain_step(explaining, fact->rule, result, "%s", text);

    if (fact->limit > 0)
        json_object_set_new(step, "value", json_real(fact->value));
    if (fact->limit > 0)
        json_object_set_new(step, "limit", json_real(fact->limit));
    json_object_set_new(step, "applies", json_boolean(fact->applies));
    json_object_set_new(step, "left_seconds", json_integer((json_int_t)((fact->left_ms + 999) / 1000)));
    free(text);
}

static void tell_greeting(struct explaining *explaining)
{
    if (gate_guess_refuses_before_tls(explaining->rules))
        explain_step(explaining, "greeting", EXPLAIN_REFUSES, "such a client is turned away before TLS");
    else
        explain_step(explaining, "greeting", EXPLAIN_NOTE, "listeners with refuse_before_tls turn such a client away");
}

/* ---- does a secret that is right look like a guess that came right? ---- */

static void go_on(struct rules_asked *asked)
{
    tell_identity(asked->explaining);
    tell_budgets(asked);
}

static void tell_doubt(struct explaining *explaining, bool holds)
{
    const char *so = holds ? "the user would be held" : "it would be told as a suspicion";
    json_t *step = explain_step(explaining, "success_after_failures", holds ? EXPLAIN_REFUSES : EXPLAIN_NOTE,
                                "a login from there that succeeds now looks like a guess: %s", so);

    json_object_set_new(step, "applies", json_true());
    if (holds)
        decide(explaining, AUTH_REASON_LOCKED);
}

/* As guess.c judges a login, but nobody is held for it. */
static void on_numbers(void *ctx, const struct tally_answer *answer)
{
    struct rules_asked *asked = ctx;
    const struct gate_guessing *guessing = asked->explaining->rules->guessing;
    struct guess_numbers numbers;

    guess_numbers_read(&numbers, &asked->plan, answer);
    if (guess_decide(guessing, &asked->subject, &numbers) == GATE_GUESS_NONE && !numbers.doubt_ms &&
        guess_is_success_suspect(guessing, &asked->subject, &numbers))
        tell_doubt(asked->explaining, guessing->holds);
    go_on(asked);
}

static void ask_for_doubts(struct rules_asked *asked)
{
    struct explaining *explaining = asked->explaining;
    struct gate_guessing *guessing = explaining->rules->guessing;

    if (!tally_get() || !guessing->is_on || !explaining->user || !*explaining->user) {
        go_on(asked);
        return;
    }
    guess_subject_init(&asked->subject, guessing, &explaining->facts.peer, explaining->user);
    guess_plan_make(&asked->plan, guessing, &asked->subject, SPAN_LIT(""), false);
    (void)tally_run(tally_get(), explaining->loop, asked->plan.ops, asked->plan.count, on_numbers, asked);
}

static void on_guess(void *ctx, const struct gate_guess_explanation *explanation)
{
    struct rules_asked *asked = ctx;
    struct explaining *explaining = asked->explaining;

    for (size_t i = 0; i < explanation->count; i++)
        tell_fact(explaining, &explanation->facts[i], explanation);
    if (!explanation->count)
        explain_step(explaining, "guessing", EXPLAIN_NOTE, "failures are not counted");
    if (explanation->is_local)
        explain_step(explaining, "shared", EXPLAIN_NOTE, "Redis does not answer: these are this node's numbers");
    if (explanation->is_unwelcome)
        tell_greeting(explaining);
    if (explanation->locked_by != GATE_GUESS_NONE)
        decide(explaining, AUTH_REASON_LOCKED);
    ask_for_doubts(asked);
}

void explain_rules(struct explaining *explaining, void (*on_explained)(struct explaining *explaining))
{
    struct rules_asked *asked = mem_zalloc(sizeof *asked);

    asked->explaining = explaining;
    asked->on_explained = on_explained;
    gate_guess_explain(explaining->rules, explaining->loop, &explaining->facts.peer, explaining->user, on_guess, asked);
}
