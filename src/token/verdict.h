/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be wrong with a token that was meant for us: for the log and the audit trail. Clients
 * are never told which it was.
 */
#ifndef GATEPOST_TOKEN_VERDICT_H
#define GATEPOST_TOKEN_VERDICT_H

enum token_verdict {
    TOKEN_GOOD,
    TOKEN_ALGORITHM,   /* none that the store takes; also "none" */
    TOKEN_CRITICAL,    /* its header asks for an extension that we lack (`crit`) */
    TOKEN_TYPE,        /* the issuer's, but another kind of token (`typ`): to log out with, to prove a key with */
    TOKEN_UNKNOWN_KEY, /* signed with a key that we do not have */
    TOKEN_SIGNATURE,   /* not that key's */
    TOKEN_ISSUER,      /* another's */
    TOKEN_AUDIENCE,    /* good, but for somebody else */
    TOKEN_EXPIRED,     /* was good */
    TOKEN_NOT_YET,     /* will be good: `nbf` or `iat` lies ahead */
    TOKEN_BOUND,       /* good only together with a key that we do not ask for (`cnf`) */
    TOKEN_SCOPE,       /* good, but not for this */
    TOKEN_USER,        /* names nobody we could let in */
    TOKEN_CLAIM,       /* a claim that we need is missing, or of the wrong type */
    TOKEN_INACTIVE,    /* the server that made it says so (RFC 7662) */
    TOKEN_VERDICT_COUNT,
};

const char *token_verdict_name(enum token_verdict verdict);     /* "expired": a word for logs */
const char *token_verdict_sentence(enum token_verdict verdict); /* "the token has expired" */

#endif
