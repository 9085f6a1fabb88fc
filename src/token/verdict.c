/* SPDX-License-Identifier: Apache-2.0
 *
 * The words for what can be wrong with a token.
 */
#include "token/verdict.h"

#include "base/must.h"

static const struct {
    const char *name, *sentence;
} table[TOKEN_VERDICT_COUNT] = {
    [TOKEN_GOOD] = {"good", "the token is good"},
    [TOKEN_ALGORITHM] = {"bad_algorithm", "the token's algorithm is not one that this store takes"},
    [TOKEN_CRITICAL] = {"critical_header", "the token's header asks for an extension that is not known here"},
    [TOKEN_TYPE] = {"bad_type", "the token's type is not one that this store takes"},
    [TOKEN_UNKNOWN_KEY] = {"unknown_key", "the token is signed with a key that its issuer does not publish"},
    [TOKEN_SIGNATURE] = {"bad_signature", "the token's signature is wrong"},
    [TOKEN_ISSUER] = {"wrong_issuer", "the token comes from another issuer"},
    [TOKEN_AUDIENCE] = {"wrong_audience", "the token is meant for another audience"},
    [TOKEN_EXPIRED] = {"expired", "the token has expired"},
    [TOKEN_NOT_YET] = {"not_yet_valid", "the token is not valid yet"},
    [TOKEN_BOUND] = {"bound", "the token is bound to a key of its holder's, which is not checked here"},
    [TOKEN_SCOPE] = {"missing_scope", "the token lacks a scope that is required"},
    [TOKEN_USER] = {"no_user", "the token names no user that can be let in"},
    [TOKEN_CLAIM] = {"bad_claim", "a claim of the token is missing or of the wrong type"},
    [TOKEN_INACTIVE] = {"inactive", "the token is not active"},
};

const char *token_verdict_name(enum token_verdict verdict)
{
    MUST((unsigned)verdict < TOKEN_VERDICT_COUNT);
    return table[verdict].name;
}

const char *token_verdict_sentence(enum token_verdict verdict)
{
    MUST((unsigned)verdict < TOKEN_VERDICT_COUNT);
    return table[verdict].sentence;
}
