/* SPDX-License-Identifier: Apache-2.0
 *
 * Why would this user get in from there, or why not? The real decision, taken by the same functions as for a session,
 * with facts that an operator names; nothing is counted, nobody is told but the operator, and no secret is shown.
 *
 * What a session has besides is left out, and said so by whoever shows the answer: handlers of the policy, and what
 * TLS and the client's certificate say.
 */
#ifndef GATEPOST_GATE_EXPLAIN_H
#define GATEPOST_GATE_EXPLAIN_H

#include <jansson.h>

#include "auth/mechanism.h"
#include "gate/gate.h"

struct gate_explain_ask {
    const char *user;    /* NULL: the token says it */
    const char *authzid; /* NULL: acts as itself */
    const char *secret;  /* the password, or for mechanisms that take one the token. NULL: taken for right */
    const struct auth_mechanism *mechanism;
    const char *listener;  /* "" when none is meant */
    const char *mail_from; /* whether that may be the sender; NULL: not asked */
    struct ip peer;
};

/* The callee's reference:
 *   {decision = "let_in" | "refused" | "no_verdict", reason = "ok", secret = "right" | "wrong" | "not_given",
 *    user =, store =, rules = {{rule = "store", result = "passes" | "refuses" | "fails" | "note", text =, ...}}} */
typedef void gate_explained_fn(void *ctx, json_t *explanation);

/* on_done runs once, on `loop`, perhaps before this returns. It cannot be taken back: all that is waited for has a
 * time limit of its own. */
void gate_explain(struct gate_rules *rules, struct loop *loop, const struct gate_explain_ask *ask,
                  gate_explained_fn *on_done, void *ctx);

#endif
