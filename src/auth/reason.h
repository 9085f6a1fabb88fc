/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a login attempt ended as it did: for the audit trail, the log and the counters.
 * Clients are never told: all they see of a refusal is one and the same 535.
 */
#ifndef GATEPOST_AUTH_REASON_H
#define GATEPOST_AUTH_REASON_H

/* REASON(NAME, "word in logs", outcome) */
#define AUTH_REASONS(REASON)                                                                                           \
    REASON(OK, "ok", AUTH_OUTCOME_OK)                                                                                  \
    REASON(BAD_PASSWORD, "bad_password", AUTH_OUTCOME_REFUSED)                                                         \
    REASON(NO_USER, "no_user", AUTH_OUTCOME_REFUSED)                                                                   \
    REASON(NOT_FOUND, "not_found", AUTH_OUTCOME_REFUSED) /* the store has no such secret */                            \
    REASON(REFUSED, "refused", AUTH_OUTCOME_REFUSED)     /* the handler said no, and no more */                        \
    REASON(NO_HANDLER, "no_handler", AUTH_OUTCOME_REFUSED)                                                             \
    REASON(AUTHZID_REFUSED, "authzid_refused", AUTH_OUTCOME_REFUSED)                                                   \
    REASON(POLICY_REJECT, "policy_reject", AUTH_OUTCOME_REFUSED) /* kumo.reject chose the reply */                     \
    REASON(STORE_ERROR, "store_error", AUTH_OUTCOME_ERROR)       /* the handler failed: nothing is known */            \
    REASON(UNVERIFIED, "unverified", AUTH_OUTCOME_ERROR)         /* wrong, by what may be out of date or not all */    \
    REASON(BAD_RESULT, "bad_result", AUTH_OUTCOME_ERROR)         /* the handler's answer makes no sense */             \
    REASON(DISABLED, "disabled", AUTH_OUTCOME_REFUSED) /* these are found out after the password was right */          \
    REASON(EXPIRED, "expired", AUTH_OUTCOME_REFUSED)                                                                   \
    REASON(ADDRESS_NOT_ALLOWED, "address_not_allowed", AUTH_OUTCOME_REFUSED)                                           \
    REASON(NOT_FOR_RELAY, "not_for_relay", AUTH_OUTCOME_REFUSED) /* the secret has other scopes */                     \
    REASON(BAD_PROOF, "bad_proof", AUTH_OUTCOME_REFUSED)                                                               \
    REASON(LOCKED, "locked", AUTH_OUTCOME_REFUSED) /* after too much guessing: the secret was right */                 \
    REASON(BUDGET, "budget", AUTH_OUTCOME_REFUSED) /* the secret was right; too many sessions at once */               \
    REASON(BUSY, "busy", AUTH_OUTCOME_ERROR)       /* more logins than can be verified in time */                      \
    REASON(BAD_TOKEN, "bad_token", AUTH_OUTCOME_REFUSED)                                                               \
    REASON(BINDING_DOWNGRADE, "binding_downgrade", AUTH_OUTCOME_REFUSED) /* somebody hid our -PLUS */                  \
    REASON(BINDING_MISMATCH, "binding_mismatch", AUTH_OUTCOME_REFUSED)   /* the client is on another channel */        \
    REASON(BINDING_UNSUPPORTED, "binding_unsupported", AUTH_OUTCOME_REFUSED)                                           \
    REASON(MALFORMED, "malformed", AUTH_OUTCOME_REFUSED)                                                               \
    REASON(TOO_LONG, "too_long", AUTH_OUTCOME_REFUSED)                                                                 \
    REASON(CANCELLED, "cancelled", AUTH_OUTCOME_CANCELLED)                                                             \
    REASON(DISCONNECTED, "disconnected", AUTH_OUTCOME_CANCELLED)

#define AUTH_REASON_ENUM(name, word, outcome) AUTH_REASON_##name,
enum auth_reason { AUTH_REASONS(AUTH_REASON_ENUM) AUTH_REASON_COUNT };
#undef AUTH_REASON_ENUM

enum auth_outcome { AUTH_OUTCOME_OK, AUTH_OUTCOME_REFUSED, AUTH_OUTCOME_ERROR, AUTH_OUTCOME_CANCELLED };

const char *auth_reason_name(enum auth_reason reason);
enum auth_outcome auth_reason_outcome(enum auth_reason reason);

#endif
