/* SPDX-License-Identifier: Apache-2.0
 *
 * An attempt as one call to the counting room, and the decision about its numbers. The order of the operations is the
 * rule "the same wrong password counts once": marks of what was tried come first, and what is counted depends on them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "gate/guess_private.h"

/* Users and prefixes of a suspicion that are told apart; more are as bad as these. */
#define MEMBERS_MOST 4096

/* ---- whom it is about ---- */

void guess_subject_init(struct guess_subject *subject, const struct gate_guessing *guessing, const struct ip *ip,
                        const char *user)
{
    *subject = (struct guess_subject){.user = user && *user ? span_dup_lower(span_of(user)) : NULL};
    if (ip)
        guess_format_prefix(guessing, ip, subject->prefix);
    subject->is_trusted = ip && guess_is_trusted(guessing, ip);
}

void guess_subject_done(struct guess_subject *subject)
{
    free(subject->user);
    subject->user = NULL;
}

/* ---- keys ---- */

const char *guess_key_kind(enum guess_key key)
{
    static const char *const kinds[GUESS_KEY_COUNT] = {
        [GUESS_KEY_ADDRESS] = "guess.address",  [GUESS_KEY_PAIR] = "guess.pair",
        [GUESS_KEY_USER] = "guess.user",        [GUESS_KEY_KNOWN] = "guess.known",
        [GUESS_KEY_DOUBT] = "guess.doubt",      [GUESS_KEY_HELD] = "guess.held",
        [GUESS_KEY_BLOCKED] = "guess.blocked",  [GUESS_KEY_HOME] = "guess.home",
        [GUESS_KEY_TRIED_USER] = "guess.tried", [GUESS_KEY_TRIED_PAIR] = "guess.tried",
        [GUESS_KEY_SPRAY] = "guess.spray",
    };

    return kinds[key];
}

static void make_keys(struct guess_plan *plan, const struct guess_subject *subject, struct span secret)
{
    static const bool has_user[GUESS_KEY_COUNT] = {
        [GUESS_KEY_PAIR] = true, [GUESS_KEY_USER] = true,       [GUESS_KEY_KNOWN] = true,     [GUESS_KEY_DOUBT] = true,
        [GUESS_KEY_HELD] = true, [GUESS_KEY_TRIED_USER] = true, [GUESS_KEY_TRIED_PAIR] = true};
    static const bool has_secret[GUESS_KEY_COUNT] = {
        [GUESS_KEY_TRIED_USER] = true, [GUESS_KEY_TRIED_PAIR] = true, [GUESS_KEY_SPRAY] = true};
    static const bool has_prefix[GUESS_KEY_COUNT] = {
        [GUESS_KEY_ADDRESS] = true, [GUESS_KEY_PAIR] = true,       [GUESS_KEY_KNOWN] = true, [GUESS_KEY_DOUBT] = true,
        [GUESS_KEY_BLOCKED] = true, [GUESS_KEY_TRIED_PAIR] = true, [GUESS_KEY_HOME] = true};

    for (size_t i = 0; i < GUESS_KEY_COUNT; i++) {
        struct tally_key *key = &plan->keys[i];

        tally_key_init(key, guess_key_kind((enum guess_key)i));
        if (has_user[i])
            tally_key_add(key, span_of(subject->user ? subject->user : ""));
        if (has_secret[i])
            tally_key_add_secret(tally_get(), key, secret);
        if (has_prefix[i])
            tally_key_add(key, span_of(subject->prefix));
    }
}

/* ---- the call ---- */

static struct tally_op *add(struct guess_plan *plan, enum guess_slot slot, enum tally_kind kind, enum guess_key key)
{
    struct tally_op *op = &plan->ops[plan->count++];

    *op = (struct tally_op){.kind = kind, .key = &plan->keys[key]};
    plan->at[slot] = (uint8_t)plan->count;
    return op;
}

static void add_tried(struct guess_plan *plan, enum guess_slot slot, enum guess_key key, uint64_t time_ms)
{
    struct tally_op *op = add(plan, slot, TALLY_MARK, key);

    op->time_ms = time_ms;
    op->keep = true; /* else a client that has an old password would never be counted again */
}

/* What goes on when all is refused is counted no further than this, so that it is over one half-life after it ended:
 * else a week of guessing would keep its target out for more than another. */
#define TIMES_LIMIT 2

static void add_counter(struct guess_plan *plan, const struct gate_guessing *guessing, enum guess_slot slot,
                        enum guess_key key, double limit, bool counts)
{
    struct tally_op *op = add(plan, slot, TALLY_COUNT, key);

    op->time_ms = guessing->half_life_ms;
    op->amount = counts ? 1 : 0;
    op->limit = limit * TIMES_LIMIT;
    op->if_new = plan->at[slot == GUESS_SLOT_USER ? GUESS_SLOT_TRIED_USER : GUESS_SLOT_TRIED_PAIR];
}

static struct tally_op *add_members(struct guess_plan *plan, const struct gate_guessing *guessing, enum guess_slot slot,
                                    enum guess_key key, const char *member)
{
    struct tally_op *op = add(plan, slot, TALLY_JOIN, key);

    op->member = span_of(member);
    op->time_ms = guessing->suspect_within_ms;
    op->most = MEMBERS_MOST;
    return op;
}

static void add_what_counts(struct guess_plan *plan, const struct gate_guessing *guessing,
                            const struct guess_subject *subject, bool has_secret)
{
    if (has_secret) {
        add_tried(plan, GUESS_SLOT_TRIED_USER, GUESS_KEY_TRIED_USER, guessing->half_life_ms);
        add_tried(plan, GUESS_SLOT_TRIED_PAIR, GUESS_KEY_TRIED_PAIR, guessing->half_life_ms);
    }
    if (has_secret && subject->user)
        add_members(plan, guessing, GUESS_SLOT_SPRAY, GUESS_KEY_SPRAY, subject->user);
    if (subject->user && !subject->is_trusted)
        add_members(plan, guessing, GUESS_SLOT_SPREAD, GUESS_KEY_USER, subject->prefix);
}

static void add_of_address(struct guess_plan *plan, const struct gate_guessing *guessing, bool counts)
{
    add_counter(plan, guessing, GUESS_SLOT_ADDRESS, GUESS_KEY_ADDRESS, guessing->address_limit, counts);
    add(plan, GUESS_SLOT_ADDRESS_LOCK, TALLY_IS_MARKED, GUESS_KEY_ADDRESS);
    add(plan, GUESS_SLOT_BLOCKED, TALLY_IS_MARKED, GUESS_KEY_BLOCKED);
}

static void add_of_user(struct guess_plan *plan, const struct gate_guessing *guessing, bool counts)
{
    add_counter(plan, guessing, GUESS_SLOT_USER, GUESS_KEY_USER, guessing->user_limit, counts);
    add(plan, GUESS_SLOT_USER_LOCK, TALLY_IS_MARKED, GUESS_KEY_USER);
    add(plan, GUESS_SLOT_HELD, TALLY_IS_MARKED, GUESS_KEY_HELD);
}

static void add_of_pair(struct guess_plan *plan, const struct gate_guessing *guessing, bool counts)
{
    add_counter(plan, guessing, GUESS_SLOT_PAIR, GUESS_KEY_PAIR, guessing->pair_limit, counts);
    add(plan, GUESS_SLOT_PAIR_LOCK, TALLY_IS_MARKED, GUESS_KEY_PAIR);
    add(plan, GUESS_SLOT_KNOWN, TALLY_IS_MARKED, GUESS_KEY_KNOWN);
    add(plan, GUESS_SLOT_DOUBT, TALLY_IS_MARKED, GUESS_KEY_DOUBT);
}

void guess_plan_make(struct guess_plan *plan, const struct gate_guessing *guessing, const struct guess_subject *subject,
                     struct span secret, bool counts)
{
    memset(plan->at, 0, sizeof plan->at);
    plan->count = 0;
    make_keys(plan, subject, secret);
    if (counts)
        add_what_counts(plan, guessing, subject, secret.len > 0);
    if (!subject->is_trusted)
        add_of_address(plan, guessing, counts);
    if (subject->user)
        add_of_user(plan, guessing, counts);
    if (subject->user && !subject->is_trusted)
        add_of_pair(plan, guessing, counts);
    MUST(plan->count <= GUESS_SLOT_COUNT);
}

/* A stolen password needs no guess: whoever has it comes from many places at once. */
void guess_plan_add_arrival(struct guess_plan *plan, const struct gate_guessing *guessing,
                            const struct guess_subject *subject)
{
    if (subject->user && !subject->is_trusted)
        add_members(plan, guessing, GUESS_SLOT_SPREAD, GUESS_KEY_USER, subject->prefix)->if_new =
            plan->at[GUESS_SLOT_KNOWN];
}

void guess_plan_add_home(struct guess_plan *plan, const struct guess_subject *subject)
{
    if (!subject->is_trusted)
        add(plan, GUESS_SLOT_HOME, TALLY_IS_MARKED, GUESS_KEY_HOME);
}

/* ---- the numbers ---- */

static struct tally_result at(const struct guess_plan *plan, const struct tally_answer *answer, enum guess_slot slot)
{
    return plan->at[slot] ? answer->results[plan->at[slot] - 1] : (struct tally_result){0};
}

/* A mark that is set for good may have less than a millisecond left: it still is one. */
static uint64_t left_of(const struct guess_plan *plan, const struct tally_answer *answer, enum guess_slot slot)
{
    struct tally_result result = at(plan, answer, slot);

    if (!result.was_there)
        return 0;
    return result.left_ms ? result.left_ms : 1;
}

static bool has_counted(const struct guess_plan *plan, const struct tally_answer *answer, enum guess_slot slot,
                        enum guess_slot tried)
{
    return plan->at[slot] && plan->ops[plan->at[slot] - 1].amount > 0 && !at(plan, answer, tried).was_there;
}

void guess_numbers_read(struct guess_numbers *numbers, const struct guess_plan *plan, const struct tally_answer *answer)
{
    struct tally_result spread = at(plan, answer, GUESS_SLOT_SPREAD), spray = at(plan, answer, GUESS_SLOT_SPRAY);

    *numbers = (struct guess_numbers){
        .address = at(plan, answer, GUESS_SLOT_ADDRESS).value,
        .pair = at(plan, answer, GUESS_SLOT_PAIR).value,
        .user = at(plan, answer, GUESS_SLOT_USER).value,
        .counts_address = has_counted(plan, answer, GUESS_SLOT_ADDRESS, GUESS_SLOT_TRIED_PAIR),
        .counts_pair = has_counted(plan, answer, GUESS_SLOT_PAIR, GUESS_SLOT_TRIED_PAIR),
        .counts_user = has_counted(plan, answer, GUESS_SLOT_USER, GUESS_SLOT_TRIED_USER),
        .address_lock_ms = left_of(plan, answer, GUESS_SLOT_ADDRESS_LOCK),
        .pair_lock_ms = left_of(plan, answer, GUESS_SLOT_PAIR_LOCK),
        .user_lock_ms = left_of(plan, answer, GUESS_SLOT_USER_LOCK),
        .known_ms = left_of(plan, answer, GUESS_SLOT_KNOWN),
        .doubt_ms = left_of(plan, answer, GUESS_SLOT_DOUBT),
        .home_ms = left_of(plan, answer, GUESS_SLOT_HOME),
        .held_ms = left_of(plan, answer, GUESS_SLOT_HELD),
        .blocked_ms = left_of(plan, answer, GUESS_SLOT_BLOCKED),
        .prefixes = spread.value,
        .users = spray.value,
        .is_new_prefix = plan->at[GUESS_SLOT_SPREAD] && !spread.was_there && !spread.is_capped,
        .is_new_user = plan->at[GUESS_SLOT_SPRAY] && !spray.was_there && !spray.is_capped,
        .is_local = answer->is_local,
    };
}

enum gate_guess_rule guess_decide(const struct gate_guessing *guessing, const struct guess_subject *subject,
                                  const struct guess_numbers *numbers)
{
    if (numbers->held_ms)
        return GATE_GUESS_HELD;
    if (subject->is_trusted)
        return GATE_GUESS_NONE;
    if (numbers->blocked_ms)
        return GATE_GUESS_BLOCKED;
    if (numbers->pair_lock_ms || guess_is_over(numbers->pair, guessing->pair_limit))
        return GATE_GUESS_ADDRESS_USER;
    if (numbers->known_ms)
        return GATE_GUESS_NONE;
    if (numbers->address_lock_ms || guess_is_over(numbers->address, guessing->address_limit))
        return GATE_GUESS_ADDRESS;
    if (numbers->user_lock_ms || guess_is_over(numbers->user, guessing->user_limit))
        return GATE_GUESS_USER;
    return GATE_GUESS_NONE;
}

enum gate_guess_rule guess_decide_connection(const struct gate_guessing *guessing, const struct guess_subject *subject,
                                             const struct guess_numbers *numbers)
{
    enum gate_guess_rule rule = guess_decide(guessing, &(struct guess_subject){.is_trusted = subject->is_trusted},
                                             &(struct guess_numbers){.address = numbers->address,
                                                                     .address_lock_ms = numbers->address_lock_ms,
                                                                     .blocked_ms = numbers->blocked_ms});

    return rule == GATE_GUESS_ADDRESS && numbers->home_ms ? GATE_GUESS_NONE : rule;
}

const char *gate_guess_rule_name(enum gate_guess_rule rule)
{
    static const char *const names[GATE_GUESS_RULE_COUNT] = {
        [GATE_GUESS_NONE] = "none",       [GATE_GUESS_HELD] = "held", [GATE_GUESS_BLOCKED] = "blocked",
        [GATE_GUESS_ADDRESS] = "address", [GATE_GUESS_USER] = "user", [GATE_GUESS_ADDRESS_USER] = "address_user",
    };

    return names[rule];
}
