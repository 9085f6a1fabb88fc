/* SPDX-License-Identifier: Apache-2.0
 *
 * XOAUTH2: what large mail providers had before OAUTHBEARER, and what many programs speak still. "user=NAME", then the
 * token. As there, the name is a wish.
 */
#include "auth/auth_private.h"
#include "base/span.h"

static const char refusal[] = "{\"status\":\"401\",\"schemes\":\"bearer\"}";

static enum auth_step step(struct auth_exchange *exchange, const struct span *response)
{
    struct span user;
    struct span authorization;

    if (bearer_find(*response, "user", &user) || bearer_find(*response, "auth", &authorization) || user.len == 0 ||
        !auth_identity_is_sound(user) || bearer_take_token(exchange, authorization))
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    exchange->question.authzid = span_dup(user);
    return AUTH_STEP_ASK;
}

static enum auth_step answered(struct auth_exchange *exchange, const struct auth_answer *answer)
{
    return bearer_answered(exchange, answer, refusal);
}

const struct auth_mechanism auth_sasl_xoauth2 = {.name = "XOAUTH2",
                                                 .asks = AUTH_ASK_TOKEN,
                                                 .needs_tls = true,
                                                 .client_first = true,
                                                 .step = step,
                                                 .answered = answered};
