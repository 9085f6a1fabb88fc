/* SPDX-License-Identifier: Apache-2.0
 *
 * One SASL exchange, server side (RFC 4422; its SMTP dress: RFC 4954). A state machine that
 * does no I/O: the session feeds it the client's base64 lines; it says what to send, or asks
 * a question that only the policy can answer, which may take as long as it takes. Secrets
 * live in it and nowhere else, and are wiped when it is freed.
 */
#ifndef GATEPOST_AUTH_EXCHANGE_H
#define GATEPOST_AUTH_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/identity.h"
#include "auth/mechanism.h"
#include "auth/reason.h"
#include "base/buf.h"
#include "base/span.h"
#include "crypto/digest.h"

#define AUTH_LINE_LIMIT 12288     /* octets of a response line without CRLF (RFC 4954, section 4) */
#define AUTH_CHALLENGE_BYTES 1024 /* base64 of the longest challenge, with its NUL */
#define AUTH_BINDING_LIMIT 64     /* octets of a channel binding's data */

struct auth_exchange;
struct scram_keys; /* password/password.h */
struct scram_set;

enum auth_step {
    AUTH_STEP_CHALLENGE, /* send auth_exchange_challenge (334), then feed the next line */
    AUTH_STEP_ASK,       /* answer auth_exchange_question with auth_exchange_answer */
    AUTH_STEP_DONE,      /* authenticated as auth_exchange_question's authcid */
    AUTH_STEP_FAIL,      /* over: auth_exchange_reason says why */
};

/* What a verified client certificate says of its owner; borrowed from whoever made the exchange. */
#define AUTH_CERTIFICATE_NAMES_MOST 16
struct auth_certificate {
    const char *subject; /* RFC 2253 form; never NULL */
    const char *emails[AUTH_CERTIFICATE_NAMES_MOST];
    size_t email_count;
    const char *dns_names[AUTH_CERTIFICATE_NAMES_MOST];
    size_t dns_name_count;
};

/* Strings are NUL-terminated UTF-8 without controls; they belong to the exchange. */
struct auth_question {
    enum auth_question_kind kind;
    char *authzid; /* whom the client wants to act as; never empty: an empty one became authcid (NULL while that is) */
    char *authcid; /* whose password this is */
    char *password;
    char *token; /* a bearer token (RFC 6750) */
    enum crypto_hash scram_hash;
    bool is_proved;
    const struct scram_keys *keys; /* AUTH_ASK_PROVED: whose proof it is, else the first of the set */
    const struct auth_certificate *certificate;
};

/* ---- what the connection has to offer to a mechanism ---- */

enum auth_binding { AUTH_BINDING_TLS_EXPORTER, AUTH_BINDING_TLS_SERVER_END_POINT };

struct auth_channel {
    /* Appends the binding's data; -1 when the connection has none. NULL: none of any kind. Called while the exchange
     * reads a line. */
    int (*binding)(void *ctx, enum auth_binding binding, struct buf *out);
    void *ctx;
    bool offers_bound_twin; /* the -PLUS of this mechanism was on offer: a client that believes otherwise (the flag
                               "y" of RFC 5802, section 6) was lied to on the way, and is refused */
    const struct auth_certificate *certificate; /* verified; NULL: none */
    const char *nonce;                          /* our part of SCRAM's nonce, for published examples; NULL: random */
};

/* ---- the exchange ---- */

/* The channel is copied; what it points to is borrowed until the end. NULL: one that has nothing to offer. */
struct auth_exchange *auth_exchange_new(const struct auth_mechanism *mechanism, const struct auth_channel *channel)
    __attribute__((returns_nonnull));
void auth_exchange_free(struct auth_exchange *exchange); /* wipes; NULL is fine */

/* Begins. `initial` is the initial response of the AUTH command, as written ("=" is the empty
 * one), or NULL when there was none. */
enum auth_step auth_exchange_start(struct auth_exchange *exchange, const struct span *initial);

/* The client's answer to a challenge: a line without its CRLF. "*" cancels. */
enum auth_step auth_exchange_line(struct auth_exchange *exchange, struct span line);

/* The verdict on the question; what it points to is copied. */
struct auth_answer {
    bool granted;
    enum auth_reason reason;      /* when it was not */
    const struct scram_set *keys; /* AUTH_ASK_SCRAM_KEYS, granted: of the hash that was asked for */
    const char *authcid;          /* AUTH_ASK_TOKEN and AUTH_ASK_EXTERNAL, granted: whose it is */
};

/* A refusal ends the exchange, now or (where the mechanism has a last word for the client) with the client's next
 * line, whatever that is: auth_exchange_is_refused is true from now on. */
enum auth_step auth_exchange_answer(struct auth_exchange *exchange, const struct auth_answer *answer);

const struct auth_mechanism *auth_exchange_mechanism(const struct auth_exchange *exchange);
const char *auth_exchange_challenge(const struct auth_exchange *exchange); /* base64; "" is possible */
const struct auth_question *auth_exchange_question(const struct auth_exchange *exchange);
enum auth_reason auth_exchange_reason(const struct auth_exchange *exchange);
/* A challenge that comes with this is a refusal in the mechanism's own words: it tells as much as a 535. */
bool auth_exchange_is_refused(const struct auth_exchange *exchange);

/* Wipes the password or token already; the identities stay. */
void auth_exchange_forget_secret(struct auth_exchange *exchange);

#endif
