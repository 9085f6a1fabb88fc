/* SPDX-License-Identifier: Apache-2.0
 *
 * LOGIN: no standard, yet what old mail programs speak. Two challenges, whose texts those
 * programs look for word by word, and two answers. There is no authorization identity: the
 * user acts as himself.
 */
#include "auth/auth_private.h"
#include "base/span.h"

enum stage { STAGE_START, STAGE_USER, STAGE_PASSWORD };

static enum auth_step take_user(struct auth_exchange *exchange, struct span user)
{
    if (user.len == 0 || !auth_identity_is_sound(user))
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    exchange->question.authcid = span_dup(user);
    exchange->question.authzid = span_dup(user);
    exchange->stage = STAGE_PASSWORD;
    return auth_challenge(exchange, SPAN_LIT("Password:"));
}

static enum auth_step take_password(struct auth_exchange *exchange, struct span password)
{
    if (!span_is_utf8(password) || span_find(password, '\0') < password.len)
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    exchange->question.kind = AUTH_ASK_PASSWORD;
    exchange->question.password = span_dup(password);
    return AUTH_STEP_ASK;
}

static enum auth_step step(struct auth_exchange *exchange, const struct span *response)
{
    if (!response) {
        exchange->stage = STAGE_USER;
        return auth_challenge(exchange, SPAN_LIT("Username:"));
    }
    if (exchange->stage == STAGE_PASSWORD)
        return take_password(exchange, *response);
    return take_user(exchange, *response); /* also an initial response, which some programs send */
}

const struct auth_mechanism auth_sasl_login = {.name = "LOGIN",
                                               .asks = AUTH_ASK_PASSWORD,
                                               .needs_tls = true,
                                               .client_first = false,
                                               .step = step,
                                               .answered = auth_end_as_answered};
