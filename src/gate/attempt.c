/* SPDX-License-Identifier: Apache-2.0
 *
 * Which attempts are guesses.
 */
#include "gate/attempt.h"

bool gate_attempt_is_guess(enum auth_reason reason)
{
    switch (reason) {
    case AUTH_REASON_OK:
    case AUTH_REASON_BUDGET:
    case AUTH_REASON_NO_HANDLER: /* nobody looked at what was given */
    case AUTH_REASON_BINDING_DOWNGRADE:
    case AUTH_REASON_BINDING_MISMATCH:
    case AUTH_REASON_BINDING_UNSUPPORTED:
    case AUTH_REASON_MALFORMED:
    case AUTH_REASON_TOO_LONG:
        return false;
    case AUTH_REASON_UNVERIFIED: /* else an outage would be the time to guess */
        return true;
    default:
        return auth_reason_outcome(reason) == AUTH_OUTCOME_REFUSED;
    }
}
