/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the gate share: the rules as they were read, an attempt on its way through the steps, and the
 * little that is kept between attempts: what a wrong password costs, and which right ones were seen lately.
 */
#ifndef GATEPOST_GATE_GATE_PRIVATE_H
#define GATEPOST_GATE_GATE_PRIVATE_H

#include <pthread.h>

#include "base/list.h"
#include "base/map.h"
#include "base/must.h"
#include "crypto/digest.h"
#include "data/settings.h"
#include "gate/gate.h"
#include "gate/identity_private.h"
#include "loop/jobs.h"
#include "password/password.h"

/* ---- cost.c: what a refusal costs, whoever is refused ---- */

/* A password that is refused costs as many verifications as the record with the most secrets that was asked for, but
 * GATE_ROUNDS_MOST at most for those who have fewer. */
#define GATE_ROUNDS_MOST 4
#define GATE_FORMS_MOST 8

struct gate_form {
    struct password_shape shape;
    char *dummy; /* of that shape; no password matches it */
    uint64_t seen;
};

/* What a challenge of SCRAM shows of a user, and what it takes to make. */
struct gate_scram_form {
    uint32_t iterations, salt_len;
    uint32_t derives; /* so many keys are made from plain passwords, which takes time */
    uint64_t seen;
};

struct gate_cost {
    pthread_mutex_t lock;
    /* under lock */
    struct gate_form forms[GATE_FORMS_MOST]; /* that users have, those seen lately */
    size_t form_count;                       /* at least 1 */
    bool is_guess;                           /* nobody was verified yet */
    size_t rounds;
    struct gate_scram_form scram_forms[GATE_FORMS_MOST];
    size_t scram_count;
    bool is_scram_guess;
    uint64_t turn;
};

/* Until a user's form is learnt, users are taken to have a hash of `scheme` and `cost`. */
void gate_cost_init(struct gate_cost *cost, enum password_scheme scheme, const struct password_cost *hash_cost);
void gate_cost_done(struct gate_cost *cost);
void gate_cost_learn(struct gate_cost *cost, const char *stored);
void gate_cost_learn_count(struct gate_cost *cost, size_t secrets);
void gate_cost_learn_scram(struct gate_cost *cost, const struct gate_scram_form *form);
/* A stored form for `user`, who has none: the same for the same name. The caller's. */
char *gate_cost_dummy(struct gate_cost *cost, const char *user, size_t *rounds_out);
struct gate_scram_form gate_cost_scram(struct gate_cost *cost, const char *user);

/* ---- external.c: whose is a certificate ---- */

enum gate_external_source { GATE_EXTERNAL_SUBJECT, GATE_EXTERNAL_EMAIL, GATE_EXTERNAL_DNS, GATE_EXTERNAL_MAP };

struct gate_external {
    bool is_on;
    bool needs_record; /* else the certificate alone makes a user */
    enum gate_external_source source;
    struct map users; /* certificate's name -> char * */
};

void gate_external_read(struct gate_external *external, struct settings *table /* or NULL */);
void gate_external_done(struct gate_external *external);
/* The user's name, borrowed, or NULL. Where a certificate has several, `wanted` (or NULL) chooses. */
const char *gate_external_user(const struct gate_external *external, const struct auth_certificate *certificate,
                               const char *wanted);

/* ---- remember.c: passwords that were right ---- */

struct gate_memo {
    unsigned char digest[CRYPTO_SHA256_BYTES];
};

void gate_remember_start(void);
void gate_remember_stop(void);
/* What one password for one stored form is known by. It tells nothing without the process's key. */
void gate_memo_make(const char *user, const char *stored, const char *password, struct gate_memo *memo_out);
bool gate_remembers(const struct gate_memo *memo);
/* `asked` is what the client called the user, `name` what the record does. */
void gate_remember(const struct gate_memo *memo, const char *asked, const char *name, uint64_t for_ms);
void gate_forget(const char *user); /* by either name, in whatever case; NULL: everybody */

/* ---- purged.c ---- */

void gate_purged_note(const char *user); /* NULL: everybody */
uint64_t gate_purged_count(void);
/* Was the user, by either name, purged when so many had been? */
bool gate_purged_since(uint64_t count, const char *authcid, const char *name);

/* ---- guess_settings.c, shared.c: [guessing] and [shared]; the tables may be NULL ---- */

struct gate_guessing;
struct gate_shared;

struct gate_guessing *gate_guessing_read(struct settings *table);
void gate_guessing_free(struct gate_guessing *guessing);

struct gate_shared *gate_shared_read(struct settings *table);
void gate_shared_free(struct gate_shared *shared);
/* The counting room goes by it from now on. Does nothing when it does so already. One at a time. */
int gate_shared_use(const struct gate_shared *shared, struct error *error) __attribute__((warn_unused_result));

/* ---- audit.c: [audit] ---- */

enum gate_unknown_users { GATE_UNKNOWN_KEEP, GATE_UNKNOWN_HASH, GATE_UNKNOWN_DROP };

struct gate_audit {
    enum gate_unknown_users unknown_users;
    char *key; /* NULL: the process's own */
};

void gate_audit_read(struct gate_audit *audit, struct settings *table /* or NULL */);
void gate_audit_done(struct gate_audit *audit);

/* ---- rules.c ---- */

enum gate_token_records { GATE_TOKEN_USE_RECORDS, GATE_TOKEN_NEED_RECORDS, GATE_TOKEN_IGNORE_RECORDS };

/* rules_digest.c: of what these files say. `on_file` as for gate_rules_load. */
int gate_rules_digest(const char *const *paths, size_t count, gate_file_fn *on_file, void *ctx,
                      unsigned char out[CRYPTO_SHA256_BYTES], struct error *error) __attribute__((warn_unused_result));

struct gate_rules {
    atomic_uint refs;
    struct list_node node; /* in the list of all, under its lock */
    unsigned char digest[CRYPTO_SHA256_BYTES];

    /* fixed after load */
    struct stores *stores;
    struct gate_external external;
    struct gate_identity identity;
    enum gate_token_records token_records;
    struct gate_guessing *guessing;
    struct gate_shared *shared;
    struct gate_budgets *budgets;
    struct gate_audit audit;
    char *last_used; /* a path, or NULL */
    uint64_t remember_ms;
    size_t pool_threads, pool_queue_limit; /* of the password pool; 0: the default */
    uint64_t pool_time_limit_ms;
    uint32_t mechanisms; /* bits by auth_mechanism_index */
    bool names_mechanisms;

    struct gate_cost cost;
};

/* ---- admit.c: a record and what it allows ---- */

/* May who proved to be `credential` by `secret` (NULL: by other means) come in from `peer` as `authzid`? */
enum auth_reason gate_admission(const struct credential *credential, const struct credential_secret *secret,
                                const struct ip *peer, const char *authcid, const char *authzid, int64_t now_ms);
/* authzid is the user, by either of the user's names, or one the record names in may_act_as. */
bool gate_may_act_as(const struct credential *credential, const char *authcid, const char *authzid);
/* Indexes of the secrets, those first that are usable now and from there. Returns how many are. */
size_t gate_secrets_in_order(const struct credential *credential, const struct ip *peer, int64_t now_ms,
                             size_t order_out[CREDENTIAL_SECRETS_MOST]);

/* ---- verify.c: in the password pool ---- */

struct gate_verify;

struct gate_verify_ask {
    const char *user;                      /* as asked for */
    const struct credential *credential;   /* NULL: nobody; a dummy is verified */
    const struct ip *peer;                 /* orders the secrets */
    const char *password;                  /* copied */
    struct gate_rules *rules;              /* kept while the work goes on */
    bool ends_at[CREDENTIAL_SECRETS_MOST]; /* a match of this secret ends the work: the user will come in */
};

enum gate_verified {
    GATE_VERIFIED, /* `secret` matches */
    GATE_DIFFERS,  /* none does */
    GATE_IN_DOUBT, /* none of those that can be used does, and one cannot be used at all */
    GATE_UNUSABLE, /* none can be used */
    GATE_TOO_BUSY, /* the pool is full, or the work waited too long */
};

typedef void gate_verify_fn(void *ctx, enum gate_verified verified, size_t secret);

/* NULL when on_done has run already. */
struct gate_verify *gate_verify_start(struct loop *loop, const struct gate_verify_ask *ask, gate_verify_fn *on_done,
                                      void *ctx);
void gate_verify_cancel(struct gate_verify *verify); /* NULL is fine */

/* ---- scram.c: likewise ---- */

struct gate_scram;
typedef void gate_scram_fn(void *ctx, const struct scram_set *keys); /* NULL: too busy */

/* The usable secrets that one challenge of SCRAM with `hash` does for: the first that has keys of it, those with the
 * same salt and count, and plain ones. Returns how many. */
size_t gate_scram_secrets(const struct credential *credential, const struct ip *peer, enum crypto_hash hash,
                          int64_t now_ms, const struct credential_secret *secrets_out[SCRAM_SET_MOST]);
/* The secret that these keys were given for, by their mark; NULL when the record has it no longer. Of two that are the
 * same password the one that is usable now and from there. */
const struct credential_secret *gate_scram_marked(const struct credential *credential, const struct ip *peer,
                                                  int64_t now_ms, const struct scram_keys *keys);
/* Dummy keys for `user` where the record (or NULL) has no secret that serves. */
struct gate_scram *gate_scram_start(struct loop *loop, struct gate_rules *rules, const char *user,
                                    const struct credential *credential, enum crypto_hash hash, const struct ip *peer,
                                    gate_scram_fn *on_done, void *ctx);
void gate_scram_cancel(struct gate_scram *scram); /* NULL is fine */

/* ---- check.c: an attempt ---- */

struct lookup;
struct lookup_result;

struct gate_check {
    /* fixed from the start */
    struct gate_rules *rules;
    struct loop *loop;
    const struct gate_facts *facts;
    const struct auth_question *question;
    gate_done_fn *on_done;
    void *ctx;
    uint64_t began_us;
    uint64_t purges; /* as many had been purged by then */

    /* what is waited for */
    struct lookup *lookup;
    struct gate_verify *verify;
    struct gate_scram *scram;
    void (*on_found)(struct gate_check *check, const struct lookup_result *result);
    unsigned depth; /* calls of ours below on the stack: it is freed when there is none */
    bool is_over;

    /* what is known so far */
    char *user;                    /* as asked for in the stores */
    struct credential *credential; /* NULL: nobody */
    char *store, *label;
    json_t *claims;
    struct credential *token_user; /* what the token says of its user */
    bool is_cached, is_stale;

    /* password: on the way through its steps */
    enum gate_verified verified;
    size_t match;              /* GATE_VERIFIED: which secret */
    struct credential *former; /* the record before it was asked for afresh */
    bool was_asked_afresh;
    enum auth_reason told; /* not OK: by a store that judges itself; the verification is for show */
};

void gate_check_set_user(struct gate_check *check, const char *user);
/* Asks the stores about check->user; on_found goes on from there, now or later, unless the stores failed: then the
 * attempt is over. What is found is in the check. */
void gate_check_look_up(struct gate_check *check, bool with_password, bool afresh,
                        void (*on_found)(struct gate_check *check, const struct lookup_result *result));
/* The same of the question's token. */
void gate_check_look_up_token(struct gate_check *check,
                              void (*on_found)(struct gate_check *check, const struct lookup_result *result));
/* Over: the verdict is said. OK makes AuthInfo and login of what is known. */
void gate_check_end(struct gate_check *check, enum auth_reason reason);
void gate_check_end_with_keys(struct gate_check *check, const struct scram_set *keys);
/* Around whatever may end the attempt: it is freed when the last one leaves. */
void gate_check_enter(struct gate_check *check);
void gate_check_leave(struct gate_check *check);
const char *gate_check_authzid(const struct gate_check *check);
enum auth_reason gate_check_admission(const struct gate_check *check, const struct credential_secret *secret);

/* What policies see of a login; `token_user` (or NULL) is what a token says of its user besides. */
struct auth_info *gate_info_of(const struct gate_login *login, const struct credential *token_user);

/* One per kind of question. */
void gate_ask_password(struct gate_check *check);
void gate_ask_scram_keys(struct gate_check *check);
void gate_ask_proved(struct gate_check *check);
void gate_ask_token(struct gate_check *check);
void gate_ask_external(struct gate_check *check);

#endif
