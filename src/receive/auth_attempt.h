/* SPDX-License-Identifier: Apache-2.0
 *
 * One attempt to log in, from AUTH to its end, and what the files about it share. The way of an attempt:
 *
 *   cmd_auth.c      lines to and from the exchange
 *   auth_offer.c    which mechanisms may be used here and now
 *   auth_ask.c      who answers the exchange's question: the policy's handler, else the gate
 *   auth_result.c   what a handler's result means
 *   auth_checked.c  what the gate said to a handler that asked it
 *   auth_scram.c    the same for keys, which may have to be made from a password first
 *   auth_guess.c    what was guessed lately has its say before the end
 *   auth_verdict.c  the end: in, refused, or no verdict
 *   auth_record.c   what is written down about it, auth_figures.c what is counted
 */
#ifndef GATEPOST_RECEIVE_AUTH_ATTEMPT_H
#define GATEPOST_RECEIVE_AUTH_ATTEMPT_H

#include "gate/attempt.h"
#include "gate/gate.h"
#include "gate/guess.h"
#include "receive/receive_private.h"

struct scram_making;

struct auth_attempt {
    struct auth_exchange *exchange;
    uint64_t began_ms;
    uint64_t began_us;                   /* by the clock that is read each time: for the record */
    struct auth_certificate certificate; /* what EXTERNAL goes by; its texts belong to the socket */

    /* who answers */
    struct gate_rules *rules; /* of the policy with which it began; NULL: no gate */
    struct gate_check *check; /* while the gate is asked */
    struct gate_facts facts;
    char listener_text[SOCKADDR_TEXT_BYTES];
    struct scram_making *making; /* while keys are made from a password */
    bool has_handlers_keys;      /* SCRAM: the keys came from a handler, so the proof is all there is to judge */

    /* what was guessed lately */
    struct gate_guess *guess; /* while that is asked for */
    session_then_fn *then;    /* that goes on after it */
    enum auth_reason refusal; /* meanwhile */
    unsigned guess_failures;  /* that the delay grows with */
    uint64_t guess_delay_most_ms;
    bool is_locked;   /* before the secret was looked at */
    bool is_doubtful; /* a login that looks like a guess that came right */

    /* what the gate said, for the record */
    char *user, *store; /* NULL: it was not asked, or did not get that far */
    bool is_known;
    bool is_cached;
    uint64_t took_us; /* until the verdict; 0: there is none yet */

    /* what they answered, until the client has said its last */
    char *authcid;                /* whose the token or the certificate is */
    struct auth_info *info;       /* NULL: not granted yet */
    json_t *info_json;            /* the same for the handler: made where nothing can raise */
    struct gate_login *login;     /* NULL: the gate did not answer */
    struct smtp_reply *rejection; /* policy's own words for a refusal */
    bool is_told;                 /* the refusal is: as a challenge, at the time when refusals come */
};

/* ---- cmd_auth.c ---- */

void auth_take_step(struct session *session, enum auth_step step);
/* Ends the exchange and the attempt, with one line for whoever has to find out what happened. */
void auth_end(struct session *session, enum auth_reason reason);

/* ---- auth_describe.c ---- */

/* The facts of the attempt as they are known now. Borrowed from the session. */
void auth_describe(struct session *session, enum auth_reason reason, struct gate_attempt *attempt_out);

/* ---- auth_record.c ---- */

/* It is over: in the accounting log, on the diagnostic log, in the counters. */
void auth_record(struct session *session, enum auth_reason reason);

/* ---- auth_figures.c ---- */

void auth_count(const struct auth_mechanism *mechanism, enum auth_reason reason, uint64_t took_us);
const char *auth_outcome_word(enum auth_reason reason); /* "ok", "refused", "error", "cancelled" */

/* ---- auth_offer.c ---- */

enum policy_event auth_event_of(enum auth_question_kind kind);
const char *auth_handler_name(const struct session *session);    /* of the question in hand */
struct gate_rules *auth_rules_of(const struct session *session); /* borrowed; NULL: no gate */
bool auth_certificate_of(struct session *session, struct auth_certificate *certificate_out);
/* The data of a channel binding, as a mechanism asks for it. */
int auth_channel_binding(void *session, enum auth_binding binding, struct buf *out);

/* ---- auth_ask.c ---- */

/* Has the exchange's question answered: ends in one of the functions of auth_verdict.c. */
void auth_ask(struct session *session);
/* Nobody else has: asks the gate; without one the refusal has `otherwise` as its reason. */
void auth_ask_gate(struct session *session, enum auth_reason otherwise);

/* What the gate said, for the record. */
void auth_note_words(struct auth_attempt *attempt, const struct gate_verdict *verdict);

/* ---- auth_checked.c: see connection.h for how it is noted ---- */

/* The handler has answered: what the gate said to it is noted for the record. */
void auth_checked_describe(struct session *session);
/* It is not what the handler says: the record of the login does without it. */
void auth_checked_set_aside(struct session *session);
/* Whom the gate would let in, if that is what the handler says; `given` is its AuthInfo, NULL after a bare true.
 * Borrowed; NULL: the handler answers for itself. */
struct gate_login *auth_checked_login(const struct session *session, const struct auth_info *given);

/* ---- auth_result.c: what a handler said; `value` is borrowed and never JSON null ---- */

void auth_take_result(struct session *session, const json_t *value);

/* ---- auth_scram.c ---- */

void auth_take_keys(struct session *session, const json_t *value);
void auth_abandon_keys(struct session *session);

/* ---- auth_guess.c ---- */

/* Before a secret is looked at: notes whether it would do, and goes on with `then`. */
void auth_guess_peek(struct session *session, session_then_fn *then);
/* The secret was right: goes on with `then`, or refuses. */
void auth_guess_judge(struct session *session, session_then_fn *then);
/* It was not: counts that, and goes on with `then`. attempt->refusal has the reason. */
void auth_guess_refused(struct session *session, enum auth_reason reason, session_then_fn *then);
void auth_guess_accepted(struct session *session);

/* ---- auth_suspect.c ---- */

/* Raises auth_suspect for each; nobody waits for what the handlers do. */
void auth_tell_suspects(struct receive_listener *listener, const json_t *const *suspects, size_t count);

/* ---- auth_verdict.c: each goes on with the exchange or ends it ---- */

/* The question is answered with yes. `info` is taken; `login` gets a reference of its own (NULL is fine); `authcid` is
 * for tokens and certificates. policy has its say first (smtp_server_authenticated). */
void auth_grant(struct session *session, struct auth_info *info, struct gate_login *login, const char *authcid);
void auth_give_keys(struct session *session, const struct scram_set *keys);
void auth_refuse(struct session *session, enum auth_reason reason);
/* A handler chose the words; they still come when any refusal would. */
void auth_refuse_as_told(struct session *session, const struct policy_result *result);
void auth_no_verdict(struct session *session, enum auth_reason reason);
/* Likewise, told as late as a refusal: the stores of auth.toml are away, or have an old answer. */
void auth_stores_gave_no_verdict(struct session *session, enum auth_reason reason);
/* The exchange has a challenge that is a refusal. */
void auth_tell_refusal(struct session *session);
/* The exchange ended in a refusal. */
void auth_conclude_refusal(struct session *session, enum auth_reason reason);
void auth_accept(struct session *session);

#endif
