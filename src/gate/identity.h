/* SPDX-License-Identifier: Apache-2.0
 *
 * The guard: as whom may somebody who is logged in send, and whose mail is it? Pure rules; receive/identity.c applies
 * them at MAIL, RCPT and the end of DATA, and helpers of the policy ask the same functions.
 *
 *     [identity]
 *     mode = "reject"                    # off, log, reject, rewrite
 *     checks = ["mail_from", "from", "sender"]
 *     senders = ["*"]                    # of users whose record and groups name none
 *     null_sender = true                 # everybody may send bounces
 *     rewrite_to = "noreply@example.com" # rewrite: default is the user's first pattern that is an address, or the
 *                                        # login where that is one
 *     tenant_header = "X-Tenant"         # may choose among the user's tenants; it is always removed
 *     relay = true                       # who was let in here may send to anywhere
 *
 *     [group.staff]
 *     senders = ["@example.com"]
 *     tenants = ["blue"]
 *
 * Without `mode`, users are held to it ("reject") where there is an [identity] table, where their record names senders
 * or where one of their groups does; others are not.
 *
 * Whose rules: those of who proved who they are (authcid). Acting as another (may_act_as) changes the name that
 * policies see, and lends none of the other's senders or tenants: the password that was shown is not the other's.
 * Groups are those of the record and those that a policy added to AuthInfo; its tenant likewise.
 */
#ifndef GATEPOST_GATE_IDENTITY_H
#define GATEPOST_GATE_IDENTITY_H

#include "gate/gate.h"
#include "gate/identity_address.h"

/* Who is asked about; all borrowed. Without `login` nothing is held against anybody, and there are no tenants but
 * the AuthInfo's. `rules` are those in force now, which may be younger than the login's, or NULL. */
struct gate_who {
    const struct gate_rules *rules;
    const struct gate_login *login;
    const struct auth_info *info;
};

enum gate_identity_mode { GATE_IDENTITY_OFF, GATE_IDENTITY_LOG, GATE_IDENTITY_REJECT, GATE_IDENTITY_REWRITE };

enum gate_identity_check { GATE_CHECK_MAIL_FROM = 1, GATE_CHECK_FROM = 2, GATE_CHECK_SENDER = 4 };

/* OFF too for whom every address is covered. */
enum gate_identity_mode gate_identity_mode(const struct gate_who *who);
unsigned gate_identity_checks(const struct gate_who *who); /* bits of enum gate_identity_check */

/* `mailbox` as in MAIL FROM; empty: the null sender. Not true of what cannot be read. */
bool gate_identity_may_send_as(const struct gate_who *who, struct span mailbox);
bool gate_identity_covers(const struct gate_who *who, const struct gate_address *address);
/* What takes the place of an address that is not covered. -1: there is none. */
int gate_identity_rewrite_to(const struct gate_who *who, struct gate_address *address_out)
    __attribute__((warn_unused_result));

/* The tenants, each once, the one first that holds where nobody chooses: a new array, empty when nobody named one. */
json_t *gate_identity_tenants(const struct gate_who *who);
const char *gate_identity_tenant_header(const struct gate_rules *rules); /* NULL: none; `rules` may be NULL */

enum gate_relay { GATE_RELAY_UNSAID, GATE_RELAY_NO, GATE_RELAY_YES };
enum gate_relay gate_identity_relay(const struct gate_rules *rules);

#endif
