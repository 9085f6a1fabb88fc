/* SPDX-License-Identifier: Apache-2.0
 *
 * One attempt to log in, as everything that counts, judges or records it sees it. The session fills it when a verdict
 * is there; nobody keeps it, so all texts are borrowed for the call. What the client wrote (names, the EHLO domain) is
 * what the client wrote: whoever prints it, escapes it.
 */
#ifndef GATEPOST_GATE_ATTEMPT_H
#define GATEPOST_GATE_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/reason.h"
#include "base/cidr.h"
#include "base/span.h"

struct gate_attempt {
    /* where it comes from */
    struct ip peer;          /* the client, as PROXY or XCLIENT gave it where one did */
    struct ip proxy;         /* who spoke for it; family 0: nobody */
    bool is_proxys_own;      /* `peer` is a host that speaks for others and has not said for whom */
    const char *listener;    /* "ip:port" */
    const char *session_id;  /* never NULL */
    const char *ehlo_domain; /* NULL before EHLO */

    /* NULL without TLS, or without a certificate that we trust */
    const char *tls_protocol, *tls_cipher, *certificate_subject;

    /* what was tried */
    const char *mechanism;         /* "PLAIN" */
    const char *authcid, *authzid; /* as the client gave them, or a token or certificate said; NULL: not said */
    const char *user;              /* by the name that its record has, else as the client says; NULL: nobody can tell */
    struct span secret;            /* the password or token, for keyed digests alone; empty where there is none */

    /* what came of it */
    enum auth_reason reason;
    const char *store; /* that answered; "" when a handler decided, or nobody */
    const char *label; /* of the secret that matched, or "" */
    bool is_known;     /* a store has this user, or he is in */
    bool is_cached;
    uint64_t took_us; /* from AUTH to the verdict, without delays on purpose */
    int64_t wall_ms;
};

/* Is it a guess that went wrong, or may have? Store errors, cancelled and malformed attempts are not; nor is a refusal
 * for which no secret was looked at. AUTH_REASON_LOCKED is: whoever is refused must not learn whether the password was
 * right. */
bool gate_attempt_is_guess(enum auth_reason reason);

#endif
