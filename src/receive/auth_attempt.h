/* SPDX-License-Identifier: Apache-2.0
 *
 * One attempt to log in, from AUTH to its end, and what the files about it share. The way of an attempt:
 *
 *   cmd_auth.c      lines to and from the exchange
 *   auth_offer.c    which mechanisms may be used here and now
 *   auth_ask.c      who answers the exchange's question: the policy's handler, else the gate
 *   auth_result.c   what a handler's result means
 *   auth_scram.c    the same for keys, which may have to be made from a password first
 *   auth_verdict.c  the end: in, refused, or no verdict
 */
#ifndef GATEPOST_RECEIVE_AUTH_ATTEMPT_H
#define GATEPOST_RECEIVE_AUTH_ATTEMPT_H

#include "gate/gate.h"
#include "receive/receive_private.h"

struct scram_making;

struct auth_attempt {
    struct auth_exchange *exchange;
    uint64_t began_ms;
    struct auth_certificate certificate; /* what EXTERNAL goes by; its texts belong to the socket */

    /* who answers */
    struct gate_rules *rules; /* of the policy with which it began; NULL: no gate */
    struct gate_check *check; /* while the gate is asked */
    struct gate_facts facts;
    char listener_text[SOCKADDR_TEXT_BYTES];
    struct scram_making *making; /* while keys are made from a password */
    bool has_handlers_keys;      /* SCRAM: the keys came from a handler, so the proof is all there is to judge */

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

/* ---- auth_result.c: what a handler said; `value` is borrowed and never JSON null ---- */

void auth_take_result(struct session *session, const json_t *value);

/* ---- auth_scram.c ---- */

void auth_take_keys(struct session *session, const json_t *value);
void auth_abandon_keys(struct session *session);

/* ---- auth_verdict.c: each goes on with the exchange or ends it ---- */

/* The question is answered with yes. `info` is taken; `login` gets a reference of its own (NULL is fine); `authcid` is
 * for tokens and certificates. policy has its say first (smtp_server_authenticated). */
void auth_grant(struct session *session, struct auth_info *info, struct gate_login *login, const char *authcid);
void auth_give_keys(struct session *session, const struct scram_keys *keys);
void auth_refuse(struct session *session, enum auth_reason reason);
/* A handler chose the words; they still come when any refusal would. */
void auth_refuse_as_told(struct session *session, const struct policy_result *result);
void auth_no_verdict(struct session *session, enum auth_reason reason);
/* The exchange has a challenge that is a refusal. */
void auth_tell_refusal(struct session *session);
/* The exchange ended in a refusal. */
void auth_conclude_refusal(struct session *session, enum auth_reason reason);
void auth_accept(struct session *session);

#endif
