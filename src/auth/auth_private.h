/* SPDX-License-Identifier: Apache-2.0
 *
 * What the mechanisms and the exchange share. A mechanism's `step` gets the client's octets
 * and leaves the next move in the exchange: a challenge, a question to the caller, the end.
 */
#ifndef GATEPOST_AUTH_AUTH_PRIVATE_H
#define GATEPOST_AUTH_AUTH_PRIVATE_H

#include "auth/exchange.h"
#include "auth/mechanism.h"

struct auth_mechanism {
    const char *name;
    enum auth_question_kind asks;
    enum crypto_hash hash; /* of a SCRAM */
    bool needs_tls;
    bool is_legacy;
    const struct auth_mechanism *bound_twin;
    bool is_bound;
    bool client_first; /* without an initial response we send an empty challenge first */

    /* The client's octets, decoded. `response` is wiped by the caller after. For a mechanism
     * that is not client_first the first call has `response` NULL. */
    enum auth_step (*step)(struct auth_exchange *exchange, const struct span *response);
    /* The caller's verdict on the question of the last step. */
    enum auth_step (*answered)(struct auth_exchange *exchange, const struct auth_answer *answer);
    /* Wipes and frees exchange->state. NULL for those that keep none. */
    void (*drop)(void *state);
};

struct auth_exchange {
    const struct auth_mechanism *mechanism;
    struct auth_channel channel;
    unsigned stage; /* the mechanism's own count of steps */
    void *state;    /* the mechanism's own */
    bool started;
    bool ended;
    enum auth_reason reason;
    struct auth_question question;
    char challenge[AUTH_CHALLENGE_BYTES]; /* base64, NUL-terminated */
};

enum auth_step auth_fail(struct auth_exchange *exchange, enum auth_reason reason);
enum auth_step auth_challenge(struct auth_exchange *exchange, struct span octets);

/* What most mechanisms make of a verdict: DONE or FAIL. */
enum auth_step auth_end_as_answered(struct auth_exchange *exchange, const struct auth_answer *answer);
/* The same where the answer names the user. Whoever asked for no other acts as himself. */
enum auth_step auth_end_as_named(struct auth_exchange *exchange, const struct auth_answer *answer);

/* ---- gs2.c: what SCRAM and OAUTHBEARER begin with (RFC 5801, section 4) ---- */

struct gs2_header {
    char flag;           /* 'n', 'y' or 'p' */
    struct span binding; /* the name behind "p=" */
    struct span authzid; /* as sent, encoded; its data is NULL when there is none */
    size_t len;          /* of the header with its last comma */
};

int gs2_parse(struct span message, struct gs2_header *header_out) __attribute__((warn_unused_result));
/* A saslname (RFC 5802, section 5.1) with its =2C and =3D undone, sound and not empty; the caller frees it. NULL when
 * it is none. */
char *gs2_decode_name(struct span text);

/* ---- bearer.c: what OAUTHBEARER and XOAUTH2 have in common ---- */

/* The value of `key` among "key=value" pairs that each end with a ^A, with a last ^A behind them. Its data is NULL when
 * there is none. -1 when `pairs` is not made like that, or has the key twice. */
int bearer_find(struct span pairs, const char *key, struct span *value_out) __attribute__((warn_unused_result));
/* Puts the token of "Bearer TOKEN" into the question. */
int bearer_take_token(struct auth_exchange *exchange, struct span value) __attribute__((warn_unused_result));
/* Granted: the end. Refused: the client is told in JSON, and then by the reply to whatever it says to that. */
enum auth_step bearer_answered(struct auth_exchange *exchange, const struct auth_answer *answer, const char *refusal);

extern const struct auth_mechanism auth_sasl_plain, auth_sasl_login, auth_sasl_scram_sha_256_plus,
    auth_sasl_scram_sha_256, auth_sasl_scram_sha_1, auth_sasl_oauthbearer, auth_sasl_xoauth2, auth_sasl_external;

#endif
