/* SPDX-License-Identifier: Apache-2.0
 *
 * EXTERNAL (RFC 4422, appendix A): the client has proved who it is when TLS began, by its certificate; all it says here
 * is as whom it wants to act, if not as itself.
 */
#include "auth/auth_private.h"
#include "base/span.h"

static enum auth_step step(struct auth_exchange *exchange, const struct span *response)
{
    if (!exchange->channel.certificate || !auth_identity_is_sound(*response))
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    exchange->question.kind = AUTH_ASK_EXTERNAL;
    exchange->question.certificate = exchange->channel.certificate;
    if (response->len > 0)
        exchange->question.authzid = span_dup(*response);
    return AUTH_STEP_ASK;
}

const struct auth_mechanism auth_sasl_external = {.name = "EXTERNAL",
                                                  .asks = AUTH_ASK_EXTERNAL,
                                                  .needs_tls = true,
                                                  .client_first = true,
                                                  .step = step,
                                                  .answered = auth_end_as_named};
