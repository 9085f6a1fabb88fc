/* SPDX-License-Identifier: Apache-2.0
 *
 * One attempt against the numbers. A question is kept until the counting room has answered even when nobody waits for
 * it any more: a client that hangs up after a wrong password has guessed all the same.
 */
#include "gate/guess.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "gate/guess_private.h"
#include "metrics/metrics.h"

#define DOUBT_MS UINT64_C(86400000)
#define SUSPECTS_MOST 2

struct gate_guess {
    struct gate_rules *rules;
    struct guess_subject subject;
    struct guess_plan plan;
    json_t *facts;          /* for suspicions; NULL: a connection */
    gate_guess_fn *on_done; /* NULL: nobody waits any more */
    void *ctx;
    void (*conclude)(struct gate_guess *guess, const struct guess_numbers *numbers, struct gate_guess_result *result);
    json_t *suspects[SUSPECTS_MOST];
    size_t suspect_count;
};

static void free_guess(struct gate_guess *guess)
{
    for (size_t i = 0; i < guess->suspect_count; i++)
        json_decref(guess->suspects[i]);
    guess_subject_done(&guess->subject);
    json_decref(guess->facts);
    gate_rules_unref(&guess->rules);
    free(guess);
}

static void tell(struct gate_guess *guess, struct gate_guess_result *result)
{
    result->delay_most_ms = guess->rules->guessing->delay_most_ms;
    result->suspects = (const json_t *const *)guess->suspects;
    result->suspect_count = guess->suspect_count;
    if (guess->on_done)
        guess->on_done(guess->ctx, result);
}

static void on_answer(void *ctx, const struct tally_answer *answer)
{
    struct gate_guess *guess = ctx;
    struct gate_guess_result result = {.locked_by = GATE_GUESS_NONE};
    struct guess_numbers numbers;

    guess_numbers_read(&numbers, &guess->plan, answer);
    result.is_known = numbers.known_ms > 0;
    guess->conclude(guess, &numbers, &result);
    tell(guess, &result);
    gate_work_ended();
    free_guess(guess);
}

/* ---- what comes of the numbers ---- */

static void mark(const struct gate_guess *guess, enum guess_key key, uint64_t time_ms)
{
    tally_run(tally_get(), NULL,
              &(struct tally_op){.kind = TALLY_MARK, .key = &guess->plan.keys[key], .time_ms = time_ms}, 1, NULL, NULL);
}

/* A doubt, and the hold that is set for it, in one step: whoever is judged after the doubt is not doubted anew, and
 * would be let in before the hold. */
static void doubt(const struct gate_guess *guess)
{
    const struct tally_key *keys = guess->plan.keys;
    const struct tally_op ops[] = {
        {.kind = TALLY_MARK, .key = &keys[GUESS_KEY_DOUBT], .time_ms = DOUBT_MS},
        {.kind = TALLY_MARK, .key = &keys[GUESS_KEY_HELD], .time_ms = TALLY_TIME_MOST_MS},
    };

    tally_run(tally_get(), NULL, ops, guess->rules->guessing->holds ? 2 : 1, NULL, NULL);
}

static void suspect(struct gate_guess *guess, enum guess_suspicion kind, double number, bool is_held)
{
    json_t *info = guess_suspect(guess->rules->guessing, kind, guess->facts, number, is_held);

    if (guess->suspect_count < SUSPECTS_MOST)
        guess->suspects[guess->suspect_count++] = info;
    else
        json_decref(info);
}

/* At the limit, and at each doubling of it: an attack that goes on is told again, but not with each try. */
static bool is_worth_telling(bool is_new, double number, double limit)
{
    double times = number / limit;

    return is_new && number >= limit && times == exp2(floor(log2(times)));
}

static void suspect_spread(struct gate_guess *guess, const struct guess_numbers *numbers)
{
    if (is_worth_telling(numbers->is_new_prefix, numbers->prefixes, guess->rules->guessing->suspect_prefixes))
        suspect(guess, GUESS_ONE_USER, numbers->prefixes, false);
}

static void conclude_right(struct gate_guess *guess, const struct guess_numbers *numbers,
                           struct gate_guess_result *result)
{
    const struct gate_guessing *guessing = guess->rules->guessing;

    result->locked_by = guess_decide(guessing, &guess->subject, numbers);
    suspect_spread(guess, numbers);
    result->is_doubtful = numbers->doubt_ms > 0;
    if (result->locked_by != GATE_GUESS_NONE || result->is_doubtful ||
        !guess_is_success_suspect(guessing, &guess->subject, numbers))
        return;
    result->is_doubtful = true;
    doubt(guess);
    if (guessing->holds)
        result->locked_by = GATE_GUESS_HELD;
    suspect(guess, GUESS_SUCCESS, fmax(numbers->pair, numbers->address), guessing->holds);
}

static void lock(struct gate_guess *guess, bool counts, double value, double limit, enum guess_key key,
                 enum metric metric)
{
    if (!counts || !guess_is_over(value, limit))
        return;
    mark(guess, key, guess->rules->guessing->block_for_ms);
    metrics_count(metric);
}

static unsigned failures_of(const struct gate_guess *guess, const struct guess_numbers *numbers)
{
    double failures = numbers->pair;

    if (guess->subject.is_trusted)
        return 0;
    if (!numbers->known_ms)
        failures = fmax(failures, fmax(numbers->user, guess->subject.user ? 0 : numbers->address));
    return (unsigned)ceil(failures);
}

static void conclude_wrong(struct gate_guess *guess, const struct guess_numbers *numbers,
                           struct gate_guess_result *result)
{
    const struct gate_guessing *guessing = guess->rules->guessing;

    result->locked_by = guess_decide(guessing, &guess->subject, numbers);
    result->failures = failures_of(guess, numbers);
    if (numbers->counts_user || numbers->counts_pair || numbers->counts_address)
        metrics_count(METRIC_GUESSES_COUNTED);
    else
        metrics_count(METRIC_GUESSES_REPEATED);
    lock(guess, numbers->counts_address, numbers->address, guessing->address_limit, GUESS_KEY_ADDRESS,
         METRIC_GUESS_LOCKS_ADDRESS);
    lock(guess, numbers->counts_pair, numbers->pair, guessing->pair_limit, GUESS_KEY_PAIR, METRIC_GUESS_LOCKS_PAIR);
    lock(guess, numbers->counts_user, numbers->user, guessing->user_limit, GUESS_KEY_USER, METRIC_GUESS_LOCKS_USER);
    if (is_worth_telling(numbers->is_new_user, numbers->users, guessing->suspect_users))
        suspect(guess, GUESS_ONE_PASSWORD, numbers->users, false);
    suspect_spread(guess, numbers);
}

static void conclude_peek(struct gate_guess *guess, const struct guess_numbers *numbers,
                          struct gate_guess_result *result)
{
    result->locked_by = guess_decide(guess->rules->guessing, &guess->subject, numbers);
}

static void conclude_connection(struct gate_guess *guess, const struct guess_numbers *numbers,
                                struct gate_guess_result *result)
{
    enum gate_guess_rule rule = guess_decide_connection(guess->rules->guessing, &guess->subject, numbers);

    result->locked_by = rule;
    if (rule != GATE_GUESS_NONE)
        metrics_count(METRIC_GUESS_CONNECTIONS_REFUSED);
}

/* ---- questions ---- */

static struct gate_guess *new_guess(struct gate_rules *rules, const struct ip *peer, bool is_trusted, const char *user,
                                    gate_guess_fn *on_done, void *ctx)
{
    struct gate_guess *guess = mem_zalloc(sizeof *guess);

    guess->rules = gate_rules_ref(rules);
    guess->on_done = on_done;
    guess->ctx = ctx;
    guess_subject_init(&guess->subject, rules->guessing, peer, user);
    guess->subject.is_trusted = guess->subject.is_trusted || is_trusted;
    return guess;
}

/* Owns the guess. Where nothing is counted, nothing is known against anybody. */
static struct gate_guess *start(struct gate_guess *guess, struct loop *loop)
{
    struct gate_guess_result nothing = {.locked_by = GATE_GUESS_NONE};

    if (!tally_get() || !guess->rules->guessing->is_on || !guess->plan.count) {
        tell(guess, &nothing);
        free_guess(guess);
        return NULL;
    }
    gate_work_goes_on();
    return tally_run(tally_get(), loop, guess->plan.ops, guess->plan.count, on_answer, guess) ? guess : NULL;
}

static struct gate_guess *ask(struct gate_rules *rules, struct loop *loop, const struct gate_attempt *attempt,
                              bool counts, gate_guess_fn *on_done, void *ctx)
{
    struct gate_guess *guess = new_guess(rules, &attempt->peer, attempt->is_proxys_own, attempt->user, on_done, ctx);

    guess->conclude = counts ? conclude_wrong : conclude_right;
    guess->facts = guess_facts(rules, attempt, &guess->subject);
    if (tally_get())
        guess_plan_make(&guess->plan, rules->guessing, &guess->subject, attempt->secret, counts);
    if (tally_get() && !counts)
        guess_plan_add_arrival(&guess->plan, rules->guessing, &guess->subject);
    return start(guess, loop);
}

struct gate_guess *gate_guess_peek(struct gate_rules *rules, struct loop *loop, const struct gate_attempt *attempt,
                                   gate_guess_fn *on_done, void *ctx)
{
    struct gate_guess *guess = new_guess(rules, &attempt->peer, attempt->is_proxys_own, attempt->user, on_done, ctx);

    guess->conclude = conclude_peek;
    if (tally_get())
        guess_plan_make(&guess->plan, rules->guessing, &guess->subject, SPAN_LIT(""), false);
    return start(guess, loop);
}

struct gate_guess *gate_guess_judge(struct gate_rules *rules, struct loop *loop, const struct gate_attempt *attempt,
                                    gate_guess_fn *on_done, void *ctx)
{
    return ask(rules, loop, attempt, false, on_done, ctx);
}

struct gate_guess *gate_guess_refused(struct gate_rules *rules, struct loop *loop, const struct gate_attempt *attempt,
                                      gate_guess_fn *on_done, void *ctx)
{
    return ask(rules, loop, attempt, true, on_done, ctx);
}

/* A login at a place that is counted. What failed there before is forgotten once, when the place becomes known: if
 * every login did it, whoever shares the place with its owner could guess for ever between the owner's logins. */
void gate_guess_accepted(struct gate_rules *rules, const struct gate_attempt *attempt, bool is_doubtful)
{
    const struct gate_guessing *guessing = rules->guessing;
    struct guess_subject subject;
    struct guess_plan plan;

    if (!tally_get() || !guessing->is_on || attempt->is_proxys_own || is_doubtful)
        return;
    guess_subject_init(&subject, guessing, &attempt->peer, attempt->user);
    guess_plan_make(&plan, guessing, &subject, SPAN_LIT(""), false);
    if (subject.user && !subject.is_trusted)
        tally_run(tally_get(), NULL,
                  (struct tally_op[]){
                      {.kind = TALLY_MARK, .key = &plan.keys[GUESS_KEY_KNOWN], .time_ms = guessing->known_for_ms},
                      {.kind = TALLY_FORGET, .key = &plan.keys[GUESS_KEY_PAIR], .if_new = 1},
                      {.kind = TALLY_MARK, .key = &plan.keys[GUESS_KEY_HOME], .time_ms = guessing->known_for_ms}},
                  3, NULL, NULL);
    guess_subject_done(&subject);
}

struct gate_guess *gate_guess_welcome(struct gate_rules *rules, struct loop *loop, const struct ip *peer,
                                      gate_guess_fn *on_done, void *ctx)
{
    struct gate_guess *guess = new_guess(rules, peer, false, NULL, on_done, ctx);

    guess->conclude = conclude_connection;
    if (tally_get()) {
        guess_plan_make(&guess->plan, rules->guessing, &guess->subject, SPAN_LIT(""), false);
        guess_plan_add_home(&guess->plan, &guess->subject);
    }
    return start(guess, loop);
}

/* on_answer still takes what comes, and frees it. */
void gate_guess_cancel(struct gate_guess *guess)
{
    if (guess)
        guess->on_done = NULL;
}
