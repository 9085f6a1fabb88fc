/* SPDX-License-Identifier: Apache-2.0
 *
 * OAUTHBEARER (RFC 7628): a bearer token in one message. The awkward truth: the name in it is whom the client would
 * like to be; whose token it is only the answer tells.
 */
#include "auth/auth_private.h"
#include "base/span.h"

/* One text for every refusal: what is wrong with a token is not for whoever shows it. */
static const char refusal[] = "{\"status\":\"invalid_token\"}";

static enum auth_step step(struct auth_exchange *exchange, const struct span *response)
{
    struct gs2_header header;
    struct span pairs;
    struct span authorization;

    if (gs2_parse(*response, &header) || header.flag == 'p') /* this mechanism binds to no channel */
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    pairs = span_from(*response, header.len);
    if (pairs.len == 0 || pairs.data[0] != '\x01' || bearer_find(span_from(pairs, 1), "auth", &authorization))
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    if (header.authzid.data && !(exchange->question.authzid = gs2_decode_name(header.authzid)))
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    if (authorization.len == 0) { /* a client that only wants to be told what we would take (section 4.3) */
        exchange->reason = AUTH_REASON_BAD_TOKEN;
        return auth_challenge(exchange, span_of(refusal));
    }
    if (bearer_take_token(exchange, authorization))
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    return AUTH_STEP_ASK;
}

static enum auth_step answered(struct auth_exchange *exchange, const struct auth_answer *answer)
{
    return bearer_answered(exchange, answer, refusal);
}

const struct auth_mechanism auth_sasl_oauthbearer = {.name = "OAUTHBEARER",
                                                     .asks = AUTH_ASK_TOKEN,
                                                     .needs_tls = true,
                                                     .client_first = true,
                                                     .step = step,
                                                     .answered = answered};
