/* SPDX-License-Identifier: Apache-2.0
 *
 * An explanation on its way: what explain.c (the way), explain_record.c (what a record says) and explain_rules.c (what
 * counts against a login that is right) share.
 */
#ifndef GATEPOST_GATE_EXPLAIN_PRIVATE_H
#define GATEPOST_GATE_EXPLAIN_PRIVATE_H

#include "gate/explain.h"
#include "gate/gate_private.h"

struct explaining {
    /* fixed from the start; all texts are copies */
    struct gate_rules *rules;
    struct loop *loop;
    const struct auth_mechanism *mechanism;
    struct gate_facts facts;
    struct auth_question question;
    char *listener, *authzid, *mail_from;
    bool is_secret_given, is_offered;
    gate_explained_fn *on_done;
    void *ctx;

    /* known so far */
    json_t *steps;
    char *user; /* NULL: nobody can tell */
    char *store, *label;
    struct credential *credential; /* NULL: no record */
    struct gate_login *login;      /* that is right; NULL: there is none */
    struct auth_info *info;        /* likewise */
    enum auth_reason reason;
    bool is_secret_right, is_secret_wrong;
};

enum explain_result { EXPLAIN_PASSES, EXPLAIN_REFUSES, EXPLAIN_FAILS, EXPLAIN_NOTE };

/* One more rule that took part. Returns it, borrowed, for numbers to be added. */
json_t *explain_step(struct explaining *explaining, const char *rule, enum explain_result result, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));

/* ---- explain_record.c ---- */

/* Everything in the record, and which secrets could be used now. */
void explain_record(struct explaining *explaining);
/* The reason if the password were right: the best that one of the secrets gives. */
enum auth_reason explain_admission(struct explaining *explaining);

/* ---- explain_rules.c ---- */

/* What guessing, identity rules and budgets say; `on_explained` goes on, now or later. */
void explain_rules(struct explaining *explaining, void (*on_explained)(struct explaining *explaining));

#endif
