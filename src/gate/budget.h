/* SPDX-License-Identifier: Apache-2.0
 *
 * Budgets: how much whoever has logged in may send. A limit belongs to an identity, a tenant, a group or to all
 * together; what it allows is taken when a command is accepted, and given back when what the command was part of is
 * refused after all. So one stolen password sends what its owner could send, and no more. The counters are tally's:
 * this process's memory, or one Redis for several nodes.
 *
 *   [budget.NAME]                   every budget that applies has to allow it
 *   per = "identity"                or "tenant", "group", "all": who shares one set of numbers
 *   groups, tenants                 it applies to members of these alone
 *   messages_per_hour, messages_per_day, recipients_per_hour, recipients_per_day, bytes_per_day
 *   new_recipients_per_day          recipients that nobody it counts for has written to in the last 90 days
 *   sessions                        at once
 *   invalid_recipients = 0.3        the share of recipients that were refused for good, here or where their mail goes,
 *   invalid_recipients_least = 20   of which there have to be as many, both halving every hour
 *
 * `limits` of a user's record or AuthInfo has the same keys; they take the place of what budgets per identity say
 * (budget "own"). "unlimited" lifts a limit.
 *
 * A tenant's are the messages that turn out to be of it, at their end (gate/identity.h); recipients are counted at RCPT
 * where the user has one tenant, and at the end with the message where there are several to choose from. Sessions and
 * refused recipients are of no message: they count for the first tenant of the user.
 *
 * Awkward truths. A message counts once, whatever number of recipients it has; its bytes likewise, as received. What a
 * session takes while Redis does not answer is counted on this node alone. A transaction that is being stored when its
 * client leaves is delivered, and so it stays counted.
 */
#ifndef GATEPOST_GATE_BUDGET_H
#define GATEPOST_GATE_BUDGET_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/identity.h"
#include "base/error.h"
#include "loop/loop.h"

struct gate_rules;
struct gate_who;

enum gate_limit {
    GATE_LIMIT_MESSAGES_PER_HOUR,
    GATE_LIMIT_MESSAGES_PER_DAY,
    GATE_LIMIT_RECIPIENTS_PER_HOUR,
    GATE_LIMIT_RECIPIENTS_PER_DAY,
    GATE_LIMIT_NEW_RECIPIENTS_PER_DAY,
    GATE_LIMIT_BYTES_PER_DAY,
    GATE_LIMIT_SESSIONS,
    GATE_LIMIT_INVALID_RECIPIENTS,
    GATE_LIMIT_COUNT,
};
const char *gate_limit_name(enum gate_limit limit); /* "messages_per_hour" */

/* ---- what one login may use up. Immutable, counted, free to pass between threads ---- */

struct gate_allowance;

/* All limits that apply to `user`, however his name is capitalized, as `who` describes him (`info` is needed; without
 * rules only its own limits do). NULL in *allowance_out when none applies. -1: his limits make no sense, or too many
 * budgets apply to be asked at once. */
int gate_allowance_new(const struct gate_who *who, const char *user, struct gate_allowance **allowance_out,
                       struct error *error) __attribute__((warn_unused_result));
struct gate_allowance *gate_allowance_ref(struct gate_allowance *allowance);
void gate_allowance_unref(struct gate_allowance **allowance);

/* ---- taking ---- */

struct gate_excess {
    enum gate_limit limit;
    const char *budget;
    uint64_t retry_ms; /* when it would fit; 0: nobody can tell */
    bool is_never;     /* it is more than the limit allows at all */
};

/* NULL: there is room, and it is taken. */
typedef void gate_spend_fn(void *ctx, const struct gate_excess *excess);

struct gate_spend; /* a question under way */

/* What one transaction has taken so far. Belongs to one thread. */
struct gate_spending;
struct gate_spending *gate_spending_new(struct gate_allowance *allowance) __attribute__((returns_nonnull));
/* The transaction's end: what it took stays taken, or is given back. Nothing of it may be under way. NULL is fine. */
void gate_spending_end(struct gate_spending **spending, bool is_accepted);

/* Each returns NULL when on_done has run already; otherwise it runs once, on `loop`, within tally's time limit, unless
 * it is left. */

/* Would a message of so many bytes (0: not said) find room? And has there been too much guessing of recipients? Takes
 * nothing. */
struct gate_spend *gate_spend_try(struct gate_allowance *allowance, struct loop *loop, uint64_t bytes,
                                  gate_spend_fn *on_done, void *ctx);
struct gate_spend *gate_spend_recipient(struct gate_spending *spending, struct loop *loop, const char *recipient,
                                        gate_spend_fn *on_done, void *ctx);
/* `tenant`: whose mail the message turned out to be; NULL: nobody's. Once for a transaction. */
struct gate_spend *gate_spend_message(struct gate_spending *spending, struct loop *loop, uint64_t bytes,
                                      const char *tenant, gate_spend_fn *on_done, void *ctx);
/* A recipient was refused for good. Excess: there have been too many of them. */
struct gate_spend *gate_spend_invalid(struct gate_allowance *allowance, struct loop *loop, gate_spend_fn *on_done,
                                      void *ctx);
/* Whom a message's recipients count against once they prove not to exist: for the message's metadata, under this key. A
 * new array, NULL where nobody counts them. */
#define GATE_WATCHERS_META "invalid_recipients"
json_t *gate_allowance_watchers(const struct gate_allowance *allowance);
/* So many recipients of a message with these watchers (NULL is fine) proved not to exist. From any thread. */
void gate_budget_note_invalid(const json_t *watchers, size_t recipients);
/* A session begins; it has to be renewed every GATE_SESSION_RENEW_MS, so that one whose node has died ends too. */
#define GATE_SESSION_RENEW_MS 60000
struct gate_spend *gate_spend_session(struct gate_allowance *allowance, struct loop *loop, const char *session_id,
                                      gate_spend_fn *on_done, void *ctx);
void gate_session_renew(struct gate_allowance *allowance, const char *session_id);
void gate_session_end(struct gate_allowance *allowance, const char *session_id);

/* on_done will not run; what is taken after all is given back. NULL is fine. */
void gate_spend_leave(struct gate_spend *spend);

/* "limit messages_per_hour of budget staff is reached; try again in 5 minutes" */
#define GATE_EXCESS_TEXT_BYTES 256
void gate_excess_say(const struct gate_excess *excess, char out[GATE_EXCESS_TEXT_BYTES]);

/* ---- for the operator ---- */

struct gate_use {
    const char *budget;
    const char *subject; /* whose: the identity (in lower case), tenant or group; "" is everybody */
    enum gate_limit limit;
    double used, most; /* invalid recipients: their share */
};

struct gate_uses {
    const struct gate_use *list; /* borrowed for the call */
    size_t count;
    bool is_local; /* this node's numbers, although there is a Redis */
};
typedef void gate_uses_fn(void *ctx, const struct gate_uses *uses, const struct error *error /* NULL, or `uses` is */);

/* What `user` has used up of each limit that would apply now, going by the record that the stores have; of somebody
 * without one, only the limits that need none. Asks stores and Redis; on_done runs on `loop`, perhaps at once. */
void gate_budget_show(struct gate_rules *rules, struct loop *loop, const char *user, gate_uses_fn *on_done, void *ctx);
/* The same of an allowance at hand. */
void gate_allowance_show(struct gate_allowance *allowance, struct loop *loop, gate_uses_fn *on_done, void *ctx);

#endif
