/* SPDX-License-Identifier: Apache-2.0
 *
 * PLAIN (RFC 4616): authzid NUL authcid NUL password, in one message. The awkward truth: the
 * authzid is whoever the client claims to be; it means nothing until a rule allows it (see
 * auth/identity.h).
 */
#include "auth/auth_private.h"
#include "base/span.h"

/* Exactly three fields: a fourth would be a NUL inside a password, which RFC 4616 forbids. */
static bool split_fields(struct span message, struct span fields[3])
{
    struct span rest = message;

    for (int i = 0; i < 3; i++)
        if (!span_split(&rest, '\0', &fields[i]))
            return false;
    return !rest.data;
}

static enum auth_step step(struct auth_exchange *exchange, const struct span *response)
{
    struct span fields[3];

    if (!split_fields(*response, fields))
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    if (!auth_identity_is_sound(fields[0]) || !auth_identity_is_sound(fields[1]) || !span_is_utf8(fields[2]) ||
        fields[1].len == 0) /* an empty password is for the handler to refuse */
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    exchange->question.kind = AUTH_ASK_PASSWORD;
    exchange->question.authzid = span_dup(fields[0].len > 0 ? fields[0] : fields[1]);
    exchange->question.authcid = span_dup(fields[1]);
    exchange->question.password = span_dup(fields[2]);
    return AUTH_STEP_ASK;
}

const struct auth_mechanism auth_sasl_plain = {.name = "PLAIN",
                                               .asks = AUTH_ASK_PASSWORD,
                                               .needs_tls = true,
                                               .client_first = true,
                                               .step = step,
                                               .answered = auth_end_as_answered};
