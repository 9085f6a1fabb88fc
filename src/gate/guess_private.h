/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files about guessing share. One attempt is one call to the counting room: its keys are made here, its
 * answer becomes plain numbers, and one function decides about them, for logins as for the operator who asks why.
 *
 *   guess_settings.c  [guessing] of auth.toml
 *   guess_numbers.c   keys, the call, the numbers, the decision
 *   guess.c           an attempt, a connection
 *   guess_suspect.c   what looks like an attack, and who is told
 *   guess_webhook.c   one of those
 *   guess_operator.c  looking, unlocking, blocking, explaining
 *
 * Names of keys in the counting room (parts in brackets only where they are known):
 *   guess.address/prefix       counter of failures; mark: locked
 *   guess.pair/user/prefix     the same
 *   guess.user/user            the same; members: prefixes that failed, or came in for the first time
 *   guess.known/user/prefix    mark: a login succeeded there
 *   guess.doubt/user/prefix    mark: one that looks like a guess
 *   guess.home/prefix          mark: some login succeeded there
 *   guess.held/user            mark
 *   guess.blocked/prefix       mark
 *   guess.tried/user/secret[/prefix]   mark: counted already
 *   guess.spray/secret         members: users it was tried for
 */
#ifndef GATEPOST_GATE_GUESS_PRIVATE_H
#define GATEPOST_GATE_GUESS_PRIVATE_H

#include "gate/gate_private.h"
#include "gate/guess.h"
#include "tally/tally.h"

#define GUESS_PREFIX_BYTES 64
#define GUESS_TRUSTED_MOST 1024

struct gate_webhook;

struct gate_guessing {
    bool is_on;
    bool refuse_before_tls;
    bool holds;
    unsigned char prefix_v4, prefix_v6;
    uint64_t half_life_ms, block_for_ms, known_for_ms, delay_most_ms, suspect_within_ms;
    double address_limit, pair_limit, user_limit; /* 0: none */
    double suspect_users, suspect_prefixes, suspect_failures;
    struct cidr *trusted;
    size_t trusted_count;
    struct gate_webhook *webhook; /* or NULL */
};

bool guess_is_trusted(const struct gate_guessing *guessing, const struct ip *ip);
void guess_format_prefix(const struct gate_guessing *guessing, const struct ip *ip, char out[GUESS_PREFIX_BYTES]);

/* ---- guess_numbers.c ---- */

/* Whom it is about. */
struct guess_subject {
    char prefix[GUESS_PREFIX_BYTES];
    char *user; /* in lower case: a letter's case is no new user to guess at; NULL: nobody */
    bool is_trusted;
};
void guess_subject_init(struct guess_subject *subject, const struct gate_guessing *guessing, const struct ip *ip,
                        const char *user);
void guess_subject_done(struct guess_subject *subject);

enum guess_key {
    GUESS_KEY_ADDRESS,
    GUESS_KEY_PAIR,
    GUESS_KEY_USER,
    GUESS_KEY_KNOWN,
    GUESS_KEY_DOUBT,
    GUESS_KEY_HOME,
    GUESS_KEY_HELD,
    GUESS_KEY_BLOCKED,
    GUESS_KEY_TRIED_USER,
    GUESS_KEY_TRIED_PAIR,
    GUESS_KEY_SPRAY,
    GUESS_KEY_COUNT,
};
const char *guess_key_kind(enum guess_key key);

enum guess_slot {
    GUESS_SLOT_TRIED_USER,
    GUESS_SLOT_TRIED_PAIR,
    GUESS_SLOT_ADDRESS,
    GUESS_SLOT_PAIR,
    GUESS_SLOT_USER,
    GUESS_SLOT_ADDRESS_LOCK,
    GUESS_SLOT_PAIR_LOCK,
    GUESS_SLOT_USER_LOCK,
    GUESS_SLOT_KNOWN,
    GUESS_SLOT_DOUBT,
    GUESS_SLOT_HOME,
    GUESS_SLOT_HELD,
    GUESS_SLOT_BLOCKED,
    GUESS_SLOT_SPREAD,
    GUESS_SLOT_SPRAY,
    GUESS_SLOT_COUNT,
};

struct guess_plan {
    struct tally_key keys[GUESS_KEY_COUNT];
    struct tally_op ops[GUESS_SLOT_COUNT];
    size_t count;
    uint8_t at[GUESS_SLOT_COUNT]; /* 1 + the operation's index; 0: it is not asked */
};
/* Reads everything; with `counts` a failure is counted first, once for one secret. */
void guess_plan_make(struct guess_plan *plan, const struct gate_guessing *guessing, const struct guess_subject *subject,
                     struct span secret, bool counts);
/* And counts the prefix of a login that comes in, unless it is known for the user. */
void guess_plan_add_arrival(struct guess_plan *plan, const struct gate_guessing *guessing,
                            const struct guess_subject *subject);
/* And whether the prefix is a usual place of anybody: for those who ask about a connection. */
void guess_plan_add_home(struct guess_plan *plan, const struct guess_subject *subject);

struct guess_numbers {
    double address, pair, user;
    bool counts_address, counts_pair, counts_user;        /* this attempt was new to them */
    uint64_t address_lock_ms, pair_lock_ms, user_lock_ms; /* left; 0: not locked */
    uint64_t known_ms, doubt_ms, home_ms, held_ms, blocked_ms;
    double prefixes, users; /* that failed or are new for the user; that the secret was tried for */
    bool is_new_prefix, is_new_user;
    bool is_local;
};
void guess_numbers_read(struct guess_numbers *numbers, const struct guess_plan *plan,
                        const struct tally_answer *answer);
enum gate_guess_rule guess_decide(const struct gate_guessing *guessing, const struct guess_subject *subject,
                                  const struct guess_numbers *numbers);
/* Of a client whose user nobody knows yet. A lock of the prefix spares those at home there, and it may be one of them.
 */
enum gate_guess_rule guess_decide_connection(const struct gate_guessing *guessing, const struct guess_subject *subject,
                                             const struct guess_numbers *numbers);
/* Ten failures of the last minutes are ten, although each has decayed by a hair. */
#define GUESS_HAIR 0.05
static inline bool guess_is_over(double value, double limit) { return limit > 0 && value >= limit - GUESS_HAIR; }

/* ---- guess_suspect.c ---- */

enum guess_suspicion { GUESS_ONE_PASSWORD, GUESS_ONE_USER, GUESS_SUCCESS, GUESS_SUSPICION_COUNT };

/* Facts of an attempt that go with every suspicion of it: a new object. */
json_t *guess_facts(const struct gate_rules *rules, const struct gate_attempt *attempt,
                    const struct guess_subject *subject);
/* Counts, logs and sends it, and holds the user where that is set (and `is_held` says so). A new object. */
json_t *guess_suspect(const struct gate_guessing *guessing, enum guess_suspicion kind, const json_t *facts,
                      double number, bool is_held);
/* A login that succeeds at a new place after failures there. */
bool guess_is_success_suspect(const struct gate_guessing *guessing, const struct guess_subject *subject,
                              const struct guess_numbers *numbers);

/* ---- guess_webhook.c ---- */

struct gate_webhook *guess_webhook_read(struct settings *table); /* NULL when there is no table */
void guess_webhook_free(struct gate_webhook *webhook);
/* Never waits. The body is copied. From any thread. */
void guess_webhook_send(const struct gate_webhook *webhook, struct span body);
void guess_webhook_stop(void); /* by gate_stop: what was not sent is dropped */

#endif
