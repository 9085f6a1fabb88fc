/* SPDX-License-Identifier: Apache-2.0
 *
 * Against guessing. Wrong passwords are counted three times over: by the client's address (its prefix), by prefix and
 * user, and by user; each number halves every half_life, and who reaches a limit is locked for block_for. Locked means
 * refused like a wrong password, also when it is right.
 *
 *   prefix and user   locks that user from that prefix
 *   prefix            locks every user from there, but those whom the prefix is known for
 *   user              locks that user from everywhere, but from prefixes known for the user
 *
 * Where connections are refused, before anybody says who it is, a locked prefix that is known for any user is let try.
 *
 * A prefix is known for a user after a login that succeeded there (for known_for). So a stranger cannot lock out an
 * owner who is at a usual place, and nobody gets more tries than the limits say anywhere. Trusted networks, and hosts
 * that speak for others without saying for whom, are never locked; only the user's number counts what is wrong there.
 *
 * The number is decisive when the attempt ends, not when it begins: however many attempts are under way at once, no
 * more than the limit of them can find out anything.
 */
#ifndef GATEPOST_GATE_GUESS_H
#define GATEPOST_GATE_GUESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "gate/attempt.h"
#include "loop/loop.h"

struct gate_rules;
struct gate_guess; /* a question under way */

/* ---- an attempt's end: one of these for each attempt, before the client is told ---- */

enum gate_guess_rule {
    GATE_GUESS_NONE,
    GATE_GUESS_HELD,    /* the user: by an operator, or by a suspicion */
    GATE_GUESS_BLOCKED, /* the prefix: by an operator */
    GATE_GUESS_ADDRESS,
    GATE_GUESS_ADDRESS_USER,
    GATE_GUESS_USER,
    GATE_GUESS_RULE_COUNT,
};
const char *gate_guess_rule_name(enum gate_guess_rule rule); /* "address_user" */

struct gate_guess_result {
    enum gate_guess_rule locked_by; /* NONE: come in */
    bool is_known;                  /* the prefix, for this user */
    unsigned failures;              /* that the delay of a refusal grows with, this one included; 0: it does not grow */
    uint64_t delay_most_ms;
    bool is_doubtful;              /* of a login that is let in: it may be a guess that came right */
    const json_t *const *suspects; /* for the event auth_suspect; borrowed for the call */
    size_t suspect_count;
};

typedef void gate_guess_fn(void *ctx, const struct gate_guess_result *result);

/* Each returns NULL when on_done has run already; otherwise it runs once, on `loop`, unless cancelled. */

/* Before a password is looked at: would the user be let in if it were right? Decides nothing, since others may be under
 * way; it is for taking as much time about a right one that will be refused as about a wrong one. */
struct gate_guess *gate_guess_peek(struct gate_rules *rules, struct loop *loop, const struct gate_attempt *attempt,
                                   gate_guess_fn *on_done, void *ctx);
/* The secret was right: may the user come in? Nothing is counted but the places that he comes from. */
struct gate_guess *gate_guess_judge(struct gate_rules *rules, struct loop *loop, const struct gate_attempt *attempt,
                                    gate_guess_fn *on_done, void *ctx);
/* It was wrong, or locked: counts it. */
struct gate_guess *gate_guess_refused(struct gate_rules *rules, struct loop *loop, const struct gate_attempt *attempt,
                                      gate_guess_fn *on_done, void *ctx);
/* The user is in: the prefix is known for him, and if it was not before, its failures for him are forgotten; unless the
 * judge found the login doubtful: then it takes another one, a day later. */
void gate_guess_accepted(struct gate_rules *rules, const struct gate_attempt *attempt, bool is_doubtful);
/* on_done will not run; what is counted is counted. NULL is fine. */
void gate_guess_cancel(struct gate_guess *guess);

/* ---- a new connection ---- */

/* Shall this client be turned away before anything else? locked_by says so. Only BLOCKED, and ADDRESS where nobody is
 * at home: there is no user yet. */
struct gate_guess *gate_guess_welcome(struct gate_rules *rules, struct loop *loop, const struct ip *peer,
                                      gate_guess_fn *on_done, void *ctx);
/* [guessing] refuse_before_tls: for listeners that do not say themselves. */
bool gate_guess_refuses_before_tls(const struct gate_rules *rules);

/* ---- for the operator: on a thread that runs `loop`; on_done may run before the call returns ---- */

/* `who` is an address ("192.0.2.7", a prefix of it is meant) or else a user. */

/* False for a network of another size than those that are counted by: nothing is kept for it. */
bool gate_guess_can_be_about(const struct gate_rules *rules, const char *who);

struct gate_guess_entry {
    const char *what;   /* "failures", "locked", "known", "held", "blocked", "prefixes" (that failed or were new lately;
                           two or more) */
    const char *prefix; /* "192.0.2.7/32" or NULL */
    const char *user;   /* or NULL */
    double value;       /* failures; prefixes */
    uint64_t left_ms;   /* until it is forgotten or over */
};

struct gate_guess_list {
    bool is_complete, is_local; /* is_local: this node's memory, although there is a Redis */
    size_t count;
    const struct gate_guess_entry *entries; /* borrowed for the call */
};

typedef void gate_guess_list_fn(void *ctx, const struct gate_guess_list *list);
struct gate_guess_change {
    size_t changed;   /* how much was forgotten; 1: it is blocked */
    bool is_complete; /* false: Redis took too long, and some of it may be left */
    bool is_local;    /* in this node's memory alone, although there is a Redis, which does not answer */
};
typedef void gate_guess_changed_fn(void *ctx, const struct gate_guess_change *change);

/* NULL for all that is locked, held or blocked at present. */
void gate_guess_show(struct gate_rules *rules, struct loop *loop, const char *who, gate_guess_list_fn *on_done,
                     void *ctx);
/* Forgets failures, locks, blocks and holds of `who` (what is known stays). */
void gate_guess_unlock(struct gate_rules *rules, struct loop *loop, const char *who, gate_guess_changed_fn *on_done,
                       void *ctx);
/* An address is refused everything for so long; a user is held. 0: until it is unlocked. */
void gate_guess_block(struct gate_rules *rules, struct loop *loop, const char *who, uint64_t for_ms,
                      gate_guess_changed_fn *on_done, void *ctx);

typedef void gate_guess_held_fn(void *ctx, bool is_held);
void gate_guess_is_held(struct gate_rules *rules, struct loop *loop, const char *user, gate_guess_held_fn *on_done,
                        void *ctx);

/* What the decision about an attempt would be now, if the password were right: every rule that takes part, with its
 * number. Nothing is counted. */
struct gate_guess_fact {
    const char *rule;    /* "held", "blocked", "address", "address_user", "user", "known", "trusted" */
    double value, limit; /* limit 0: the rule has none */
    uint64_t left_ms;    /* of a lock or mark */
    bool applies;        /* it is so: reached, marked, contained */
    bool is_decisive;    /* this one is why */
};

struct gate_guess_explanation {
    enum gate_guess_rule locked_by;
    bool is_unwelcome; /* as a connection, where such are refused before TLS */
    bool is_local;
    char prefix[64];
    size_t count;
    const struct gate_guess_fact *facts; /* borrowed for the call */
};

typedef void gate_guess_explain_fn(void *ctx, const struct gate_guess_explanation *explanation);
void gate_guess_explain(struct gate_rules *rules, struct loop *loop, const struct ip *address, const char *user,
                        gate_guess_explain_fn *on_done, void *ctx);

#endif
