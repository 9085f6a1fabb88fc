/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate: who is this, and may they come in? Rules and stores come from `auth.toml`; the answer from a chain of
 * steps (check.c lists them) that ends in one verdict. Sessions ask here when no Lua handler has answered, or when the
 * handler asked us to (auth:check).
 */
#ifndef GATEPOST_GATE_GATE_H
#define GATEPOST_GATE_GATE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/exchange.h"
#include "auth/identity.h"
#include "auth/reason.h"
#include "base/cidr.h"
#include "base/error.h"
#include "credential/credential.h"
#include "loop/jobs.h"
#include "loop/loop.h"

/* ---- the process ---- */

int gate_start(struct error *error); /* by main, before any VM: the lookup thread, the password pool */
void gate_stop(void);                /* after all VMs are gone */
/* Writes what is kept in files: now and then, from a thread that may block. gate_stop does it too. */
void gate_save(void);
/* Verifications are on their way back to the loops that asked for them, wanted or not: the loops have to go on. */
bool gate_is_working(void);
/* Puts a job into the password pool. From now until gate_work_ended (in the job's `done`) gate_is_working. -1: the
 * pool is full. */
int gate_work_begin(struct job *job) __attribute__((warn_unused_result));
/* Whose work it is in the pool, for job.owner: clients of one network (/56 in IPv6) are one. */
uint64_t gate_owner_of(const struct ip *peer);
/* The same for what is no job: something will come home to a loop, and then gate_work_ended is called. */
void gate_work_goes_on(void);
void gate_work_ended(void);

/* ---- rules: what auth.toml says. Immutable, counted, shared by threads ---- */

struct gate_rules;

/* Under this name a policy's rules are attached to its VM (policy_vm_attached): the struct itself. */
#define GATE_RULES_KEY "gatepost.auth"

typedef void gate_file_fn(void *ctx, const char *path);

/* The same files with the same content give the same rules, caches and all: every VM calls this. Blocks. NULL with
 * an error that names file, line and key. `on_file` (may be NULL) is told each file that they name and that is part of
 * what they say, also when they cannot be used; it must not come back here. */
struct gate_rules *gate_rules_load(const char *const *paths, size_t count, gate_file_fn *on_file, void *ctx,
                                   struct error *error);
/* Those that were loaded last among those in use: what an operator means who names none. A new reference, or NULL. */
struct gate_rules *gate_rules_current(void);
struct gate_rules *gate_rules_ref(struct gate_rules *rules);
void gate_rules_unref(struct gate_rules **rules);

/* Can these rules answer a question of this kind? */
bool gate_rules_answer(const struct gate_rules *rules, enum auth_question_kind kind);
/* `mechanisms` of auth.toml names it; when it names none: those whose questions the stores can answer, SCRAM left out
 * (a user whose record holds only a hash cannot use it). */
bool gate_rules_offer(const struct gate_rules *rules, const struct auth_mechanism *mechanism);

/* Forgets what caches know of `user` (NULL: of everybody), so that the next login asks the stores. Returns how many
 * entries of theirs. From any thread. */
size_t gate_purge(struct gate_rules *rules, const char *user);

/* ---- one attempt ---- */

/* What is known about the session; borrowed until the verdict. */
struct gate_facts {
    struct ip peer, local;
    const char *listener;   /* "ip:port" it listens on */
    const char *session_id; /* may be NULL */
    const char *mechanism;  /* "PLAIN" */
    const char *ehlo_domain;
    bool is_tls;
    bool is_locked; /* the user must not come in from there now: a secret that is right is AUTH_REASON_LOCKED, after as
                       much work as for one that is wrong */
};

/* Who came in: kept by the session for everything that follows (identity rules, budgets, audit). Counted, immutable. */
struct gate_login {
    atomic_uint refs;
    struct gate_rules *rules;
    struct credential *credential; /* NULL when a handler decided and no store knows the user */
    char *authcid, *authzid;       /* canonical */
    char *store;                   /* "" when a handler decided */
    char *label;                   /* of the secret that matched, or "" */
    json_t *claims;                /* of a token; or NULL */
    bool is_by_gate;               /* the gate let them in; else a handler did, in its own words */
    uint64_t purges;               /* of users, before the gate was asked */
};
struct gate_login *gate_login_ref(struct gate_login *login);
void gate_login_unref(struct gate_login **login);
/* For whom a handler let in without asking us. `rules` may be NULL. */
struct gate_login *gate_login_of(struct gate_rules *rules, const char *authcid, const char *authzid)
    __attribute__((returns_nonnull));

/* The user was purged after the gate was asked: what it was asked by may be gone. From any thread; to be asked when the
 * session can be found by whoever purges. */
bool gate_login_is_purged(const struct gate_login *login);

struct gate_verdict {
    enum auth_reason reason;      /* AUTH_REASON_OK: come in. Its outcome says whether it is a refusal or no verdict */
    struct auth_info *info;       /* OK: the callee takes its own reference; borrowed for the call */
    struct gate_login *login;     /* OK: likewise */
    const struct scram_set *keys; /* AUTH_ASK_SCRAM_KEYS with OK: borrowed, dummy ones for who does not exist. There is
                                     no `info` yet: AUTH_ASK_PROVED has the last word */
    const char *store;            /* the one that answered; "" */
    const char *user;             /* as the record has it, else as it was asked for; NULL: nobody can tell */
    bool is_known;                /* a store has this user */
    bool is_cached;
    uint64_t took_us;
};

typedef void gate_done_fn(void *ctx, const struct gate_verdict *verdict);

struct gate_check;

/* Answers the exchange's question. Returns NULL when on_done has run already; otherwise it runs once, on `loop`,
 * unless cancelled. The question is borrowed until then. */
struct gate_check *gate_check(struct gate_rules *rules, struct loop *loop, const struct gate_facts *facts,
                              const struct auth_question *question, gate_done_fn *on_done, void *ctx);
void gate_check_cancel(struct gate_check *check); /* NULL is fine */

#endif
