/* SPDX-License-Identifier: Apache-2.0
 *
 * Why would this login be refused? The same plan, the same numbers and the same decision as for a login, told rule by
 * rule; and the one question that others ask about a user: is it held?
 */
#include <stdlib.h>

#include "base/mem.h"
#include "gate/guess_private.h"

#define FACTS_MOST 8

struct question {
    struct gate_rules *rules;
    struct guess_subject subject;
    struct guess_plan plan;
    gate_guess_explain_fn *on_explained;
    gate_guess_held_fn *on_held;
    void *ctx;
};

static struct question *new_question(struct gate_rules *rules, const struct ip *address, const char *user, void *ctx)
{
    struct question *question = mem_zalloc(sizeof *question);

    question->rules = gate_rules_ref(rules);
    guess_subject_init(&question->subject, rules->guessing, address, user);
    question->ctx = ctx;
    return question;
}

static void free_question(struct question *question)
{
    guess_subject_done(&question->subject);
    gate_rules_unref(&question->rules);
    free(question);
}

static void start(struct question *question, struct loop *loop, tally_done_fn *on_answer)
{
    static const struct tally_answer nothing;

    if (!tally_get() || !question->rules->guessing->is_on) {
        memset(&question->plan, 0, sizeof question->plan);
        on_answer(question, &nothing);
        return;
    }
    guess_plan_make(&question->plan, question->rules->guessing, &question->subject, SPAN_LIT(""), false);
    guess_plan_add_home(&question->plan, &question->subject);
    if (question->plan.count)
        tally_run(tally_get(), loop, question->plan.ops, question->plan.count, on_answer, question);
    else
        on_answer(question, &nothing);
}

/* ---- explaining ---- */

static struct gate_guess_fact limited(const char *rule, double value, double limit, uint64_t lock_ms, bool is_decisive)
{
    return (struct gate_guess_fact){.rule = rule,
                                    .value = value,
                                    .limit = limit,
                                    .left_ms = lock_ms,
                                    .applies = lock_ms || guess_is_over(value, limit),
                                    .is_decisive = is_decisive};
}

static struct gate_guess_fact marked(const char *rule, uint64_t left_ms, bool is_decisive)
{
    return (struct gate_guess_fact){
        .rule = rule, .left_ms = left_ms, .applies = left_ms > 0, .is_decisive = is_decisive};
}

/* In the order in which they decide. */
static size_t write_facts(const struct question *question, const struct guess_numbers *numbers,
                          enum gate_guess_rule locked_by, struct gate_guess_fact facts[FACTS_MOST])
{
    const struct gate_guessing *guessing = question->rules->guessing;
    const struct guess_subject *subject = &question->subject;
    bool is_open = locked_by == GATE_GUESS_NONE;
    size_t count = 0;

    if (subject->user)
        facts[count++] = marked("held", numbers->held_ms, locked_by == GATE_GUESS_HELD);
    facts[count++] = (struct gate_guess_fact){
        .rule = "trusted", .applies = subject->is_trusted, .is_decisive = is_open && subject->is_trusted};
    if (!subject->is_trusted)
        facts[count++] = marked("blocked", numbers->blocked_ms, locked_by == GATE_GUESS_BLOCKED);
    if (subject->user && !subject->is_trusted) {
        facts[count++] = limited("address_user", numbers->pair, guessing->pair_limit, numbers->pair_lock_ms,
                                 locked_by == GATE_GUESS_ADDRESS_USER);
        facts[count++] = marked("known", numbers->known_ms, is_open && numbers->known_ms);
    }
    if (!subject->is_trusted)
        facts[count++] = limited("address", numbers->address, guessing->address_limit, numbers->address_lock_ms,
                                 locked_by == GATE_GUESS_ADDRESS);
    if (subject->user)
        facts[count++] =
            limited("user", numbers->user, guessing->user_limit, numbers->user_lock_ms, locked_by == GATE_GUESS_USER);
    return count;
}

static void on_explained(void *ctx, const struct tally_answer *answer)
{
    struct question *question = ctx;
    struct gate_guess_fact facts[FACTS_MOST];
    struct gate_guess_explanation explanation = {.facts = facts};
    struct guess_numbers numbers;

    guess_numbers_read(&numbers, &question->plan, answer);
    explanation.locked_by = guess_decide(question->rules->guessing, &question->subject, &numbers);
    explanation.is_unwelcome =
        guess_decide_connection(question->rules->guessing, &question->subject, &numbers) != GATE_GUESS_NONE;
    explanation.is_local = numbers.is_local;
    memcpy(explanation.prefix, question->subject.prefix, sizeof explanation.prefix);
    explanation.count = write_facts(question, &numbers, explanation.locked_by, facts);
    question->on_explained(question->ctx, &explanation);
    free_question(question);
}

void gate_guess_explain(struct gate_rules *rules, struct loop *loop, const struct ip *address, const char *user,
                        gate_guess_explain_fn *on_done, void *ctx)
{
    struct question *question = new_question(rules, address, user, ctx);

    question->on_explained = on_done;
    start(question, loop, on_explained);
}

/* ---- held? ---- */

static void on_held(void *ctx, const struct tally_answer *answer)
{
    struct question *question = ctx;
    struct guess_numbers numbers;

    guess_numbers_read(&numbers, &question->plan, answer);
    question->on_held(question->ctx, numbers.held_ms > 0);
    free_question(question);
}

void gate_guess_is_held(struct gate_rules *rules, struct loop *loop, const char *user, gate_guess_held_fn *on_done,
                        void *ctx)
{
    struct question *question = new_question(rules, NULL, user, ctx);

    question->subject.is_trusted = true; /* nothing of an address takes part */
    question->on_held = on_done;
    start(question, loop, on_held);
}
