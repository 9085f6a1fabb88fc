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

#include "auth/mechanism.h"
#include "auth/reason.h"
#include "base/span.h"
#include "crypto/digest.h"

#define AUTH_LINE_LIMIT 12288     /* octets of a response line without CRLF (RFC 4954, section 4) */
#define AUTH_IDENTITY_LIMIT 1024  /* octets of an authentication or authorization identity */
#define AUTH_CHALLENGE_BYTES 1024 /* base64 of the longest challenge, with its NUL */

struct auth_exchange;

enum auth_step {
    AUTH_STEP_CHALLENGE, /* send auth_exchange_challenge (334), then feed the next line */
    AUTH_STEP_ASK,       /* answer auth_exchange_question with auth_exchange_answer */
    AUTH_STEP_DONE,      /* authenticated as auth_exchange_question's authcid */
    AUTH_STEP_FAIL,      /* over: auth_exchange_reason says why */
};

/* What has to be verified. A mechanism that needs another kind of fact (a stored key, a
 * token's claims) adds its kind here. Strings are NUL-terminated UTF-8 without controls; they
 * belong to the exchange. */
enum auth_question_kind {
    AUTH_ASK_PASSWORD,   /* is `password` right for `authcid`? */
    AUTH_ASK_SCRAM_KEYS, /* which keys has `authcid` (of `scram_hash`)? Whoever does not exist gets dummy ones */
    AUTH_ASK_PROVED,     /* SCRAM's end: the proof was right, or not (`is_proved`); may this user come in? */
    AUTH_ASK_TOKEN,      /* is `token` good, and whose is it? authcid may be NULL until the answer names it */
    AUTH_ASK_EXTERNAL,   /* whose is the verified client certificate? authcid as for tokens */
    AUTH_QUESTION_KIND_COUNT,
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

struct auth_question {
    enum auth_question_kind kind;
    char *authzid; /* whom the client wants to act as; never empty: an empty one became authcid (NULL while that is) */
    char *authcid; /* whose password this is */
    char *password;
    char *token; /* a bearer token (RFC 6750) */
    enum crypto_hash scram_hash;
    bool is_proved;
    const struct auth_certificate *certificate;
};

struct auth_exchange *auth_exchange_new(const struct auth_mechanism *mechanism) __attribute__((returns_nonnull));
void auth_exchange_free(struct auth_exchange *exchange); /* wipes; NULL is fine */

/* Begins. `initial` is the initial response of the AUTH command, as written ("=" is the empty
 * one), or NULL when there was none. */
enum auth_step auth_exchange_start(struct auth_exchange *exchange, const struct span *initial);

/* The client's answer to a challenge: a line without its CRLF. "*" cancels. */
enum auth_step auth_exchange_line(struct auth_exchange *exchange, struct span line);

/* The verdict on the question. A refusal ends the exchange with `reason`. */
enum auth_step auth_exchange_answer(struct auth_exchange *exchange, bool granted, enum auth_reason reason);

const struct auth_mechanism *auth_exchange_mechanism(const struct auth_exchange *exchange);
const char *auth_exchange_challenge(const struct auth_exchange *exchange); /* base64; "" is possible */
const struct auth_question *auth_exchange_question(const struct auth_exchange *exchange);
enum auth_reason auth_exchange_reason(const struct auth_exchange *exchange);

/* Wipes the password already; the identities stay. */
void auth_exchange_forget_secret(struct auth_exchange *exchange);

#endif
